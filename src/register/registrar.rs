//! The reconciler of `register`: containers on one side, the registry on the other.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    desired::{Desired, Looks},
    instances::Host,
    memory::Memory,
    plan::{self, Plan, Step},
    ready::{self, Prober},
    setbacks::Setbacks,
    settings::{OnExit, Settings},
};
use crate::{
    condition::{self, Condition},
    docker::{self, Sight},
    reconcile::{Cause, Next, Reconcile},
    registry::{Entries, Ledger, LedgerError, OUT_PREFIX},
    store::Store,
};

/// How many entries are written at the same time. An agent serialises them anyway; more only hides the round trips.
const WRITES: usize = 8;

/// Keeps the registry's record of this host's containers right.
pub struct Registrar<L> {
    settings: Settings,
    docker: docker::Client,
    containers: Store<String, Sight>,
    ledger: Arc<L>,
    condition: Condition,
    /// Known once Docker and the registry have answered.
    host: Option<Host>,
    /// Whether there was no trouble since that.
    host_is_fresh: bool,
    /// What the registry holds: read at start, at every resync and after trouble, with our own writes folded in.
    actual: Option<Entries>,
    /// What the containers gave when they were last looked at.
    looks: Looks,
    /// What neither side can show.
    memory: Memory,
    /// What has to be ready before it is registered.
    prober: Prober,
    /// Writes that did not succeed.
    setbacks: Setbacks,
    /// What cannot be registered because somebody else has, or wants, the same id.
    contended: Vec<String>,
    /// How many entries the brake holds.
    held: usize,
    /// How many instances wait until they are ready.
    waiting: usize,
    /// How many entries there were when everything was in line for the last time.
    in_line: Option<usize>,
    /// What users have been told already.
    told: BTreeSet<(String, String)>,
}

/// Why a pass could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Docker did not tell who it is.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// The registry is in trouble.
    #[error(transparent)]
    Registry(#[from] LedgerError),
}

impl<L: Ledger> Registrar<L> {
    /// Nothing is read before the first pass.
    pub fn new(settings: Settings, docker: docker::Client, containers: Store<String, Sight>, ledger: Arc<L>) -> Self {
        Self {
            prober: Prober::beside(&containers),
            settings,
            docker,
            containers,
            condition: Condition::new(ledger.name()),
            ledger,
            host: None,
            host_is_fresh: false,
            actual: None,
            looks: Looks::default(),
            memory: Memory::default(),
            setbacks: Setbacks::default(),
            contended: Vec::new(),
            held: 0,
            waiting: 0,
            in_line: None,
            told: BTreeSet::new(),
        }
    }

    /// What a pass would do now. `None` while the first full list of containers is missing.
    ///
    /// # Errors
    /// Docker or the registry did not answer.
    pub async fn look(&mut self) -> Result<Option<(Desired, Plan)>, PassError> {
        let containers = self.containers.snapshot();
        if !containers.complete {
            return Ok(None);
        }
        if !self.host_is_fresh {
            match self.host().await {
                Ok(host) => self.host = Some(host),
                // While Docker is away, it is the one that it was.
                Err(PassError::Docker(_)) if self.host.is_some() => {}
                Err(error) => return Err(error),
            }
            self.host_is_fresh = true;
        }
        let Some(host) = &self.host else { return Ok(None) };
        let mut desired = self.looks.desired(&containers.entries, host, Timestamp::now());
        if host.is_on_loopback() && !desired.instances.is_empty() {
            let note = format!("advertises {}, where nobody else reaches this host: give --ip", host.advertised);
            desired.notes.insert(("the registry's agent".to_owned(), note));
        }
        let actual = match &self.actual {
            Some(actual) => actual,
            None => {
                let entries = self.ledger.entries(&host.engine).await?;
                self.actual.insert(entries)
            }
        };
        ready::hold_back(&mut desired, actual, &self.prober.passed());
        let (conditions, due) = self.memory.conditions(&desired, actual, &containers, &self.settings, Instant::now());
        desired.due = desired.due.into_iter().chain(due).min();
        let held = conditions.held.len();
        // While they come back one by one, that is no news.
        if std::mem::replace(&mut self.held, held) == 0 && held > 0 {
            let note = "gone from Docker without an event: they stay until the next full list agrees (--max-removal)";
            tracing::warn!("{held} entries: {note}");
        }
        let plan = plan::plan(&desired, actual, &conditions);
        Ok(Some((desired, plan)))
    }

