//! Runs the probes of readiness gates.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::redirect;
use tokio::{
    net::TcpStream,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::gate::{PortRun, ReadinessGate, ReadinessProbe};
use crate::{
    core::{
        condition,
        store::{Snapshot, Store},
        supervise::{part_of_current, propagate_panic},
    },
    docker::Observation,
};

/// The wait after the first failed probe; it doubles with each further failure.
const RETRY_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two probes.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// The time limit of one probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time, a warning is logged for a container that is not ready.
const LOG_AFTER: Duration = Duration::from_secs(30);

/// Runs the probe of each readiness gate until it succeeds.
#[derive(Debug)]
pub(super) struct ReadinessProber {
    ready: Store<PortRun, ()>,
    tasks: JoinSet<()>,
    running: BTreeMap<PortRun, AbortHandle>,
}

impl ReadinessProber {
    /// Each success rings the bell of `containers`.
    pub(super) fn new(containers: &Store<String, Observation>) -> Self {
        Self { ready: Store::with_bell_of(containers), tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// The ports that have been ready in their runs.
    pub(super) fn ready(&self) -> Snapshot<PortRun, ()> {
        self.ready.snapshot()
    }

    /// Starts the probes of new gates, ends those of gates that no longer exist, and forgets runs that have ended.
    pub(super) fn update(&mut self, gates: &[(String, ReadinessGate)], containers: &Snapshot<String, Observation>) {
        while let Some(ended) = self.tasks.try_join_next() {
            propagate_panic(ended);
        }
        let wanted: BTreeSet<_> = gates.iter().map(|(_, gate)| &gate.run).collect();
        self.running.retain(|run, probe| {
            let is_wanted = wanted.contains(run);
            if !is_wanted {
                probe.abort();
            }
            is_wanted
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

async fn probe_until_ready(id: String, gate: ReadinessGate, ready: Store<PortRun, ()>) {
    let begun = Instant::now();
    let delays = ExponentialBuilder::new().with_min_delay(RETRY_MIN).with_max_delay(RETRY_MAX).without_max_times();
    let mut is_logged = false;
    for delay in delays.build() {
        let result = timeout(PROBE_TIMEOUT, probe_once(&gate.probe)).await;
        let Err(reason) = result.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}"))) else {
            break;
        };
        tracing::debug!("{id} is not ready: {}: {reason}", gate.probe);
        if begun.elapsed() >= LOG_AFTER && !std::mem::replace(&mut is_logged, true) {
            tracing::warn!("{id} is not registered: not ready for {LOG_AFTER:?}: {}: {reason}", gate.probe);
        }
        sleep(delay).await;
    }
    ready.put(gate.run, ());
}

/// Runs one probe.
async fn probe_once(probe: &ReadinessProbe) -> Result<(), String> {
    match probe {
        ReadinessProbe::Tcp { address, port } => {
            TcpStream::connect((address.as_str(), *port)).await.map(drop).map_err(|error| error.to_string())
        }
        ReadinessProbe::Http { url } => {
            // Without root certificates: the probe uses no TLS, and a minimal container has none.
            let client = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).tls_certs_only([]);
            let answer = async { client.build()?.get(url).send().await }.await;
            let status = answer.map_err(|error| condition::error_chain(&error.without_url()))?.status();
            if status.is_success() || status.is_redirection() { Ok(()) } else { Err(status.to_string()) }
        }
    }
}
