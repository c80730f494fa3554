//! The readiness gate: in each run of a container, the probe of `SERVICE_READY` must succeed once before the container
//! is registered. Pure.
//!
//! `tcp` opens a connection; `http` and `/path` send a GET request that must return 2xx or 3xx. The probe goes to the
//! published port or to the container's own address, whatever `SERVICE_ADDRESS` is.

use std::{collections::BTreeMap, fmt};

use super::{address::ServiceAddress, checks::host_and_port, metadata::PortMetadata, value_problems};
use crate::{
    docker::{Port, Protocol},
    registry::{Entry, Instance, Owner},
};

/// One port in one run of a container. A port that has been ready once stays ready until the run ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRun {
    /// The container's full id.
    pub container: String,
    /// When the container was started, as the engine reports it.
    pub started: String,
    /// The port inside the container.
    pub port: Port,
}

/// The probe that an instance waits for before its first registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessGate {
    /// The port and the run that the gate belongs to.
    pub run: PortRun,
    /// The probe that must succeed once.
    pub probe: ReadinessProbe,
}

/// A probe that this host runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadinessProbe {
    /// Opens a TCP connection.
    Tcp {
        /// The host name or address.
        address: String,
        /// The port at that address.
        port: u16,
    },
    /// Sends a GET request; an answer of 2xx or 3xx is a success.
    Http {
        /// The URL of the request.
        url: String,
    },
}

impl fmt::Display for ReadinessProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, port } => write!(f, "tcp {}", host_and_port(address, *port)),
            Self::Http { url } => f.write_str(url),
        }
    }
}

/// The readiness gate of `instance`, which was derived from `port`; `None` without `SERVICE_READY`.
///
/// `probed` is the address at which this host reaches the container. It is never an address from a label or variable:
/// an image must not cause requests to other hosts.
pub(super) fn readiness_gate(
    metadata: &PortMetadata<'_>,
    instance: &Instance,
    port: Port,
    probed: Option<ServiceAddress>,
    notes: &mut Vec<String>,
) -> Option<ReadinessGate> {
    let setting = metadata.get("ready").filter(|_| metadata.is_enabled("ready"))?;
    // A setting for the whole container applies to its tcp ports.
    if port.protocol != Protocol::Tcp && !setting.is_port_specific {
        return None;
    }
    let Some(ServiceAddress { address, port: number, .. }) = probed else {
        notes.push(format!("{} is ignored: the container has no address that can be probed", setting.name));
        return None;
    };
    let authority = host_and_port(&address, number);
    let probe = match setting.value {
        _ if port.protocol != Protocol::Tcp => {
            notes.push(format!("{} is ignored: only a tcp port can be probed", setting.name));
            return None;
        }
        "tcp" => ReadinessProbe::Tcp { address, port: number },
        "http" => ReadinessProbe::Http { url: format!("http://{authority}/") },
        path if path.starts_with('/') && value_problems::path_problem(path).is_none() => {
            ReadinessProbe::Http { url: format!("http://{authority}{path}") }
        }
        value => {
            let problem = value_problems::path_problem(value).filter(|_| value.starts_with('/'));
            let problem =
                problem.unwrap_or_else(|| format!("{value:?} is neither tcp nor http nor a path such as /up"));
            notes.push(format!("{} is ignored: {problem}", setting.name));
            return None;
        }
    };
    let started = instance.owner.started.clone();
    Some(ReadinessGate { run: PortRun { container: instance.owner.container.clone(), started, port }, probe })
}

/// Whether an instance still has to wait. An instance that is already registered for the same run does not wait.
pub(super) fn is_waiting(
    gate: &ReadinessGate,
    owner: &Owner,
    entry: Option<&Entry>,
    ready: &BTreeMap<PortRun, ()>,
) -> bool {
    !ready.contains_key(&gate.run) && !entry.is_some_and(|entry| entry.owner.is_same_run(owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::store::Store,
        register::{
            fixture::{container, instance},
            metadata::Metadata,
        },
        registry::Entry,
    };

    fn readiness_gate_of(name: &str, value: &str, port: &str) -> (Option<String>, Vec<String>) {
        let container = container("web").env(name, value);
        let metadata = Metadata::read(&container);
        let port = port.parse().expect("a port");
        let mut notes = Vec::new();
        let probed =
            ServiceAddress { address: "10.0.0.1".into(), port: 80, source: crate::register::AddressSource::Advertised };
        let gate = readiness_gate(&metadata.for_port(port), &instance("id", "web"), port, Some(probed), &mut notes);
        (gate.map(|gate| gate.probe.to_string()), notes)
    }

    #[test]
    fn the_probe_of_each_setting() {
        let cases = [
            ("SERVICE_READY", "tcp", "80/tcp", Some("tcp 10.0.0.1:80")),
            ("SERVICE_READY", "http", "80/tcp", Some("http://10.0.0.1:80/")),
            ("SERVICE_READY", "/up?x", "80/tcp", Some("http://10.0.0.1:80/up?x")),
            ("SERVICE_80_READY", "/up", "80/tcp", Some("http://10.0.0.1:80/up")),
            ("SERVICE_81_READY", "/up", "80/tcp", None),
            ("SERVICE_READY", "false", "80/tcp", None),
            ("SERVICE_READY", "tcp", "53/udp", None),
        ];
        for (name, value, port, expected) in cases {
            assert_eq!(
                readiness_gate_of(name, value, port),
                (expected.map(str::to_owned), Vec::new()),
                "{name}={value} {port}"
            );
        }
        let (gate, notes) = readiness_gate_of("SERVICE_READY", "soon", "80/tcp");
        let expected = "SERVICE_READY is ignored: \"soon\" is neither tcp nor http nor a path such as /up";
        assert_eq!((gate, notes), (None, vec![expected.to_owned()]));
        assert_eq!(readiness_gate_of("SERVICE_53_READY", "tcp", "53/udp").1.len(), 1);
    }

    #[test]
    fn an_instance_waits_until_it_is_ready_or_registered_for_the_same_run() {
        let web = instance("web", "1");
        let run = PortRun { container: "1".into(), started: "now".into(), port: "80/tcp".parse().expect("a port") };
        let gate = ReadinessGate { run: run.clone(), probe: ReadinessProbe::Http { url: "http://x/".into() } };
        let waits = |entry: Option<&Entry>, ready: &Store<PortRun, ()>| {
            is_waiting(&gate, &web.owner, entry, &ready.snapshot().entries)
        };
        let ready = Store::default();
        assert!(waits(None, &ready));
        let entry_of_run = |started: &str| {
            let mut entry = Entry::expected(&web);
            started.clone_into(&mut entry.owner.started);
            entry
        };
        assert!(!waits(Some(&entry_of_run("now")), &ready));
        assert!(waits(Some(&entry_of_run("before")), &ready), "another run of the container");
        ready.put(run, ());
        assert!(!waits(None, &ready));
    }
}
