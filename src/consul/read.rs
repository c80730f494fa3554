//! Reads that may wait for a change: what all of them have in common.

use std::time::Duration;

use reqwest::StatusCode;

use super::{
    Client, Error,
    client::ApiRequest,
    response::{ApiResponse, ResponseMeta},
};
use crate::registry::Scope;

/// How a read is made. The default asks the leader and is answered at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions<'a> {
    /// Where. What it leaves open is as in [`Settings`](super::Settings), and else the agent's own.
    pub scope: Option<&'a Scope>,
    /// What the caller has seen, and how long the agent may wait for something newer.
    pub newer_than: Option<(u64, Duration)>,
    /// Any server may answer, even if its leader knows better.
    pub stale: bool,
}

/// The answer to a [`Read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The data.
    pub value: T,
    /// What the headers say of it.
    pub meta: ResponseMeta,
}

impl<T> Reply<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: change(self.value), meta: self.meta }
    }
}

impl Client {
    /// Sends a read that has to succeed and to come from a server with a leader.
    pub(super) async fn read(&self, call: ApiRequest, read: &QueryOptions<'_>) -> Result<ApiResponse, Error> {
        self.read_any_status(call, read).await?.require_index()
    }

    /// The same with any status: for calls where 404 is an answer.
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
        // Any other answer is an error, and says more of it than that.
        let good = response.status.is_success() || response.status == StatusCode::NOT_FOUND;
        if good && !response.meta.known_leader { Err(Error::NoLeader { call: response.call }) } else { Ok(response) }
    }

    /// Sends a read that the agent answers from what it keeps itself: without a choice of place, and without a word on
    /// the leader.
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
