//! `/v1/health`: the instances of a service with the state of their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest, path};
use crate::registry::ServiceQuery;

/// One instance, its node, and the checks of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthEntry {
    /// The node that it was registered on.
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
    /// The node's own id; empty on nodes that somebody registered from outside.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Where it is.
    pub datacenter: String,
    /// Its further addresses, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, String>,
    /// Free key and value pairs.
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
    /// Empty when it is its node's.
    pub address: String,
    /// Consul takes any number.
    pub port: i64,
    /// Its further addresses, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub tagged_addresses: BTreeMap<String, ServiceTaggedAddress>,
    /// In the order in which they were registered.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free key and value pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
    /// Missing in old entries.
    pub weights: Option<ServiceWeights>,
    /// Whether the tags in the catalog may be changed there.
    pub enable_tag_override: bool,
}

/// One of an instance's further addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceTaggedAddress {
    /// An address or a host name.
    pub address: String,
    /// Consul takes any number.
    pub port: i64,
}

/// How much of the traffic an instance gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceWeights {
    /// While its checks pass.
    pub passing: i64,
    /// While one of them warns.
    pub warning: i64,
}

/// The state of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Unique on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// For people.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Empty on a check of the whole node.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
}

impl Client {
    /// The instances that `query` chooses; its scope counts, not that of `read`.
    ///
    /// # Errors
    /// As for any read. A service that does not exist, or that the token may not read, has no instances.
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

/// Whether what the agent never leaves out is there.
pub(super) fn have_required_fields(entries: &[HealthEntry]) -> bool {
    entries.iter().all(|entry| !(entry.node.node.is_empty() || entry.service.id.is_empty()))
}

/// Go writes an empty list or map as `null`.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
