//! One address and port that serves a service, as we want a registry to hold it.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Check, StatusReport};
use crate::sys::hex;

/// Every key that we add to a service's Meta starts with this.
pub const META_PREFIX: &str = "portreeve-";

/// Every reason that we give for taking an entry out of traffic starts with this; any other reason is an operator's.
pub const MAINTENANCE_PREFIX: &str = "portreeve: ";

/// Goes into each digest. Raise it when the same [`Instance`] starts to be sent as a different body.
const BODY_VERSION: u8 = 2;

/// The desired state of one registry entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Unique on the agent: `host:container:port`, as registrator wrote it.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Where others reach it: an IP address, or a host name that an operator gave.
    pub address: String,
    /// The port that belongs to `address`.
    pub port: u16,
    /// In the order in which they were written.
    pub tags: Vec<String>,
    /// Key and value pairs for users of the registry, without our own keys.
    pub meta: BTreeMap<String, String>,
    /// Addresses beside the main one, by name: one for each Docker network, `lan_ipv4`, `lan_ipv6`.
    pub tagged_addresses: BTreeMap<String, (String, u16)>,
    /// How much of the traffic it gets; the registry's default (1 and 1) when unset.
    pub weights: Option<Weights>,
    /// Others may change the tags in the registry, and we do not change them back.
    pub tag_override: bool,
    /// Its health checks.
    pub checks: Vec<Check>,
    /// What we report for those of `checks` that wait for reports, by [`Check::key`].
    #[serde(skip)]
    pub reports: BTreeMap<String, StatusReport>,
    /// Whose entry it is.
    pub owner: Owner,
    /// Set while the instance must get no traffic.
    #[serde(skip)]
    pub out_of_traffic: Option<OutOfTraffic>,
}

impl Instance {
    /// A short hash of everything that is sent on a registration: equal digests need no write.
    ///
    /// Being out of traffic is not part of it: that is a write of its own.
    pub fn digest(&self) -> String {
        let body = serde_json::to_vec(&(BODY_VERSION, self)).expect("strings, numbers and maps with string keys");
        hex::encode(&Sha256::digest(body)[..8])
    }
}

/// How much of the traffic an instance gets, relative to the others of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    /// While it passes, 1 or more.
    pub passing: u32,
    /// While a check warns, 0 or more.
    pub warning: u32,
}

/// Whose entry it is, written into the entry's Meta: never guessed from an id or a host name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The Docker engine's own id. Not part of the digest: some engines have another one at each start.
    #[serde(skip)]
    pub engine: String,
    /// Where the engine runs: its host's name, and its data directory. Empty in entries of earlier versions.
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

    /// Whether both are the same container since the same start.
    pub fn is_same_run(&self, other: &Self) -> bool {
        (&self.container, &self.started) == (&other.container, &other.started)
    }
}

/// Why an instance must get no traffic although its container exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfTraffic {
    /// The engine sent the container its stop signal; the process still serves what it has.
    Draining {
        /// When that was.
        since: Timestamp,
    },
    /// The container is paused: its port accepts, nothing answers.
    Paused,
    /// The container starts again and again.
    CrashLoop,
    /// The container has failed, and entries of failed containers are kept.
    Failed,
}

/// How the reason of [`OutReason::Draining`] begins.
const DRAINING_PREFIX: &str = "draining, the container was told to stop";

impl OutOfTraffic {
    /// Reads a reason as the registry shows it; `None` if it is none of ours. `now` stands for a time that is missing, as
    /// earlier versions wrote none.
    pub fn parse(reason: &str, now: Timestamp) -> Option<Self> {
        let said = reason.strip_prefix(MAINTENANCE_PREFIX)?;
        if let Some(rest) = said.strip_prefix(DRAINING_PREFIX) {
            let since = rest.strip_prefix(" at ").and_then(|time| time.parse().ok());
            return Some(Self::Draining { since: since.unwrap_or(now) });
        }
        [Self::Paused, Self::CrashLoop, Self::Failed].into_iter().find(|known| known.to_string() == reason)
    }
}

/// A time is told in whole seconds.
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
