//! `/v1/catalog`: the names of all services.

use std::collections::BTreeMap;

use super::{Client, Error, Read, Reply, client::Call};

impl Client {
    /// The names of all services, each with the tags of its instances in no particular order.
    ///
    /// # Errors
    /// As for any read. A token that may not read a service does not see it, without an error.
    pub async fn catalog_services(&self, read: &Read<'_>) -> Result<Reply<BTreeMap<String, Vec<String>>>, Error> {
        let response = self.read(Call::get("/v1/catalog/services"), read).await?;
        let value: BTreeMap<String, Option<Vec<String>>> = response.json()?;
        let value = value.into_iter().map(|(name, tags)| (name, tags.unwrap_or_default())).collect();
        Ok(Reply { value, stamp: response.stamp })
    }
}
