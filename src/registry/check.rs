//! A health check of an instance.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Status;

/// What is probed, how often, and what counts as an answer.
///
/// Durations are in Consul's own notation (`10s`, `1m30s`), as they came from the container's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Tells the checks of one instance apart; the same at each registration, so that a check keeps its state.
    pub key: String,
    /// For people; the registry's own default when unset.
    pub name: Option<String>,
    /// What is probed.
    pub probe: CheckProbe,
    /// Time between two probes; nothing for [`Probe::Report`].
    pub interval: Option<String>,
    /// How long one probe may take; the agent's default (10 s) when unset.
    pub timeout: Option<String>,
    /// Status until the first probe has ended: `passing`, `warning` or `critical`; the agent's default is critical.
    pub initial_status: Option<String>,
    /// The agent removes a service that has been critical for so long.
    pub deregister_after: Option<String>,
    /// So many good probes in a row before it passes. Consul 1.7 and later.
    pub success_before_passing: Option<u32>,
    /// So many bad probes in a row before it is critical. Consul 1.7 and later.
    pub failures_before_critical: Option<u32>,
}

impl Check {
    /// The [`Check::key`] of a check without a number of its own.
    pub const FIRST: &'static str = "0";

    /// A check with the registry's own defaults for everything else.
    pub fn new(key: &str, probe: CheckProbe) -> Self {
        Self {
            key: key.to_owned(),
            name: None,
            probe,
            interval: None,
            timeout: None,
            initial_status: None,
            deregister_after: None,
            success_before_passing: None,
            failures_before_critical: None,
        }
    }
}

/// A [`Check`] as a registry shows it: not all of its definition, but enough to see that it was replaced by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredCheck {
    /// See [`Probe::kind`]; `None` where the registry does not tell.
    pub kind: Option<String>,
    /// See [`Check::name`].
    pub name: Option<String>,
}

impl RegisteredCheck {
    /// What a registry shows of a check that was registered like this.
    pub fn expected(check: &Check) -> Self {
        Self { kind: Some(check.probe.kind().to_owned()), name: check.name.clone() }
    }

    /// Whether it may be that check.
    pub fn matches(&self, check: &Check) -> bool {
        self.name == check.name && self.kind.as_deref().is_none_or(|kind| kind == check.probe.kind())
    }
}

/// What a [`Check`] probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CheckProbe {
    /// A request: 2xx is passing, 429 is warning, everything else critical.
    Http {
        /// The whole address, `http://` or `https://`.
        url: String,
        /// `GET` when unset.
        method: Option<String>,
        /// Sent with the request.
        header: BTreeMap<String, Vec<String>>,
        /// Sent with the request.
        body: Option<String>,
        /// Take any certificate.
        tls_skip_verify: bool,
    },
    /// A connection that opens.
    Tcp {
        /// `host:port`; IPv6 in brackets.
        address: String,
    },
    /// gRPC's standard health protocol.
    Grpc {
        /// `host:port[/service]`.
        address: String,
        /// Over TLS.
        tls: bool,
        /// Take any certificate.
        tls_skip_verify: bool,
    },
    /// A ping over HTTP/2. Consul 1.10 and later.
    H2ping {
        /// `host:port`.
        address: String,
        /// Over TLS.
        tls: bool,
        /// Take any certificate.
        tls_skip_verify: bool,
    },
    /// A program that the agent runs; the agent must allow that (`enable_local_script_checks`).
    Script {
        /// The program and its arguments.
        arguments: Vec<String>,
    },
    /// A program that the agent runs inside a container; the agent must allow that.
    Docker {
        /// The container's full id.
        container: String,
        /// The shell that runs `arguments`; the agent's default when unset.
        shell: Option<String>,
        /// The program and its arguments.
        arguments: Vec<String>,
    },
    /// Nothing: somebody reports the status, and it is critical when no report has come for `ttl`.
    Report {
        /// How long a report counts.
        ttl: String,
    },
}

impl CheckProbe {
    /// The kind in one word, as Consul shows it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Tcp { .. } => "tcp",
            Self::Grpc { .. } => "grpc",
            Self::H2ping { .. } => "h2ping",
            Self::Script { .. } => "script",
            Self::Docker { .. } => "docker",
            Self::Report { .. } => "ttl",
        }
    }
}

/// A status that we report, for a check with [`Probe::Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// [`Status::Passing`], [`Status::Warning`] or [`Status::Critical`].
    pub status: Status,
    /// For people: the last lines of a probe.
    pub output: String,
}
