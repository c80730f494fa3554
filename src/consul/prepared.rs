//! `/v1/query`: what a prepared query finds.

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
    /// The instances that the prepared query `name` (or with this id) finds: shuffled, or by the round-trip time from
    /// `near`. The call cannot wait for a change.
    ///
    /// # Errors
    /// As for any read; [`Error::Refused`] with status 404 if there is no such query.
    pub async fn execute_query(
        &self,
        name: &str,
        near: Option<&str>,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<Vec<HealthEntry>>, Error> {
        let path = format!("{}/execute", path::with_name("/v1/query", name)?);
        let response = self.read(ApiRequest::get(path).with_optional("near", near), read).await?;
        let mut stamp = response.meta;
        // Always 1, and nothing can be newer than it.
        stamp.index = None;
        Ok(Reply {
            value: response.json_matching(|found: &PreparedQueryResult| have_required_fields(&found.nodes))?.nodes,
            meta: stamp,
        })
    }
}
