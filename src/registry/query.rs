//! The queries of templates.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// One query. Equal queries share one watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Query {
    /// The instances of one service.
    Service(ServiceQuery),
    /// The names of all services, with the tags of their instances.
    Services {
        /// A filter expression in the language of the registry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// All nodes.
    Nodes {
        /// Sort by the round-trip time from this node; `_agent` is the agent's own node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<String>,
        /// A filter expression in the language of the registry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// One node and the services on it.
    Node {
        /// The name of the node; `None` means the node of the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// The names of all datacenters.
    Datacenters {
        /// Only datacenters that answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reachable: bool,
    },
    /// The value of one key.
    Key {
        /// Without a leading slash.
        path: String,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// All keys with a prefix.
    Keys {
        /// Without a leading slash. It is compared as text: `app` is a prefix of `apple`.
        prefix: String,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// The instances that a prepared query finds.
    Prepared {
        /// Its name or id.
        name: String,
        /// Sort by the round-trip time from this node; otherwise by node and id, whatever order the query itself
        /// defines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<String>,
        /// The scope.
        #[serde(flatten)]
        scope: Scope,
    },
    /// The root certificates of the mesh's CA.
    CaRoots,
    /// The certificate of one service of the mesh, with its private key.
    CaLeaf {
        /// The service.
        service: String,
    },
    /// The content of a file on this host; it is not read from the registry.
    File {
        /// Absolute, or relative to the file root.
        path: PathBuf,
    },
}

/// The instances of one service, with filters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceQuery {
    /// The service's name.
    pub name: String,
    /// Only instances with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Only instances whose checks all pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
    /// The mesh proxies of the service's instances, and the instances that support the mesh natively.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub connect: bool,
    /// Sort by the round-trip time from this node; `_agent` is the agent's own node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<String>,
    /// A filter expression in the language of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The peer that exports the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The sameness group whose members replace each other on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sameness_group: Option<String>,
    /// The scope.
    #[serde(flatten)]
    pub scope: Scope,
}

/// The datacenter, namespace and admin partition of a query. An unset field means that of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scope {
    /// The datacenter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dc: Option<String>,
    /// The namespace (Consul Enterprise).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The admin partition (Consul Enterprise).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

impl Query {
    /// The healthy instances of a service.
    pub fn service(name: impl Into<String>) -> Self {
        Self::Service(ServiceQuery { name: name.into(), passing: true, ..ServiceQuery::default() })
    }

    /// All services.
    pub fn services() -> Self {
        Self::Services { filter: None, scope: Scope::default() }
    }

    /// The scope; `None` for queries without one.
    pub fn scope(&self) -> Option<&Scope> {
        match self {
            Self::Service(ServiceQuery { scope, .. })
            | Self::Services { scope, .. }
            | Self::Nodes { scope, .. }
            | Self::Node { scope, .. }
            | Self::Key { scope, .. }
            | Self::Keys { scope, .. }
            | Self::Prepared { scope, .. } => Some(scope),
            Self::Datacenters { .. } | Self::CaRoots | Self::CaLeaf { .. } | Self::File { .. } => None,
        }
    }

    /// The value of a key.
    pub fn key(path: impl Into<String>) -> Self {
        Self::Key { path: path.into(), scope: Scope::default() }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(query) => write!(f, "{query}"),
            Self::Services { filter, scope } => {
                f.write_str("services")?;
                option(f, "filter", filter)?;
                write!(f, "{scope}")
            }
            Self::Nodes { near, filter, scope } => {
                f.write_str("nodes")?;
                option(f, "near", near)?;
                option(f, "filter", filter)?;
                write!(f, "{scope}")
            }
            Self::Node { name, scope } => match name {
                Some(name) => write!(f, "node {name:?}{scope}"),
                None => write!(f, "node{scope}"),
            },
            Self::Datacenters { reachable } => {
                f.write_str("datacenters")?;
                flag(f, "reachable", *reachable)
            }
            Self::Key { path, scope } => write!(f, "key {path:?}{scope}"),
            Self::Keys { prefix, scope } => write!(f, "keys below {prefix:?}{scope}"),
            Self::Prepared { name, near, scope } => {
                write!(f, "prepared {name:?}")?;
                option(f, "near", near)?;
                write!(f, "{scope}")
            }
            Self::CaRoots => f.write_str("caRoots"),
            Self::CaLeaf { service } => write!(f, "caLeaf {service:?}"),
            Self::File { path } => write!(f, "file {path:?}"),
        }
    }
}

impl fmt::Display for ServiceQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.connect { "connect" } else { "service" }, self.name)?;
        option(f, "tag", &self.tag)?;
        flag(f, "any", !self.passing)?;
        option(f, "near", &self.near)?;
        option(f, "filter", &self.filter)?;
        option(f, "peer", &self.peer)?;
        option(f, "samenessGroup", &self.sameness_group)?;
        write!(f, "{}", self.scope)
    }
}

/// Each set field is written as an option, after a space.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        option(f, "dc", &self.dc)?;
        option(f, "namespace", &self.namespace)?;
        option(f, "partition", &self.partition)
    }
}

fn option(f: &mut fmt::Formatter<'_>, name: &str, value: &Option<String>) -> fmt::Result {
    value.as_ref().map_or(Ok(()), |value| write!(f, " {name}={value:?}"))
}

fn flag(f: &mut fmt::Formatter<'_>, name: &str, value: bool) -> fmt::Result {
    if value { write!(f, " {name}=true") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_displayed_as_in_a_template() {
        let scope = Scope { dc: Some("dc2".into()), ..Scope::default() };
        let query = ServiceQuery { name: "web".into(), tag: Some("v1".into()), scope, ..ServiceQuery::default() };
        assert_eq!(Query::Service(query).to_string(), r#"service "web" tag="v1" any=true dc="dc2""#);
        assert_eq!(Query::service("web").to_string(), r#"service "web""#);
        assert_eq!(Query::Node { name: None, scope: Scope::default() }.to_string(), "node");
    }

    #[test]
    fn a_query_can_be_serialized_and_read_back() {
        for query in [Query::service("web"), Query::services(), Query::key("a/b"), Query::CaRoots] {
            let text = serde_json::to_string(&query).expect("plain data");
            assert_eq!(serde_json::from_str::<Query>(&text).expect("one of ours"), query, "{text}");
        }
    }
}
