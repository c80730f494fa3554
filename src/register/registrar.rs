//! The reconciler of `register`: containers on one side, the registry on the other.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    desired::{Desired, Looks},
    dry_run,
    instances::Host,
    memory::Memory,
    ownership,
    pass_error::PassError,
    plan::{self, Plan, Step},
    ready::Prober,
    recall::recall,
    setbacks::Setbacks,
    settings::{OnExit, Settings},
    writes::{Outcome, Write, Writes},
    written::{self, Names},
};
use crate::{
    core::{
        condition::Condition,
        reconcile::{Cause, Next, Reconcile},
        store::Store,
    },
    docker::{self, Sight},
    registry::{Entries, Ledger, LedgerError, OUT_PREFIX},
};

/// So many entries in a row whose writes fail, with no success in between, are trouble of the registry.
const IN_A_ROW: usize = 8;
/// How long Docker may take to tell who it is, once that is known.
const ENGINE_WITHIN: Duration = Duration::from_secs(3);
/// How long a clean stop waits for writes that were sent before it.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// A write that got no answer may still be carried out when a registry that hung goes on: the entries are read once
/// more after this time.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Keeps the registry's record of this host's containers right.
pub struct Registrar<L> {
    settings: Settings,
    docker: docker::Client,
    containers: Store<String, Sight>,
    ledger: Arc<L>,
    condition: Condition,
    /// Whether Docker tells who it is.
    engine: Condition,
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
    /// Writes beside the loop.
    writes: Writes<L>,
    /// Writes that did not succeed.
    setbacks: Setbacks,
    /// When the entries are to be read again, because it is not known what became of a write.
    read_again: Option<Instant>,
    /// What containers are called.
    names: Names,
    /// What cannot be registered because somebody else has, or wants, the same id.
    contended: Vec<String>,
    /// How many entries the brake holds.
    held: usize,
    /// What has to come before all that is wanted can be registered.
    awaited: Vec<String>,
    /// Why the last pass failed, if waiting cannot help.
    hopeless: Option<String>,
    /// How many entries there were when everything was in line for the last time.
    in_line: Option<usize>,
    /// What users have been told already.
    told: BTreeSet<(String, String)>,
}

impl<L: Ledger> Registrar<L> {
    /// Nothing is read before the first pass.
    pub fn new(settings: Settings, docker: docker::Client, containers: Store<String, Sight>, ledger: Arc<L>) -> Self {
        Self {
            prober: Prober::beside(&containers),
            writes: Writes::new(Arc::clone(&ledger), containers.ringer()),
            settings,
            containers,
            condition: Condition::new(ledger.name()),
            engine: Condition::new(format!("Docker at {}", docker.address())),
            docker,
            ledger,
            host: None,
            host_is_fresh: false,
            actual: None,
            looks: Looks::default(),
            memory: Memory::default(),
            setbacks: Setbacks::default(),
            read_again: None,
            names: Names::default(),
            contended: Vec::new(),
            held: 0,
            awaited: Vec::new(),
            hopeless: None,
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
            self.host = Some(self.host().await?);
            self.host_is_fresh = true;
        }
        let Some(host) = &self.host else { return Ok(None) };
        // In each pass: by the time of the next read a container that was here may have ended.
        let rivals = self.memory.rivals(&containers.entries, host);
        let actual = match &self.actual {
            Some(actual) => actual,
            None => {
                let read = self.ledger.entries().await?;
                self.actual.insert(ownership::settle(read, host, &containers.entries, rivals))
            }
        };
        let (passed, now) = (self.prober.passed().entries, Timestamp::now());
        let seen = recall(&containers.entries, actual, &self.settings, now);
        let mut desired = self.looks.desired(&seen, host, actual, &passed, now);
        desired.notes.extend(ownership::notes(actual, host));
        let note = host.note().filter(|_| !desired.instances.is_empty());
        desired.notes.extend(note.map(|note| (String::new(), note)));
        let (conditions, due) = self.memory.conditions(&desired, actual, &containers, host, Instant::now());
        desired.due = desired.due.into_iter().chain(due).min();
        let held = conditions.held.len();
        // While they come back one by one, that is no news.
        if std::mem::replace(&mut self.held, held) == 0 && held > 0 {
            let note = "gone from Docker without an event: they stay until the next full list agrees (--max-removal)";
            tracing::warn!("{held} entries: {note}");
        }
        let plan = plan::plan(&desired, actual, &conditions);
        let unreadable = desired.unreadable.iter();
        let unreadable = unreadable.map(|id| format!("Docker does not describe the container {}", self.names.of(id)));
        let gates = desired.gates.iter().map(|(id, gate)| format!("{id} is not ready ({})", gate.probe));
        let held = (held > 0).then(|| format!("{held} entries stay until a second list agrees that they can go"));
        self.awaited = unreadable.chain(gates).chain(held).collect();
        Ok(Some((desired, plan)))
    }

