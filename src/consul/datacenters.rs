//! `/v1/catalog/datacenters`: their names, and which of them answer.

use futures_util::{StreamExt, stream};

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest};
use crate::registry::Scope;

/// So many datacenters are asked at once: each call may take its whole time limit.
const MAX_CONCURRENT: usize = 8;

impl Client {
    /// The names of all datacenters that the agent has heard of, in no particular order. The call cannot wait for a
    /// change.
    ///
    /// # Errors
    /// As for any call.
    pub async fn catalog_datacenters(&self) -> Result<Reply<Vec<String>>, Error> {
        let response = self.send(ApiRequest::get("/v1/catalog/datacenters")).await?;
        // The agent's own is always among them.
        let are_consuls = |names: &Vec<String>| !names.is_empty();
        Ok(Reply { value: response.json_matching(are_consuls)?, meta: response.meta })
    }

    /// Those of them whose servers answer.
    ///
    /// # Errors
    /// As for any call; with that of the last datacenter if none answers, which says more of us than of them.
    pub async fn reachable_datacenters(&self) -> Result<Reply<Vec<String>>, Error> {
        let all = self.catalog_datacenters().await?;
        let asked = stream::iter(all.value).map(|dc| async move {
            let scope = Scope { dc: Some(dc), ..Scope::default() };
            let answer =
                self.catalog_services(None, &QueryOptions { scope: Some(&scope), ..QueryOptions::default() }).await;
            (scope.dc.unwrap_or_default(), answer)
        });
        let (mut reachable, mut away) = (Vec::new(), None);
        for (dc, answer) in asked.buffered(MAX_CONCURRENT).collect::<Vec<_>>().await {
            match answer {
                Ok(_) => reachable.push(dc),
                Err(error) if is_datacenter_unreachable(&error) => away = Some(error),
                Err(error) => return Err(error),
            }
        }
        match away {
            Some(error) if reachable.is_empty() => Err(error),
            _ => Ok(Reply { value: reachable, meta: all.meta }),
        }
    }
}

/// Whether it is the datacenter that does not answer, and not our agent.
fn is_datacenter_unreachable(error: &Error) -> bool {
    match error {
        Error::ServerError { status, .. } => *status != 429,
        Error::NoLeader { .. } => true,
        Error::Unreachable { error, .. } => error.is_timeout(),
        _ => false,
    }
}
