//! `/v1/health`: the instances of a service with the results of their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest, path};
use crate::registry::ServiceQuery;

/// One instance, its node, and the checks of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthEntry {
    /// The node on which the instance is registered.
    pub node: Node,
    /// The instance.
    pub service: Service,
    /// The checks of the instance and of its node.
    #[serde(deserialize_with = "null_is_default")]
    pub checks: Vec<HealthCheck>,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    /// The id; empty on nodes that were registered through the catalog API.
    #[serde(rename = "ID")]
    pub id: String,
    /// The name.
    pub node: String,
    /// The address.
    pub address: String,
    /// The datacenter.
    pub datacenter: String,
    /// Further addresses, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// User-defined pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
}

/// An instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    /// Unique on its node.
    #[serde(rename = "ID")]
    pub id: String,
    /// The service's name.
    pub service: String,
    /// Empty if it is the address of the node.
    pub address: String,
    /// Not validated: Consul accepts any number.
    pub port: i64,
    /// Further addresses, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, ServiceTaggedAddress>,
    /// In the order of the registration.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// User-defined pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
    /// `None` in old entries.
    pub weights: Option<ServiceWeights>,
    /// Whether the tags may be changed in the catalog.
    pub enable_tag_override: bool,
}

/// A further address of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceTaggedAddress {
    /// An IP address or a host name.
    pub address: String,
    /// Not validated: Consul accepts any number.
    pub port: i64,
}

/// The weights of an instance in load balancing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceWeights {
    /// The weight while all checks pass.
    pub passing: i64,
    /// The weight while a check warns.
    pub warning: i64,
}

/// The result of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Unique on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// The display name.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Empty on a check of the whole node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
}

impl Client {
    /// The instances that `query` selects, in the scope of `query` (the one in `read` is ignored).
    ///
    /// # Errors
    /// As for any read. The list is empty if the service does not exist or the token may not read it.
    pub async fn health_service(
        &self,
        query: &ServiceQuery,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<Vec<HealthEntry>>, Error> {
        let ServiceQuery { name, tag, passing, connect, near, filter, peer, sameness_group, scope } = query;
        let group = if *connect { "/v1/health/connect" } else { "/v1/health/service" };
        let call = ApiRequest::get(path::with_name(group, name)?)
            .with_optional("tag", tag.as_deref())
            .with_optional("passing", passing.then_some("1"))
            .with_optional("near", near.as_deref())
            .with_optional("filter", filter.as_deref())
            .with_optional("peer", peer.as_deref())
            .with_optional("sg", sameness_group.as_deref());
        let response = self.read(call, &QueryOptions { scope: Some(scope), ..*read }).await?;
        Ok(Reply {
            value: response.json_matching(|entries: &Vec<_>| have_required_fields(entries))?,
            meta: response.meta,
        })
    }
}

/// Whether the fields that Consul always sends are present.
pub(super) fn have_required_fields(entries: &[HealthEntry]) -> bool {
    entries.iter().all(|entry| !(entry.node.node.is_empty() || entry.service.id.is_empty()))
}

/// Deserializes `null` as the default: Go encodes an empty list or map as `null`.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