    /// What a plan does, a line for each step and for each instance that waits for a gate.
    pub fn describe(&self, desired: &Desired, plan: Plan) -> Vec<String> {
        match &self.actual {
            Some(actual) if self.settings.adopt.is_some() => dry_run::compared(desired, plan, actual),
            _ => dry_run::plain(desired, plan),
        }
    }

    /// What the last pass left undone, although nothing more will come of waiting.
    pub fn undone(&self) -> Vec<String> {
        self.setbacks.reasons(false).chain(self.contended.iter().cloned()).collect()
    }

    /// What has to come, or to pass, before everything is as it is wanted. `unlisted` tells why Docker lists nothing, as
    /// far as it is known.
    pub fn awaited(&self, unlisted: Option<&String>) -> Vec<String> {
        let trouble = self.engine.told().or_else(|| self.condition.told());
        let unlisted = || unlisted.cloned().unwrap_or_else(|| "Docker has not listed its containers".to_owned());
        let list = (!self.containers.snapshot().complete).then(unlisted);
        let awaited = self.awaited.iter().cloned();
        // The registry is not read before Docker's list.
        let is_asked = list.is_none() && (self.actual.is_none() || !self.writes.is_idle());
        let silent = is_asked.then(|| format!("{} has not answered yet", self.ledger.name()));
        let silent = silent.filter(|_| trouble.is_none());
        let awaited = silent.into_iter().chain(awaited);
        trouble.into_iter().chain(list).chain(awaited).chain(self.setbacks.reasons(true)).collect()
    }

    /// Whether waiting may bring more.
    pub fn is_pending(&self) -> bool {
        !self.writes.is_idle() || !self.awaited.is_empty() || self.setbacks.reasons(true).next().is_some()
    }

    /// Why the last pass failed, if waiting cannot help.
    pub fn hopeless(&self) -> Option<String> {
        self.hopeless.clone()
    }

    /// Takes note of a pass that failed.
    pub fn failed(&mut self, error: &PassError) {
        let condition = match error {
            PassError::Docker(error) => {
                self.engine.trouble(error.cause());
                &self.engine
            }
            error => {
                self.condition.trouble(error);
                &self.condition
            }
        };
        self.hopeless = condition.told().filter(|_| !error.may_pass());
        (self.host_is_fresh, self.actual, self.in_line) = (false, None, None);
    }

    /// Waits for the writes that are open, and sends no more.
    pub async fn finish(&mut self) {
        self.writes.clear();
        if tokio::time::timeout(FINISH_WITHIN, self.writes.settle()).await.is_err() {
            self.take_note();
            self.writes = Writes::new(Arc::clone(&self.ledger), self.containers.ringer());
        }
        self.take_note();
    }

    /// At a clean stop, after [`finish`](Self::finish).
    ///
    /// # Errors
    /// The registry did not carry it out.
    pub async fn leave(&mut self) -> Result<(), PassError> {
        let step: fn(String) -> Step = match self.settings.on_exit {
            OnExit::Keep => return Ok(()),
            OnExit::Maintenance => |id| Step::TakeOut { id, reason: format!("{OUT_PREFIX}register was stopped") },
            OnExit::Deregister => |id| Step::Remove { id, why: "register was stopped (--on-exit)".to_owned() },
        };
        let host = match self.host.take() {
            Some(host) => host,
            None => self.host().await?,
        };
        // Earlier failures do not belong to the result of leaving.
        self.setbacks = Setbacks::default();
        // A pass that was cut short may have written more than it knew.
        let read = self.ledger.entries().await?;
        let containers = self.containers.snapshot().entries;
        let mut left = ownership::settle(read, &host, &containers, self.memory.rivals(&containers, &host)).owned;
        // Each is tried once. What fails empties the queue.
        while !left.is_empty() {
            let steps =
                left.keys().map(|id| Write { id: id.clone(), step: step(id.clone()), more: false, replaces: false });
            self.writes.replace(steps.collect::<Vec<_>>());
            self.writes.settle().await;
            self.take_note().iter().for_each(|id| drop(left.remove(id)));
            if let Some(error) = self.no_write_succeeds() {
                return Err(error);
            }
        }
        let left: Vec<_> = self.setbacks.reasons(true).chain(self.setbacks.reasons(false)).collect();
        if left.is_empty() { Ok(()) } else { Err(PassError::Left(left)) }
    }

    /// Who this host is, as far as Docker answers: while it is away, it is the one that it was.
    async fn host(&self) -> Result<Host, PassError> {
        let advertised = self.ledger.advertised_address().await?;
        let Some(known) = &self.host else {
            return Ok(Host::new(self.docker.engine().await?, advertised, self.settings.clone()));
        };
        Ok(match tokio::time::timeout(ENGINE_WITHIN, self.docker.engine()).await {
            Ok(Ok(engine)) => Host::new(engine, advertised, self.settings.clone()),
            Ok(Err(_)) | Err(_) => Host { advertised, ..known.clone() },
        })
    }

