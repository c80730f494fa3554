//! `/v1/health`: the instances of a service with the state of their checks.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::{Client, Error, Read, Reply, client::Call, path};

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
    /// In the order in which they were registered.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free key and value pairs.
    #[serde(deserialize_with = "null_is_default")]
    pub meta: BTreeMap<String, String>,
    /// Missing in old entries.
    pub weights: Option<Weights>,
}

/// How much of the traffic an instance gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    /// While its checks pass.
    pub passing: i64,
}

/// The state of one check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// Unique on its node.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
}

impl Client {
    /// The instances of `name`, if they carry `tag`; with `passing` only those whose checks all pass.
    ///
    /// # Errors
    /// As for any read. A service that does not exist, or that the token may not read, has no instances.
    pub async fn health_service(
        &self,
        name: &str,
        tag: Option<&str>,
        passing: bool,
        read: &Read<'_>,
    ) -> Result<Reply<Vec<HealthEntry>>, Error> {
        let mut call = Call::get(path::with_name("/v1/health/service", name)?);
        if let Some(tag) = tag {
            call = call.with("tag", tag);
        }
        if passing {
            call = call.with("passing", "1");
        }
        let response = self.read(call, read).await?;
        Ok(Reply { value: response.json()?, stamp: response.stamp })
    }
}

/// Go writes an empty list or map as `null`.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
