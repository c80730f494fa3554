//! A health check of an instance.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Status;

/// A health check of an instance: what is probed, how often, and what counts as a success.
///
/// Durations are in Consul's notation (`10s`, `1m30s`), unchanged from the container's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Identifies the check within its instance. It is the same at each registration, so that the check keeps its
    /// state.
    pub key: String,
    /// The name for users; the registry's default if unset.
    pub name: Option<String>,
    /// What is probed.
    pub probe: CheckProbe,
    /// The time between two probes; `None` for [`CheckProbe::Report`].
    pub interval: Option<String>,
    /// The time limit of one probe; the agent's default (10 s) if unset.
    pub timeout: Option<String>,
    /// The status until the first probe has ended: `passing`, `warning` or `critical`. The agent's default is critical.
    pub initial_status: Option<String>,
    /// The agent removes a service that has been critical for this time.
    pub deregister_after: Option<String>,
    /// The number of successful probes in a row before the check passes. Consul 1.7 and later.
    pub success_before_passing: Option<u32>,
    /// The number of failed probes in a row before the check is critical. Consul 1.7 and later.
    pub failures_before_critical: Option<u32>,
}

impl Check {
    /// The [`Check::key`] of the check without a number.
    pub const FIRST: &'static str = "0";

    /// A check with the registry's defaults for everything else.
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

/// A [`Check`] as the registry reports it: not its whole definition, but enough to detect that someone replaced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredCheck {
    /// See [`CheckProbe::kind`]; `None` if the registry does not report it.
    pub kind: Option<String>,
    /// See [`Check::name`].
    pub name: Option<String>,
}

impl RegisteredCheck {
    /// What the registry reports for `check` after its registration.
    pub fn expected(check: &Check) -> Self {
        Self { kind: Some(check.probe.kind().to_owned()), name: check.name.clone() }
    }

    /// Whether the registry could report `check` like this. An unknown kind matches any.
    pub fn matches(&self, check: &Check) -> bool {
        self.name == check.name && self.kind.as_deref().is_none_or(|kind| kind == check.probe.kind())
    }
}

/// What a [`Check`] probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CheckProbe {
    /// An HTTP request: 2xx is passing, 429 is warning, everything else is critical.
    Http {
        /// The URL, `http://` or `https://`.
        url: String,
        /// `GET` if unset.
        method: Option<String>,
        /// The headers of the request.
        header: BTreeMap<String, Vec<String>>,
        /// The body of the request.
        body: Option<String>,
        /// Accept any certificate.
        tls_skip_verify: bool,
    },
    /// A TCP connection.
    Tcp {
        /// `host:port`; IPv6 in brackets.
        address: String,
    },
    /// gRPC's standard health protocol.
    Grpc {
        /// `host:port[/service]`.
        address: String,
        /// Whether TLS is used.
        tls: bool,
        /// Accept any certificate.
        tls_skip_verify: bool,
    },
    /// A ping over HTTP/2. Consul 1.10 and later.
    H2ping {
        /// `host:port`.
        address: String,
        /// Whether TLS is used.
        tls: bool,
        /// Accept any certificate.
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
        /// The shell that runs `arguments`; the agent's default if unset.
        shell: Option<String>,
        /// The program and its arguments.
        arguments: Vec<String>,
    },
    /// No probe: the status is reported to the agent, and it becomes critical if no report has come for `ttl`.
    Report {
        /// How long a report is valid.
        ttl: String,
    },
}

impl CheckProbe {
    /// The kind, as Consul names it.
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

/// A status that `register` reports for a check with [`CheckProbe::Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// [`Status::Passing`], [`Status::Warning`] or [`Status::Critical`].
    pub status: Status,
    /// The output for users, such as the last lines of a probe.
    pub output: String,
}
