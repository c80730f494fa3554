//! The answers of a registry, reduced to what a template can use: equal answers render equal files.
//!
//! The outputs of checks and the indexes of services are left out, because they change without affecting a rendered
//! file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to one [`Query`](super::Query).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Instances, sorted by node and id, or by the registry if the query has `near`. Empty for an unknown service.
    Service(Vec<ServiceRecord>),
    /// The names of all services, each with the sorted tags of its instances.
    Services(BTreeMap<String, Vec<String>>),
    /// Nodes, sorted by name and address, or by the registry if the query has `near`.
    Nodes(Vec<NodeRecord>),
    /// `None` if the node does not exist.
    Node(Option<NodeServices>),
    /// The sorted names.
    Datacenters(Vec<String>),
    /// `None` if the key does not exist.
    Key(Option<String>),
    /// Sorted by path, byte by byte.
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
    /// The node's id.
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
    /// The instance's own address, or its node's if it has none.
    pub address: String,
    /// The port that belongs to `address`; 0 if it has none.
    pub port: u16,
    /// The instance's further addresses, by name.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Sorted.
    pub tags: Vec<String>,
    /// The service's Meta.
    pub meta: BTreeMap<String, String>,
    /// The weight while all checks pass; at least 1.
    pub weight: u32,
    /// The weights by health.
    pub weights: RecordWeights,
    /// The worst status of all checks of the instance and of its node.
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
    /// 0 if it has none.
    pub port: u16,
}

/// The weights of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RecordWeights {
    /// The weight while all checks pass.
    pub passing: u32,
    /// The weight while a check warns.
    pub warning: u32,
}

impl Default for RecordWeights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// One check, without its output, which changes with every run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CheckRecord {
    /// Unique on its node.
    pub id: String,
    /// The display name.
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    /// Whether it belongs to the node, not to the instance.
    pub of_node: bool,
}

/// A health status, in ascending order of severity. An instance has the worst status of its checks and its node's.
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

/// A node, as templates see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeRecord {
    /// Its id; empty for nodes that were registered as external.
    pub id: String,
    /// Its name.
    pub node: String,
    /// Its address.
    pub address: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its further addresses, by name.
    pub tagged_addresses: BTreeMap<String, String>,
    /// Its Meta.
    pub meta: BTreeMap<String, String>,
}

/// A node and the services on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeServices {
    /// The node.
    pub node: NodeRecord,
    /// Its services, sorted by name and id.
    pub services: Vec<NodeService>,
}

/// An instance on a node, without its health.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NodeService {
    /// Unique on the node.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The instance's own address, or its node's if it has none.
    pub address: String,
    /// 0 if it has none.
    pub port: u16,
    /// Sorted.
    pub tags: Vec<String>,
    /// The service's Meta.
    pub meta: BTreeMap<String, String>,
    /// Whether others may change the tags in the catalog.
    pub tag_override: bool,
}

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KeyPair {
    /// The whole key.
    pub path: String,
    /// The part after the prefix of the query.
    pub key: String,
    /// Its value; `None` if that is not valid UTF-8.
    pub value: Option<String>,
    /// The index at which it was created.
    pub create_index: u64,
    /// The index at which it was last changed.
    pub modify_index: u64,
    /// The number of times it was locked.
    pub lock_index: u64,
    /// An application-defined number.
    pub flags: u64,
    /// The session that holds the lock; empty if it is not locked.
    pub session: String,
}

/// The certificates of the CA of the service mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaRoots {
    /// The id of the root that signs new certificates.
    pub active_root_id: String,
    /// The trust domain of the mesh.
    pub trust_domain: String,
    /// In the registry's order.
    pub roots: Vec<CaRoot>,
}

/// One root certificate of the CA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaRoot {
    /// Its id.
    pub id: String,
    /// The display name.
    pub name: String,
    /// PEM.
    pub root_cert: String,
    /// PEM, from the root downwards; may be empty.
    pub intermediate_certs: Vec<String>,
    /// Whether it signs new certificates.
    pub active: bool,
}

/// The certificate of one service in the mesh.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CaLeaf {
    /// In hex, with colons.
    pub serial_number: String,
    /// PEM.
    pub cert_pem: String,
    /// PEM. A secret.
    pub private_key_pem: String,
    /// The service's name.
    pub service: String,
    /// Its SPIFFE URI.
    pub service_uri: String,
    /// RFC 3339.
    pub valid_after: String,
    /// RFC 3339.
    pub valid_before: String,
}

/// The content of a file, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileContent {
    /// Its text.
    Text(String),
    /// The file does not exist.
    Missing,
    /// The file must not or cannot be read, with the reason.
    Refused(String),
}

/// Omits the private key.
impl std::fmt::Debug for CaLeaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaLeaf")
            .field("service", &self.service)
            .field("serial_number", &self.serial_number)
            .finish_non_exhaustive()
    }
}
