//! The upstreams of a file, their servers and instances, as data. Pure.

use std::{collections::BTreeSet, fmt};

/// The servers that one `{{upstream …}}` has printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// The services that the servers were chosen from, usually one. The instances that are not among `servers` were
    /// left out.
    pub services: BTreeSet<String>,
    /// Additional parameters of each server, in the balancer's syntax: `backup`, `max_fails=3`.
    pub options: Vec<String>,
    /// In the order in which they are printed.
    pub servers: Vec<Server>,
}

/// One server of an [`Upstream`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Unique in its upstream: the instance's id, with its node in front if several nodes have an instance of that id.
    pub name: String,
    /// The instance that answers.
    pub instance: Member,
    /// The weight in the registry. Each balancer has its own limits.
    pub weight: u32,
}

/// An instance of a service that a file was rendered from.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The service's name.
    pub service: String,
    /// The name of the instance's node.
    pub node: String,
    /// The instance's id, unique on its node.
    pub id: String,
    /// An IP address or a host name.
    pub address: String,
    /// The port that belongs to `address`.
    pub port: u16,
}

impl Member {
    /// `address:port`, with brackets around an IPv6 address.
    pub fn endpoint(&self) -> String {
        let Self { address, port, .. } = self;
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    }
}

/// `web 10.0.0.5:32775`
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.service, self.endpoint())
    }
}
