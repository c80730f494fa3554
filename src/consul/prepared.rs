//! `/v1/query`: runs a prepared query.

use serde::Deserialize;

use super::{
    Client, Error, HealthEntry, QueryOptions, Reply,
    client::ApiRequest,
    health::{have_required_fields, null_is_default},
    path,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PreparedQueryResult {
    #[serde(deserialize_with = "null_is_default")]
    nodes: Vec<HealthEntry>,
}

impl Client {
    /// The result of the prepared query with this name or id, shuffled, or sorted by the round-trip time from `near`.
    /// The call cannot wait for a change.
    ///
    /// # Errors
    /// As for any read. [`Error::Refused`] with status 404 if there is no such query.
    pub async fn execute_query(
        &self,
        name: &str,
        near: Option<&str>,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<Vec<HealthEntry>>, Error> {
        let path = format!("{}/execute", path::with_name("/v1/query", name)?);
        let response = self.read(ApiRequest::get(path).with_optional("near", near), read).await?;
        let mut meta = response.meta;
        // It is always 1: a query that waits for a newer one would wait forever.
        meta.index = None;
        Ok(Reply {
            value: response.json_matching(|found: &PreparedQueryResult| have_required_fields(&found.nodes))?.nodes,
            meta,
        })
    }
}
