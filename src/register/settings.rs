//! What a user can set for `register`. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The `[register]` table of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address for every instance. Default: the address that the registry's agent advertises.
    pub ip: Option<String>,
    /// Register containers at their own addresses and ports. Default false.
    pub internal: bool,
    /// Under `internal`: the network whose address counts. Default: the only one, or the one that it was started with.
    pub network: Option<String>,
    /// Register only ports that have a name of their own or a `SERVICE_NAME`. Default false.
    pub explicit: bool,
    /// A label that holds the address of a container's instances.
    pub use_ip_from_label: Option<String>,
    /// The first part of each service id. Default: the name that the Docker engine has for its host.
    pub hostname: Option<String>,
    /// Time between two full looks at Docker and at the registry. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub resync: Duration,
    /// A container that still runs so long after it was told to stop gets traffic again. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub drain_return: Duration,
    /// What happens to the entries at a clean stop. Default: they stay.
    pub on_exit: OnExit,
}

/// What happens to our entries at a clean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// They stay: the containers go on serving.
    #[default]
    Keep,
    /// They are taken out of traffic until the next start.
    Maintenance,
    /// They are removed.
    Deregister,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ip: None,
            internal: false,
            network: None,
            explicit: false,
            use_ip_from_label: None,
            hostname: None,
            resync: Duration::from_secs(30),
            drain_return: Duration::from_secs(600),
            on_exit: OnExit::default(),
        }
    }
}
