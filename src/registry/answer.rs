//! What a registry answers, reduced to what a template can use: two equal answers render alike.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answer to one [`Query`](super::Query).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Instances by node, then id. An unknown service has none.
    Service(Vec<ServiceRecord>),
    /// Names of services, each with the sorted tags of its instances.
    Services(BTreeMap<String, Vec<String>>),
    /// `None`: there is no such key.
    Key(Option<String>),
}

/// One instance of a service, as templates see it.
///
/// Output of checks and indexes are left out on purpose: they change without any effect on a rendered file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRecord {
    /// The node's name.
    pub node: String,
    /// The node's own id.
    pub node_id: String,
    /// The node's address.
    pub node_address: String,
    /// The node's Meta.
    pub node_meta: BTreeMap<String, String>,
    /// The instance's id, unique on its node.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The instance's own address, or its node's when it has none.
    pub address: String,
    /// The port that belongs to `address`; 0 when it has none.
    pub port: u16,
    /// Sorted.
    pub tags: Vec<String>,
    /// The service's Meta.
    pub meta: BTreeMap<String, String>,
    /// Weight while passing, 1 or more.
    pub weight: u32,
    /// All checks of the instance and of its node, taken together.
    pub status: Status,
    /// Whether `status` is [`Status::Passing`].
    pub healthy: bool,
}

/// The worst of an instance's checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every check passes, or there is none.
    Passing,
    /// At least one check warns.
    Warning,
    /// At least one check fails.
    Critical,
    /// The instance or its node was taken out of traffic.
    Maintenance,
}
