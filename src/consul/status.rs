//! `/v1/status`: whether the cluster has a leader.

use super::{Client, Error, client::ApiRequest};

impl Client {
    /// The address of the leader; `None` while there is no leader. Needs no token.
    ///
    /// # Errors
    /// As for any call.
    pub async fn leader(&self) -> Result<Option<String>, Error> {
        let leader: String = self.send(ApiRequest::get("/v1/status/leader")).await?.json()?;
        Ok(Some(leader).filter(|leader| !leader.is_empty()))
    }
}
