//! A health check that the registry's agent carries out by itself.

use serde::Serialize;

/// What is probed, how often, and what counts as an answer.
///
/// Durations are in Consul's own notation (`10s`, `1m30s`), as they came from the container's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is probed.
    pub probe: Probe,
    /// Time between two probes; registrator's default is `10s`.
    pub interval: String,
    /// How long one probe may take; the agent's default (10 s) when unset.
    pub timeout: Option<String>,
    /// Status until the first probe has ended: `passing`, `warning` or `critical`; the agent's default is critical.
    pub initial_status: Option<String>,
    /// The agent removes a service that has been critical for so long.
    pub deregister_after: Option<String>,
}

/// What a [`Check`] probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Probe {
    /// A request: 2xx is passing, 429 is warning, everything else critical.
    Http {
        /// The whole address, `http://` or `https://`.
        url: String,
        /// `GET` when unset.
        method: Option<String>,
    },
    /// A connection that opens.
    Tcp {
        /// `host:port`; IPv6 in brackets.
        address: String,
    },
}