    /// What the last pass left undone, although nothing more will come of waiting.
    pub fn undone(&self) -> Vec<String> {
        self.setbacks.reasons().chain(self.contended.iter().map(String::as_str)).map(str::to_owned).collect()
    }

    /// Whether waiting may bring more: something is not ready yet, or will be tried again.
    pub fn is_pending(&self) -> bool {
        self.waiting > 0 || self.setbacks.due(Instant::now()).is_some()
    }

    /// At a clean stop.
    ///
    /// # Errors
    /// The registry did not carry it out.
    pub async fn leave(&mut self) -> Result<(), PassError> {
        let step: fn(String) -> Step = match self.settings.on_exit {
            OnExit::Keep => return Ok(()),
            OnExit::Maintenance => |id| Step::TakeOut { id, reason: format!("{OUT_PREFIX}register was stopped") },
            OnExit::Deregister => |id| Step::Remove { id },
        };
        let host = match self.host.take() {
            Some(host) => host,
            None => self.host().await?,
        };
        // A pass that was cut short may have written more than it knew.
        let owned = self.ledger.entries(&host.engine).await?.owned;
        let plan = owned.into_keys().map(|id| (id.clone(), vec![step(id)])).collect();
        self.carry_out(plan::by_urgency(plan)).await?;
        self.setbacks.reasons().for_each(|reason| tracing::error!("{reason}"));
        Ok(())
    }

    async fn host(&self) -> Result<Host, PassError> {
        let engine = self.docker.engine().await?;
        let advertised = self.ledger.advertised_address().await?;
        Ok(Host::new(engine, advertised, self.settings.clone()))
    }

    /// Carries out chains of steps side by side; what succeeded counts even if something else failed. An error means that
    /// the registry as a whole is in trouble.
    async fn carry_out(&mut self, chains: Vec<(String, Vec<Step>)>) -> Result<(), LedgerError> {
        let ledger = &self.ledger;
        let mut results = stream::iter(chains).map(|chain| carry_out(ledger.as_ref(), chain)).buffer_unordered(WRITES);
        let (mut reached, mut failures, mut news) = (false, 0, Vec::new());
        while let Some((id, done, failed)) = results.next().await {
            reached |= !done.is_empty();
            for step in &done {
                self.memory.note(step, Instant::now());
                if let Some(actual) = &mut self.actual {
                    plan::fold(step, actual);
                }
            }
            match failed {
                Some((step @ (Step::Put(_) | Step::PutAside(_)), error @ LedgerError::Refused { .. })) => {
                    let reason = condition::chain(&error);
                    tracing::error!("{reason}; not tried again before the next resync");
                    self.setbacks.refused(&id, step, reason);
                }
                Some((step, error)) => {
                    let reason = condition::chain(&error);
                    if self.setbacks.failed(&id, step, reason.clone(), Instant::now()) {
                        news.push(reason);
                    }
                    failures += 1;
                    if failures == WRITES && !reached {
                        // Nobody is there: the rest would fail as well, each in its own time.
                        drop(results);
                        self.actual = None;
                        return Err(error);
                    }
                }
                None => self.setbacks.over(&id),
            }
        }
        if failures > 0 {
            // Whether it was carried out is not known.
            self.actual = None;
        }
        news.iter().for_each(|reason| tracing::warn!("{reason}; will try again"));
        Ok(())
    }

