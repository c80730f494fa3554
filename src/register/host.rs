//! The host whose containers are registered. Pure.

use super::{reachable_host::is_local_only, settings::Settings};
use crate::docker::Engine;

/// The engine, the advertised address and the settings that all instances of one `register` share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Docker engine's own id.
    pub engine: String,
    /// The first part of each service id.
    pub hostname: String,
    /// The engine's data directory; empty if the engine does not report it.
    pub data_dir: String,
    /// The address that the registry's agent advertises.
    pub advertised: String,
    /// The settings of `register`.
    pub settings: Settings,
}

impl Host {
    /// The host of an engine. Its name is `--hostname`, or else the name that the engine reports.
    pub fn new(engine: Engine, advertised: String, settings: Settings) -> Self {
        let hostname = settings.hostname.clone().unwrap_or(engine.host_name);
        Self { engine: engine.id, data_dir: engine.data_dir, hostname, advertised, settings }
    }

    /// Distinguishes this host's engine from others on the same agent; see
    /// [`Owner::host`](crate::registry::Owner::host).
    pub fn owner_host(&self) -> String {
        if self.data_dir.is_empty() { self.hostname.clone() } else { format!("{}:{}", self.hostname, self.data_dir) }
    }

    /// The address at which other hosts reach ports that are published on all addresses.
    pub fn external_address(&self) -> String {
        self.configured_address().unwrap_or(&self.advertised).to_owned()
    }

    /// A warning if other hosts cannot reach that address because it is loopback or link-local.
    pub(super) fn unreachable_address_note(&self) -> Option<String> {
        let is_unreachable = self.external_address().parse().is_ok_and(is_local_only);
        is_unreachable.then(|| match self.configured_address() {
            Some(ip) => format!("--ip {ip}: other hosts cannot reach the instances there"),
            None => format!(
                "the registry's agent advertises {}: other hosts cannot reach the instances there; set the agent's \
                 advertise_addr, or give --ip",
                self.advertised
            ),
        })
    }

    /// `--ip`; an empty value counts as unset, as in registrator.
    pub(super) fn configured_address(&self) -> Option<&str> {
        self.settings.ip.as_deref().filter(|ip| !ip.is_empty())
    }
}
