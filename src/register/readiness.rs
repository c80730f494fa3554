//! `SERVICE_READY`: what has to answer once before a run of a container is registered for the first time.
//!
//! Pure, but for the `Prober`. `tcp` asks for a connection, `/path` for a good answer (2xx or 3xx) to an HTTP GET, both
//! at the published port or the container's own address, whatever `SERVICE_ADDRESS` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::redirect;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{address::ServiceAddress, checks::host_and_port, metadata::PortMetadata, value_problems};
use crate::{
    core::{
        condition,
        store::{Snapshot, Store},
        supervise::part_of_current,
    },
    docker::{Observation, Port, Protocol},
    registry::{Entry, Instance, Owner},
};

/// The wait after the first failed probe; doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two probes.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long one probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// After so much time users are told that a container is not ready.
const LOG_AFTER: Duration = Duration::from_secs(30);

/// One port in one run of a container: what has been ready once stays so until the run ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortRun {
    /// The container's full id.
    pub container: String,
    /// When it was started, as the engine wrote it.
    pub started: String,
    /// The port inside.
    pub port: Port,
}

/// What an instance waits for before its first registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessGate {
    /// What it opens for.
    pub run: PortRun,
    /// What has to succeed once.
    pub probe: ReadinessProbe,
}

/// A probe from this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadinessProbe {
    /// A TCP connection.
    Tcp {
        /// Host name or address.
        address: String,
        /// The port there.
        port: u16,
    },
    /// An answer of 2xx or 3xx to a GET.
    Http {
        /// What is asked for.
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

/// What `instance`, made of `port`, has to wait for; `None` if nobody asked for it.
///
/// `probed` is where this host reaches the container. It is never an address that a label or variable gives: an image must
/// not make us send requests to other hosts.
pub(super) fn readiness_gate(
    metadata: &PortMetadata<'_>,
    instance: &Instance,
    port: Port,
    probed: Option<ServiceAddress>,
    notes: &mut Vec<String>,
) -> Option<ReadinessGate> {
    let setting = metadata.get("ready").filter(|_| metadata.is_enabled("ready"))?;
    // What is said of the whole container is meant for its tcp ports.
    if port.protocol != Protocol::Tcp && !setting.is_port_specific {
        return None;
    }
    let Some(ServiceAddress { address, port: number, .. }) = probed else {
        notes.push(format!("{} is ignored: the container has no address that can be probed", setting.name));
        return None;
    };
    let place = host_and_port(&address, number);
    let probe = match setting.value {
        _ if port.protocol != Protocol::Tcp => {
            notes.push(format!("{} is ignored: only a tcp port can be probed", setting.name));
            return None;
        }
        "tcp" => ReadinessProbe::Tcp { address, port: number },
        "http" => ReadinessProbe::Http { url: format!("http://{place}/") },
        path if path.starts_with('/') && value_problems::path_problem(path).is_none() => {
            ReadinessProbe::Http { url: format!("http://{place}{path}") }
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

/// Whether an instance still has to wait. An entry that the registry holds already for the same run of the container speaks
/// for itself.
pub(super) fn is_waiting(
    gate: &ReadinessGate,
    owner: &Owner,
    entry: Option<&Entry>,
    passed: &BTreeMap<PortRun, ()>,
) -> bool {
    !passed.contains_key(&gate.run) && !entry.is_some_and(|entry| entry.owner.is_same_run(owner))
}

/// Makes the probes that are waited for, each until it succeeds.
#[derive(Debug)]
pub(super) struct ReadinessProber {
    ready: Store<PortRun, ()>,
    tasks: JoinSet<()>,
    running: BTreeMap<PortRun, AbortHandle>,
}

impl ReadinessProber {
    /// Every success rings the bell of `containers`.
    pub(super) fn new(containers: &Store<String, Observation>) -> Self {
        Self { ready: Store::with_bell_of(containers), tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// What has been ready so far.
    pub(super) fn ready(&self) -> Snapshot<PortRun, ()> {
        self.ready.snapshot()
    }

    /// Starts the probes that are new, ends those that nobody waits for any more, forgets runs that have ended.
    pub(super) fn update(&mut self, gates: &[(String, ReadinessGate)], containers: &Snapshot<String, Observation>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let wanted: BTreeSet<_> = gates.iter().map(|(_, gate)| &gate.run).collect();
        self.running.retain(|run, probe| {
            let keep = wanted.contains(run);
            if !keep {
                probe.abort();
            }
            keep
        });
        for (id, gate) in gates.iter().filter(|(_, gate)| !self.running.contains_key(&gate.run)).collect::<Vec<_>>() {
            let probe =
                self.tasks.spawn(part_of_current(probe_until_ready(id.clone(), gate.clone(), self.ready.clone())));
            self.running.insert(gate.run.clone(), probe);
        }
        let ended = |run: &&PortRun| match containers.entries.get(&run.container) {
            Some(Observation::Inspected(container)) => container.started_at != run.started,
            Some(Observation::Unreadable | Observation::Missing) => false,
            None => true,
        };
        self.ready().entries.keys().filter(ended).for_each(|run| self.ready.remove(run));
    }
}

async fn probe_until_ready(id: String, gate: ReadinessGate, passed: Store<PortRun, ()>) {
    let begun = Instant::now();
    let delays = ExponentialBuilder::new().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times();
    let mut told = false;
    for delay in delays.build() {
        let answered = timeout(PROBE_TIMEOUT, probe_once(&gate.probe)).await;
        let Err(reason) = answered.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}"))) else {
            break;
        };
        tracing::debug!("{id} is not ready: {}: {reason}", gate.probe);
        if begun.elapsed() >= LOG_AFTER && !std::mem::replace(&mut told, true) {
            tracing::warn!("{id} is not registered: not ready for {LOG_AFTER:?}: {}: {reason}", gate.probe);
        }
        sleep(delay).await;
    }
    passed.put(gate.run, ());
}

/// One probe; an error is told in words.
async fn probe_once(probe: &ReadinessProbe) -> Result<(), String> {
    match probe {
        ReadinessProbe::Tcp { address, port } => {
            TcpStream::connect((address.as_str(), *port)).await.map(drop).map_err(|error| error.to_string())
        }
        ReadinessProbe::Http { url } => {
            // Without authorities: nothing here speaks TLS, and a bare container has none.
            let client = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).tls_certs_only([]);
            let answer = async { client.build()?.get(url).send().await }.await;
            let status = answer.map_err(|error| condition::error_chain(&error.without_url()))?.status();
            if status.is_success() || status.is_redirection() { Ok(()) } else { Err(status.to_string()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
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
    fn what_is_probed() {
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
        let said = "SERVICE_READY is ignored: \"soon\" is neither tcp nor http nor a path such as /up";
        assert_eq!((gate, notes), (None, vec![said.to_owned()]));
        assert_eq!(readiness_gate_of("SERVICE_53_READY", "tcp", "53/udp").1.len(), 1);
    }

    #[test]
    fn an_instance_waits_until_it_was_ready_once_or_is_registered_for_the_same_run() {
        let web = instance("web", "1");
        let run = PortRun { container: "1".into(), started: "now".into(), port: "80/tcp".parse().expect("a port") };
        let gate = ReadinessGate { run: run.clone(), probe: ReadinessProbe::Http { url: "http://x/".into() } };
        let closed = |entry: Option<&Entry>, passed: &Store<PortRun, ()>| {
            is_waiting(&gate, &web.owner, entry, &passed.snapshot().entries)
        };
        let passed = Store::default();
        assert!(closed(None, &passed));
        let holds = |started: &str| {
            let mut entry = Entry::expected(&web);
            started.clone_into(&mut entry.owner.started);
            entry
        };
        assert!(!closed(Some(&holds("now")), &passed));
        assert!(closed(Some(&holds("before")), &passed), "another run of the container");
        passed.put(run, ());
        assert!(!closed(None, &passed));
    }
}