    /// Tells users, once each, of what could not be done as they asked.
    pub fn tell(&mut self, desired: &Desired) {
        let adopt = self.settings.adopt.is_some();
        let foreign =
            self.actual.iter().flat_map(|actual| actual.foreign.iter().filter(move |id| !actual.is_free(id, adopt)));
        let held = foreign.filter_map(|id| desired.instances.get_key_value(id)).map(|(id, instance)| {
            let note =
                format!("not registered: the registry has an entry {id:?} that is not ours, which is left alone");
            (format!("container {}", instance.owner.container), note)
        });
        let held: Vec<_> = held.collect();
        let claimed = desired.contended.keys().map(|id| format!("several containers claim the id {id:?}"));
        self.contended = held.iter().map(|(who, note)| format!("{who}: {note}")).chain(claimed).collect();
        let notes: BTreeSet<_> = desired.notes.iter().cloned().chain(held).collect();
        for (who, note) in notes.difference(&self.told) {
            tracing::warn!(container = %who, "{note}");
        }
        self.told = notes;
    }
}

impl<L: Ledger> Reconcile for Registrar<L> {
    async fn pass(&mut self, cause: Cause) -> Next {
        if cause == Cause::Resync {
            self.actual = None;
            self.looks = Looks::default();
            self.setbacks.resync();
        }
        let done = match self.look().await {
            Ok(None) => return Next::Idle,
            Ok(Some((desired, mut plan))) => {
                self.tell(&desired);
                self.prober.probe(&desired.gates, &self.containers.snapshot());
                self.waiting = desired.gates.len();
                self.setbacks.keep(|id| plan.contains_key(id));
                let now = Instant::now();
                plan.retain(|id, steps| !steps.first().is_some_and(|first| self.setbacks.block(id, first, now)));
                self.carry_out(plan::by_urgency(plan)).await.map(|()| desired.due).map_err(PassError::from)
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(due) => {
                self.condition.well();
                if let Some(actual) = self.actual.as_ref().filter(|_| self.setbacks.is_empty()) {
                    let entries = actual.owned.len();
                    if self.in_line.replace(entries) != Some(entries) {
                        tracing::info!(entries, "in line");
                    }
                }
                due.into_iter().chain(self.setbacks.due(Instant::now())).min().map_or(Next::Idle, Next::After)
            }
            Err(error) => {
                self.condition.trouble(&error);
                (self.host_is_fresh, self.actual, self.in_line) = (false, None, None);
                Next::Retry
            }
        }
    }
}

/// One line for a write that has succeeded.
fn log(step: &Step) {
    match step {
        Step::Put(instance) | Step::PutAside(instance) => {
            let (id, service, container) = (&instance.id, &instance.name, &instance.owner.container);
            tracing::info!(id, service, container, "registered at {}:{}", instance.address, instance.port);
        }
        Step::Report { id, key, report } => tracing::info!(id, check = key, status = ?report.status, "reported"),
        Step::TakeOut { id, reason } => tracing::info!(id, reason, "taken out of traffic"),
        Step::BringBack { id } => tracing::info!(id, "brought back into traffic"),
        Step::Remove { id } => tracing::info!(id, "deregistered"),
    }
}

/// Carries out the steps for one entry in their order, up to the first that fails.
async fn carry_out(
    ledger: &impl Ledger,
    (id, chain): (String, Vec<Step>),
) -> (String, Vec<Step>, Option<(Step, LedgerError)>) {
    let mut done = Vec::new();
    for step in chain {
        let result = match &step {
            Step::Put(instance) => ledger.put(instance).await,
            Step::PutAside(instance) => ledger.put_aside(instance).await,
            Step::Report { id, key, report } => ledger.report(id, key, report).await,
            Step::TakeOut { id, reason } => ledger.take_out(id, reason).await,
            Step::BringBack { id } => ledger.bring_back(id).await,
            Step::Remove { id } => ledger.remove(id).await,
        };
        match result {
            Ok(()) => {
                log(&step);
                done.push(step);
            }
            Err(error) => return (id, done, Some((step, error))),
        }
    }
    (id, done, None)
}
