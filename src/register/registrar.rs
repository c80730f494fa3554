//! The reconciler of `register`: containers on one side, the registry on the other.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    desired::{Desired, desired},
    instances::Host,
    memory::Memory,
    plan::{self, Plan, Step},
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
    /// What the registry holds: read at start, at every resync and after trouble, with our own writes folded in.
    actual: Option<Entries>,
    /// What neither side can show.
    memory: Memory,
    /// Writes that the registry refused: not tried again before the next resync.
    refused: Vec<Step>,
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
            settings,
            docker,
            containers,
            ledger,
            condition: Condition::new("the registry"),
            host: None,
            actual: None,
            memory: Memory::default(),
            refused: Vec::new(),
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
        let host = match &self.host {
            Some(host) => host,
            None => {
                let host = self.host().await?;
                self.host.insert(host)
            }
        };
        let mut desired = desired(&containers.entries, host, Timestamp::now());
        let actual = match &self.actual {
            Some(actual) => actual,
            None => {
                let entries = self.ledger.entries(&host.engine).await?;
                self.actual.insert(entries)
            }
        };
        let (conditions, due) = self.memory.conditions(&desired, actual, &containers, &self.settings, Instant::now());
        desired.due = desired.due.into_iter().chain(due).min();
        if !conditions.held.is_empty() {
            let note = "gone from Docker without an event: they stay until the next full list agrees (--max-removal)";
            desired.notes.insert((format!("{} entries", conditions.held.len()), note.to_owned()));
        }
        let plan = plan::plan(&desired, actual, &conditions);
        Ok(Some((desired, plan)))
    }

    /// At a clean stop.
    ///
    /// # Errors
    /// The registry did not carry it out.
    pub async fn leave(&mut self) -> Result<(), PassError> {
        let step = |id: String| match self.settings.on_exit {
            OnExit::Keep => None,
            OnExit::Maintenance => Some(Step::TakeOut { id, reason: format!("{OUT_PREFIX}register was stopped") }),
            OnExit::Deregister => Some(Step::Remove { id }),
        };
        let owned = self.actual.iter().flat_map(|actual| actual.owned.keys().cloned());
        let chains = owned.filter_map(step).map(|step| vec![step]).collect();
        self.carry_out(chains).await?;
        Ok(())
    }

    async fn host(&self) -> Result<Host, PassError> {
        let engine = self.docker.engine().await?;
        let advertised = self.ledger.advertised_address().await?;
        let hostname = self.settings.hostname.clone().unwrap_or(engine.name);
        Ok(Host { engine: engine.id, hostname, advertised, settings: self.settings.clone() })
    }

    /// Carries out chains of steps side by side; what succeeded counts even if something else failed.
    async fn carry_out(&mut self, chains: Vec<Vec<Step>>) -> Result<(), LedgerError> {
        let ledger = &self.ledger;
        let mut results = stream::iter(chains).map(|chain| carry_out(ledger.as_ref(), chain)).buffer_unordered(WRITES);
        let mut trouble = None;
        while let Some((done, failed)) = results.next().await {
            for step in &done {
                self.memory.note(step, Instant::now());
                if let Some(actual) = &mut self.actual {
                    plan::fold(step, actual);
                }
            }
            match failed {
                Some((step @ (Step::Put(_) | Step::PutAside(_)), error @ LedgerError::Refused { .. })) => {
                    tracing::error!("{}; not tried again before the next resync", condition::chain(&error));
                    self.refused.push(step);
                }
                Some((_, error)) => trouble = Some(error),
                None => {}
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Tells users, once each, of what could not be done as they asked.
    fn tell(&mut self, desired: &Desired) {
        let adopt = self.settings.adopt.is_some();
        let foreign =
            self.actual.iter().flat_map(|actual| actual.foreign.iter().filter(move |id| !actual.is_free(id, adopt)));
        let held = foreign.filter_map(|id| desired.instances.get_key_value(id)).map(|(id, instance)| {
            let note =
                format!("not registered: the registry has an entry {id:?} that is not ours, which is left alone");
            (format!("container {}", instance.owner.container), note)
        });
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
            self.refused.clear();
        }
        let done = match self.look().await {
            Ok(None) => return Next::Idle,
            Ok(Some((desired, mut plan))) => {
                self.tell(&desired);
                plan.retain(|_, steps| !steps.first().is_some_and(|first| self.refused.contains(first)));
                self.carry_out(plan::by_urgency(plan)).await.map(|()| desired.due).map_err(PassError::from)
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(due) => {
                self.condition.well();
                let entries = self.actual.as_ref().map_or(0, |actual| actual.owned.len());
                if self.in_line.replace(entries) != Some(entries) {
                    tracing::info!(entries, "in line");
                }
                due.map_or(Next::Idle, Next::After)
            }
            Err(error) => {
                self.condition.trouble(&error);
                (self.host, self.actual, self.in_line) = (None, None, None);
                Next::Retry
            }
        }
    }
}

/// Carries out steps in their order, up to the first that fails.
async fn carry_out(ledger: &impl Ledger, chain: Vec<Step>) -> (Vec<Step>, Option<(Step, LedgerError)>) {
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
                tracing::info!("{step}");
                done.push(step);
            }
            Err(error) => return (done, Some((step, error))),
        }
    }
    (done, None)
}
