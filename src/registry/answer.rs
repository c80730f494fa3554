//! What is answered, reduced to what a template can use: two equal answers render alike.
//!
//! Output of checks and indexes of services are left out on purpose: they change without any effect on a rendered file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to one [`Query`](super::Query).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Instances by node, then id; as the registry sorts them if the query says so. An unknown service has none.
    Service(Vec<ServiceRecord>),
    /// Names of services, each with the sorted tags of its instances.
    Services(BTreeMap<String, Vec<String>>),
    /// Nodes by name, then address; as the registry sorts them if the query says so.
    Nodes(Vec<NodeRecord>),
    /// `None`: there is no such node.
    Node(Option<NodeServices>),
    /// Names, sorted.
    Datacenters(Vec<String>),
    /// `None`: there is no such key.
    Key(Option<String>),
    /// In the order of their paths, byte by byte.
    Keys(Vec<KeyPair>),
    /// See [`CaRoots`].
    CaRoots(CaRoots),
    /// See [`CaLeaf`].
    CaLeaf(CaLeaf),
    /// See [`FileContent`].
    File(FileContent),
}

/// One instance of a service, as templates see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceRecord {
    /// The node's name.
    pub node: String,
    /// The node's own id.
    pub node_id: String,
    /// The node's address.
    pub node_address: String,
    /// The node's further addresses, by name: `lan`, `wan` and so on.
    pub node_tagged_addresses: BTreeMap<String, String>,
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
    /// The instance's further addresses, by name.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Sorted.
    pub tags: Vec<String>,
    /// The service's Meta.
    pub meta: BTreeMap<String, String>,
    /// Weight while passing, 1 or more.
    pub weight: u32,
    /// How much of the traffic it gets, by health.
    pub weights: RecordWeights,
    /// All checks of the instance and of its node, taken together.
    pub status: Status,
    /// Whether `status` is [`Status::Passing`].
    pub healthy: bool,
    /// The checks of the instance and of its node, by id.
    pub checks: Vec<CheckRecord>,
}

/// One of an instance's further addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TaggedAddress {
    /// An address or a host name.
    pub address: String,
    /// 0 when it has none.
    pub port: u16,
}

/// The weights of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RecordWeights {
    /// While its checks pass.
    pub passing: u32,
    /// While one of them warns.
    pub warning: u32,
}

impl Default for RecordWeights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// One check, without what it says: that changes all the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CheckRecord {
    /// Unique on its node.
    pub id: String,
    /// For people.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Whether it is the whole node's, not the instance's.
    pub of_node: bool,
}

/// The worst of an instance's checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every check passes, or there is none.
    #[default]
    Passing,
    /// At least one check warns.
    Warning,
    /// At least one check fails.
    Critical,
    /// The instance or its node was taken out of traffic.
    Maintenance,
}

impl CheckRecord {
    /// The id of the check that stands for the maintenance mode of a whole node.
    pub const NODE_MAINTENANCE: &'static str = "_node_maintenance";
    /// How the id of the check begins that stands for the maintenance mode of a service; its id follows.
    pub const SERVICE_MAINTENANCE: &'static str = "_service_maintenance:";
}

impl Status {
    /// The worst of an instance's checks and its node's.
    pub fn of(checks: &[CheckRecord]) -> Self {
        let one = |CheckRecord { id, status, .. }: &CheckRecord| match status.as_str() {
            _ if id == CheckRecord::NODE_MAINTENANCE || id.starts_with(CheckRecord::SERVICE_MAINTENANCE) => {
                Self::Maintenance
            }
            "passing" => Self::Passing,
            "warning" => Self::Warning,
            _ => Self::Critical,
        };
        checks.iter().map(one).max().unwrap_or_default()
    }
}

/// A node, as templates see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeRecord {
    /// Its own id; empty on nodes that somebody registered from outside.
    pub id: String,
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Where it is.
    pub datacenter: String,
    /// Its further addresses, by name.
    pub tagged_addresses: BTreeMap<String, String>,
    /// Its Meta.
    pub meta: BTreeMap<String, String>,
}

/// A node and what runs on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeServices {
    /// The node.
    pub node: NodeRecord,
    /// Its services by name, then id.
    pub services: Vec<NodeService>,
}

/// A service on a node. Its health is not known here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeService {
    /// Unique on the node.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The instance's own address, or its node's when it has none.
    pub address: String,
    /// 0 when it has none.
    pub port: u16,
    /// Sorted.
    pub tags: Vec<String>,
    /// The service's Meta.
    pub meta: BTreeMap<String, String>,
    /// Whether the tags in the catalog may be changed there.
    pub tag_override: bool,
}

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyPair {
    /// The whole key.
    pub path: String,
    /// What follows the prefix that was asked for.
    pub key: String,
    /// Its value; nothing if that is no text in UTF-8.
    pub value: Option<String>,
    /// The index at which it was made.
    pub create_index: u64,
    /// The index at which it was last changed.
    pub modify_index: u64,
    /// How often it was locked.
    pub lock_index: u64,
    /// A number that belongs to whoever wrote it.
    pub flags: u64,
    /// The session that holds its lock; empty without one.
    pub session: String,
}

/// The certificates of the mesh's authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaRoots {
    /// The id of the one that signs.
    pub active_root_id: String,
    /// The mesh's name.
    pub trust_domain: String,
    /// In the registry's order.
    pub roots: Vec<CaRoot>,
}

/// One certificate of the mesh's authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaRoot {
    /// Its id.
    pub id: String,
    /// For people.
    pub name: String,
    /// PEM.
    pub root_cert: String,
    /// PEM, from the root downwards; empty without any.
    pub intermediate_certs: Vec<String>,
    /// Whether it is the one that signs.
    pub active: bool,
}

/// The certificate of one service of the mesh.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaLeaf {
    /// In hex, with colons.
    pub serial_number: String,
    /// PEM.
    pub cert_pem: String,
    /// PEM. A secret.
    pub private_key_pem: String,
    /// The service.
    pub service: String,
    /// Its name in the mesh.
    pub service_uri: String,
    /// RFC 3339.
    pub valid_after: String,
    /// RFC 3339.
    pub valid_before: String,
}

/// What there is of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileContent {
    /// Its text.
    Text(String),
    /// There is no such file.
    Missing,
    /// It must not or cannot be read, and why.
    Refused(String),
}

/// Without the key.
impl std::fmt::Debug for CaLeaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaLeaf")
            .field("service", &self.service)
            .field("serial_number", &self.serial_number)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_counts() {
        let of = |checks: &[(&str, &str)]| {
            let check = |(id, status): &(&str, &str)| CheckRecord {
                id: (*id).into(),
                status: (*status).into(),
                ..CheckRecord::default()
            };
            Status::of(&checks.iter().map(check).collect::<Vec<_>>())
        };
        for (checks, worst) in [
            (&[][..], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "passing")], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "warning")], Status::Warning),
            (&[("service:a", "warning"), ("serfHealth", "critical")], Status::Critical),
            (&[("service:a", "unheard of")], Status::Critical),
            (&[("service:a", "critical"), ("_node_maintenance", "critical")], Status::Maintenance),
            (&[("_service_maintenance:a", "critical"), ("service:a", "passing")], Status::Maintenance),
        ] {
            assert_eq!(of(checks), worst, "{checks:?}");
        }
    }
}
