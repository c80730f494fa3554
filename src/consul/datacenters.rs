//! `/v1/catalog/datacenters`: the names of the datacenters, and which of them answer.

use futures_util::{StreamExt, stream};

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest};
use crate::registry::Scope;

/// The number of datacenters that are queried at the same time. Each call may take its whole time limit.
const MAX_CONCURRENT: usize = 8;

impl Client {
    /// The names of all datacenters that the agent knows, in no particular order. The call cannot wait for a change.
    ///
    /// # Errors
    /// As for any call.
    pub async fn catalog_datacenters(&self) -> Result<Reply<Vec<String>>, Error> {
        let response = self.send(ApiRequest::get("/v1/catalog/datacenters")).await?;
        // The agent's own datacenter is always in the list.
        let is_not_empty = |names: &Vec<String>| !names.is_empty();
        Ok(Reply { value: response.json_matching(is_not_empty)?, meta: response.meta })
    }

    /// The names of the datacenters whose servers answer.
    ///
    /// # Errors
    /// As for any call. If no datacenter answers: the error of the last one, because the cause is likely to be the
    /// agent.
    pub async fn reachable_datacenters(&self) -> Result<Reply<Vec<String>>, Error> {
        let all = self.catalog_datacenters().await?;
        let queries = stream::iter(all.value).map(|dc| async move {
            let scope = Scope { dc: Some(dc), ..Scope::default() };
            let answer =
                self.catalog_services(None, &QueryOptions { scope: Some(&scope), ..QueryOptions::default() }).await;
            (scope.dc.unwrap_or_default(), answer)
        });
        let (mut reachable, mut last_error) = (Vec::new(), None);
        for (dc, answer) in queries.buffered(MAX_CONCURRENT).collect::<Vec<_>>().await {
            match answer {
                Ok(_) => reachable.push(dc),
                Err(error) if is_datacenter_unreachable(&error) => last_error = Some(error),
                Err(error) => return Err(error),
            }
        }
        match last_error {
            Some(error) if reachable.is_empty() => Err(error),
            _ => Ok(Reply { value: reachable, meta: all.meta }),
        }
    }
}

/// Whether the datacenter does not answer, as opposed to the agent.
fn is_datacenter_unreachable(error: &Error) -> bool {
    match error {
        Error::ServerError { status, .. } => *status != 429,
        Error::NoLeader { .. } => true,
        Error::Unreachable { error, .. } => error.is_timeout(),
        _ => false,
    }
}
