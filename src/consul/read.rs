//! The parameters and the reply of reads, which may wait for a change.

use std::time::Duration;

use reqwest::StatusCode;

use super::{
    Client, Error,
    client::ApiRequest,
    response::{ApiResponse, ResponseMeta},
};
use crate::registry::Scope;

/// The parameters of a read. By default the leader answers, immediately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions<'a> {
    /// Datacenter, namespace and partition. An unset one has the value of [`Settings`](super::Settings), otherwise that
    /// of the agent.
    pub scope: Option<&'a Scope>,
    /// The index that the caller has seen, and how long the agent may wait for a newer one.
    pub newer_than: Option<(u64, Duration)>,
    /// Any server may answer, even with outdated data.
    pub stale: bool,
}

/// The reply to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The data.
    pub value: T,
    /// The metadata from the response headers.
    pub meta: ResponseMeta,
}

impl<T> Reply<T> {
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: convert(self.value), meta: self.meta }
    }
}

impl Client {
    /// Sends a read. It is an error if the call fails or the server that answers has no leader.
    pub(super) async fn read(&self, call: ApiRequest, read: &QueryOptions<'_>) -> Result<ApiResponse, Error> {
        self.read_any_status(call, read).await?.require_index()
    }

    /// Like [`read`](Self::read), but returns any status, for calls where 404 is an answer.
    pub(super) async fn read_any_status(
        &self,
        call: ApiRequest,
        read: &QueryOptions<'_>,
    ) -> Result<ApiResponse, Error> {
        let scope = read.scope.unwrap_or(&AGENT_DEFAULT_SCOPE);
        let call = call
            .with_optional("dc", scope.dc.as_deref().or(self.settings().datacenter.as_deref()))
            .with_optional("ns", scope.namespace.as_deref())
            .with_optional("partition", scope.partition.as_deref())
            .with_optional("stale", read.stale.then_some(""));
        let response = self.send_any_status(with_wait(call, read)).await?;
        // Any other status is an error that is more specific than the missing leader.
        let has_data = response.status.is_success() || response.status == StatusCode::NOT_FOUND;
        if has_data && !response.meta.known_leader {
            Err(Error::NoLeader { call: response.call })
        } else {
            Ok(response)
        }
    }

    /// Sends a read that the agent answers itself. It has no datacenter, namespace or partition, and its response does
    /// not depend on a leader.
    pub(super) async fn read_local(&self, call: ApiRequest, read: &QueryOptions<'_>) -> Result<ApiResponse, Error> {
        self.send_any_status(with_wait(call, read)).await?.require_index()
    }
}

const AGENT_DEFAULT_SCOPE: Scope = Scope { dc: None, namespace: None, partition: None };

fn with_wait(mut call: ApiRequest, read: &QueryOptions<'_>) -> ApiRequest {
    if let Some((index, wait)) = read.newer_than {
        call = call.with("index", index.to_string()).with("wait", format!("{}ms", wait.as_millis()));
        call.wait = wait;
    }
    call
}