    /// Takes note of the writes that have ended: of which entries they were.
    fn take_note(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut ended = Vec::new();
        for Outcome { id, step, maintained, result } in self.writes.collect() {
            match result {
                Ok(()) => {
                    written::log(&step, self.actual.as_ref(), &self.names);
                    self.memory.note(&step, now);
                    self.memory.maintain(&id, maintained);
                    if let Some(actual) = &mut self.actual {
                        plan::fold(&step, actual);
                    }
                    self.setbacks.over(&id);
                }
                Err(error @ LedgerError::Refused { .. }) if matches!(step, Step::Put(..)) => {
                    self.setbacks.refused(&id, step, error.cause());
                }
                Err(error @ LedgerError::Denied { .. }) => self.setbacks.denied(&id, step, error.cause(), now),
                Err(error) => {
                    self.setbacks.failed(&id, step, error.cause(), now);
                    // Whether it was carried out is not known.
                    self.actual = None;
                    self.read_again = Some(now + READ_AGAIN_AFTER);
                }
            }
            ended.push(id);
        }
        ended
    }

    fn no_write_succeeds(&self) -> Option<PassError> {
        let (count, first) = self.setbacks.in_a_row();
        first.filter(|_| count >= IN_A_ROW).map(|first| PassError::Writes(first.to_owned()))
    }

    /// Brings the registry nearer to what is wanted. The time after which to look again, or `None` while the first full
    /// list is missing.
    async fn reconcile(&mut self) -> Result<Option<Option<Duration>>, PassError> {
        let Some((desired, mut plan)) = self.look().await? else { return Ok(None) };
        let containers = self.containers.snapshot();
        self.names.learn(&containers, self.actual.as_ref());
        self.tell(&desired);
        self.prober.probe(&desired.gates, &containers);
        self.setbacks.keep(|id| plan.contains_key(id));
        let now = Instant::now();
        plan.retain(|id, steps| !steps.first().is_some_and(|first| self.setbacks.block(id, first, now)));
        let owned = self.actual.as_ref().map(|actual| &actual.owned);
        let first = |(id, steps): (String, Vec<Step>)| {
            let (more, replaces) = (steps.len() > 1, owned.is_some_and(|owned| owned.contains_key(&id)));
            steps.into_iter().next().map(|step| Write { id, step, more, replaces })
        };
        self.writes.replace(plan::by_urgency(plan).into_iter().filter_map(first));
        match self.no_write_succeeds() {
            Some(error) => self.condition.trouble(&error),
            None => {
                self.engine.well();
                self.condition.well();
                for (instance, failure) in self.setbacks.news() {
                    tracing::warn!(instance, "{failure}; will try again");
                }
            }
        }
        let read_again = self.read_again.map(|at| at.saturating_duration_since(now));
        Ok(Some(desired.due.into_iter().chain(self.setbacks.due(now)).chain(read_again).min()))
    }

    /// Tells users, once each, of what could not be done as they asked.
    pub fn tell(&mut self, desired: &Desired) {
        let foreign = self.actual.iter().flat_map(|actual| {
            let foreign = actual.foreign.iter().filter(move |(id, _)| !actual.is_free(id));
            foreign.filter_map(|(id, owner)| Some((desired.instances.get(id)?, owner)))
        });
        let held = foreign.zip(std::iter::repeat(self.host.as_ref())).filter_map(|((instance, owner), host)| {
            let why = ownership::left_alone(&instance.id, owner.as_ref(), host?);
            Some((self.names.of(&instance.owner.container).to_owned(), format!("not registered: {why}")))
        });
        let held: Vec<_> = held.collect();
        let claimed =
            desired.contended.iter().map(|(id, claims)| format!("{} claim the id {id:?}", claims.join(" and ")));
        self.contended = held.iter().map(|(who, note)| format!("{who}: {note}")).chain(claimed).collect();
        let notes: BTreeSet<_> = desired.notes.iter().cloned().chain(held).collect();
        for (who, note) in notes.difference(&self.told) {
            match who.as_str() {
                "" => tracing::warn!("{note}"),
                container => tracing::warn!(container, "{note}"),
            }
        }
        self.told = notes;
    }
}

impl<L: Ledger> Reconcile for Registrar<L> {
    async fn pass(&mut self, cause: Cause) -> Next {
        self.take_note();
        let now = Instant::now();
        if self.read_again.take_if(|at| *at <= now).is_some() {
            self.actual = None;
        }
        if cause == Cause::Resync {
            (self.host_is_fresh, self.actual) = (false, None);
            self.looks = Looks::default();
            self.setbacks.resync(now);
        }
        match self.reconcile().await {
            Ok(None) => Next::Idle,
            Ok(Some(due)) => {
                if let Some(actual) = self.actual.as_ref().filter(|_| self.setbacks.is_empty() && self.writes.is_idle())
                {
                    let entries = actual.owned.len();
                    if self.in_line.replace(entries) != Some(entries) {
                        tracing::info!(entries, "in line");
                    }
                }
                due.map_or(Next::Idle, Next::After)
            }
            Err(error) => {
                // What was planned for a registry that answered may be wrong for the one that comes back.
                self.writes.clear();
                self.failed(&error);
                Next::Retry
            }
        }
    }
}
