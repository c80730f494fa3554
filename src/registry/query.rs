//! What a template asks a registry.

use std::fmt;

/// One question. Equal queries share one watch, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// The instances of one service.
    Service {
        /// The service's name.
        name: String,
        /// Only instances that carry this tag.
        tag: Option<String>,
        /// Another datacenter than the agent's own.
        dc: Option<String>,
        /// Only instances whose checks all pass.
        passing: bool,
    },
    /// The names of all services, with the tags of their instances.
    Services {
        /// Another datacenter than the agent's own.
        dc: Option<String>,
    },
    /// The value of one key.
    Key {
        /// Without a leading slash.
        path: String,
        /// Another datacenter than the agent's own.
        dc: Option<String>,
    },
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dc = match self {
            Self::Service { name, tag, dc, passing } => {
                write!(f, "service {name:?}")?;
                if let Some(tag) = tag {
                    write!(f, " tag={tag:?}")?;
                }
                if !passing {
                    write!(f, " any=true")?;
                }
                dc
            }
            Self::Services { dc } => {
                write!(f, "services")?;
                dc
            }
            Self::Key { path, dc } => {
                write!(f, "key {path:?}")?;
                dc
            }
        };
        dc.as_ref().map_or(Ok(()), |dc| write!(f, " dc={dc:?}"))
    }
}
