//! The desired state of a registry entry.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Check, StatusReport};
use crate::sys::hex;

/// The prefix of every key that we add to a service's Meta.
pub const META_PREFIX: &str = "portreeve-";

/// The prefix of every reason for which we take an entry out of traffic; any other reason is an operator's.
pub const MAINTENANCE_PREFIX: &str = "portreeve: ";

/// A part of each digest. Increment it with a change of the code that sends another body for the same [`Instance`].
const BODY_VERSION: u8 = 2;

/// The desired state of one registry entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Unique on the agent; by default `host:container:port`, as in registrator.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The address at which other hosts reach it: an IP address, or a configured host name.
    pub address: String,
    /// The port that belongs to `address`.
    pub port: u16,
    /// The tags, in the order in which they were written.
    pub tags: Vec<String>,
    /// Keys and values for users of the registry, without the ownership marks.
    pub meta: BTreeMap<String, String>,
    /// Additional addresses, by name: one for each Docker network, `lan_ipv4`, `lan_ipv6`.
    pub tagged_addresses: BTreeMap<String, (String, u16)>,
    /// Its weights in load balancing; the registry's default (1 and 1) if unset.
    pub weights: Option<Weights>,
    /// Whether others may change the tags in the registry; `register` then leaves them as they are.
    pub tag_override: bool,
    /// Its health checks.
    pub checks: Vec<Check>,
    /// The statuses of the checks that wait for reports, by [`Check::key`].
    #[serde(skip)]
    pub reports: BTreeMap<String, StatusReport>,
    /// The owner of the entry.
    pub owner: Owner,
    /// Why the instance must get no traffic; `None` if it may.
    #[serde(skip)]
    pub out_of_traffic: Option<OutOfTraffic>,
}

impl Instance {
    /// A short hash of everything that a registration sends. An entry with an equal digest needs no write.
    ///
    /// Maintenance is not a part of it, since it is written separately.
    pub fn digest(&self) -> String {
        let body = serde_json::to_vec(&(BODY_VERSION, self)).expect("strings, numbers and maps with string keys");
        hex::encode(&Sha256::digest(body)[..8])
    }
}

/// The weights of an instance in load balancing, relative to the other instances of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    /// While all checks pass; 1 or more.
    pub passing: u32,
    /// While a check warns; 0 or more.
    pub warning: u32,
}

/// The owner of an entry, as written into the entry's Meta. It is never derived from an id or a host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The Docker engine's own id. It is not a part of the digest, since some engines change it at each start.
    #[serde(skip)]
    pub engine: String,
    /// The host name and the data directory of the engine. Empty in entries of earlier versions.
    pub host: String,
    /// The container's full id.
    pub container: String,
    /// When the container started, as the engine reports it.
    pub started: String,
}

impl Owner {
    /// The Meta key of [`Owner::engine`].
    pub const ENGINE_KEY: &'static str = "portreeve-engine";
    /// The Meta key of [`Owner::host`].
    pub const HOST_KEY: &'static str = "portreeve-host";
    /// The Meta key of [`Owner::container`].
    pub const CONTAINER_KEY: &'static str = "portreeve-container";
    /// The Meta key of [`Owner::started`].
    pub const STARTED_KEY: &'static str = "portreeve-started";

    /// Whether both are of the same run of the same container.
    pub fn is_same_run(&self, other: &Self) -> bool {
        (&self.container, &self.started) == (&other.container, &other.started)
    }
}

/// Why an instance must get no traffic although its container exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTraffic {
    /// The engine sent the container its stop signal; the process still serves open connections.
    Draining {
        /// When the signal was sent.
        since: Timestamp,
    },
    /// The container is paused: its port accepts connections but does not answer.
    Paused,
    /// The container is in a crash loop.
    CrashLoop,
    /// The container has failed, and `--deregister on-success` keeps its entries.
    Failed,
}

/// The first words of the reason of [`OutOfTraffic::Draining`].
const DRAINING_PREFIX: &str = "draining, the container was told to stop";

impl OutOfTraffic {
    /// Parses a reason from the registry; `None` if it is an operator's. `now` is used if the reason contains no time,
    /// as in entries of earlier versions.
    pub fn parse(reason: &str, now: Timestamp) -> Option<Self> {
        let text = reason.strip_prefix(MAINTENANCE_PREFIX)?;
        if let Some(rest) = text.strip_prefix(DRAINING_PREFIX) {
            let since = rest.strip_prefix(" at ").and_then(|time| time.parse().ok());
            return Some(Self::Draining { since: since.unwrap_or(now) });
        }
        [Self::Paused, Self::CrashLoop, Self::Failed].into_iter().find(|known| known.to_string() == reason)
    }
}

/// Times are written in whole seconds.
impl fmt::Display for OutOfTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Draining { since } => return write!(f, "{MAINTENANCE_PREFIX}{DRAINING_PREFIX} at {since:.0}"),
            Self::Paused => "the container is paused",
            Self::CrashLoop => "the container starts again and again",
            Self::Failed => "the container has failed",
        };
        write!(f, "{MAINTENANCE_PREFIX}{word}")
    }
}
