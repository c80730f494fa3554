//! The reconciler of `register`: containers on one side, the registry on the other.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    desired::{DesiredInstances, InstanceCache},
    dry_run,
    host::Host,
    ownership,
    pass_error::PassError,
    plan::{self, Plan, Step},
    planner_state::PlannerState,
    prober::ReadinessProber,
    restored_state::restore_state,
    retry_state::RetryState,
    settings::{OnExit, Settings},
    write_log::{self, ContainerNames},
    write_queue::{QueuedWrite, WriteOutcome, WriteQueue},
};
use crate::{
    core::{
        condition::Condition,
        reconcile::{NextPass, PassCause, Reconcile},
        store::Store,
    },
    docker::{self, Observation},
    registry::{Entries, Ledger, LedgerError, MAINTENANCE_PREFIX},
};

/// So many entries in a row whose writes fail, with no success in between, are trouble of the registry.
const MAX_CONSECUTIVE_FAILURES: usize = 8;
/// How long Docker may take to tell who it is, once that is known.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a clean stop waits for writes that were sent before it.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// A write that got no answer may still be carried out when a registry that hung goes on: the entries are read once
/// more after this time.
const REREAD_AFTER: Duration = Duration::from_secs(2);

/// Keeps the registry's record of this host's containers right.
pub struct Registrar<L> {
    settings: Settings,
    docker: docker::Client,
    containers: Store<String, Observation>,
    ledger: Arc<L>,
    condition: Condition,
    /// Whether Docker tells who it is.
    engine_condition: Condition,
    /// Known once Docker and the registry have answered.
    host: Option<Host>,
    /// Whether there was no trouble since that.
    host_is_fresh: bool,
    /// What the registry holds: read at start, at every resync and after trouble, with our own writes folded in.
    actual: Option<Entries>,
    /// What the containers gave when they were last looked at.
    instance_cache: InstanceCache,
    /// What neither side can show.
    planner_state: PlannerState,
    /// What has to be ready before it is registered.
    prober: ReadinessProber,
    /// Writes beside the loop.
    writes: WriteQueue<L>,
    /// Writes that did not succeed.
    retry_state: RetryState,
    /// When the entries are to be read again, because it is not known what became of a write.
    reread_at: Option<Instant>,
    /// What containers are called.
    container_names: ContainerNames,
    /// What cannot be registered because somebody else has, or wants, the same id.
    id_conflicts: Vec<String>,
    /// How many entries the brake holds.
    deferred: usize,
    /// What has to come before all that is wanted can be registered.
    waiting_for: Vec<String>,
    /// Why the last pass failed, if waiting cannot help.
    permanent_failure: Option<String>,
    /// How many entries there were when everything was in line for the last time.
    last_in_sync: Option<usize>,
    /// What users have been told already.
    logged_notes: BTreeSet<(String, String)>,
}

impl<L: Ledger> Registrar<L> {
    /// Nothing is read before the first pass.
    pub fn new(
        settings: Settings,
        docker: docker::Client,
        containers: Store<String, Observation>,
        ledger: Arc<L>,
    ) -> Self {
        Self {
            prober: ReadinessProber::new(&containers),
            writes: WriteQueue::new(Arc::clone(&ledger), containers.bell_sender()),
            settings,
            containers,
            condition: Condition::new(ledger.name()),
            engine_condition: Condition::new(format!("Docker at {}", docker.address())),
            docker,
            ledger,
            host: None,
            host_is_fresh: false,
            actual: None,
            instance_cache: InstanceCache::default(),
            planner_state: PlannerState::default(),
            retry_state: RetryState::default(),
            reread_at: None,
            container_names: ContainerNames::default(),
            id_conflicts: Vec::new(),
            deferred: 0,
            waiting_for: Vec::new(),
            permanent_failure: None,
            last_in_sync: None,
            logged_notes: BTreeSet::new(),
        }
    }

    /// What a pass would do now. `None` while the first full list of containers is missing.
    ///
    /// # Errors
    /// Docker or the registry did not answer.
    pub async fn plan(&mut self) -> Result<Option<(DesiredInstances, Plan)>, PassError> {
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
        let rivals = self.planner_state.rivals(&containers.entries, host);
        let actual = match &self.actual {
            Some(actual) => actual,
            None => {
                let read = self.ledger.entries().await?;
                self.actual.insert(ownership::classify(read, host, &containers.entries, rivals))
            }
        };
        let (passed, now) = (self.prober.ready().entries, Timestamp::now());
        let seen = restore_state(&containers.entries, actual, &self.settings, now);
        let mut desired = self.instance_cache.desired_instances(&seen, host, actual, &passed, now);
        desired.notes.extend(ownership::foreign_entry_notes(actual, host));
        let note = host.unreachable_address_note().filter(|_| !desired.instances.is_empty());
        desired.notes.extend(note.map(|note| (String::new(), note)));
        let (conditions, due) = self.planner_state.plan_context(&desired, actual, &containers, host, Instant::now());
        desired.recheck_after = desired.recheck_after.into_iter().chain(due).min();
        let held = conditions.deferred.len();
        // While they come back one by one, that is no news.
        if std::mem::replace(&mut self.deferred, held) == 0 && held > 0 {
            let note = "gone from Docker without an event: they stay until the next full list agrees (--max-removal)";
            tracing::warn!("{held} entries: {note}");
        }
        let plan = plan::plan(&desired, actual, &conditions);
        let unreadable = desired.unreadable.iter();
        let unreadable =
            unreadable.map(|id| format!("Docker does not describe the container {}", self.container_names.name_of(id)));
        let gates = desired.gates.iter().map(|(id, gate)| format!("{id} is not ready ({})", gate.probe));
        let held = (held > 0).then(|| format!("{held} entries stay until a second list agrees that they can go"));
        self.waiting_for = unreadable.chain(gates).chain(held).collect();
        Ok(Some((desired, plan)))
    }

    /// What a plan does, a line for each step and for each instance that waits for a gate.
    pub fn describe(&self, desired: &DesiredInstances, plan: Plan) -> Vec<String> {
        match &self.actual {
            Some(actual) if self.settings.adopt.is_some() => dry_run::comparison_lines(desired, plan, actual),
            _ => dry_run::plan_lines(desired, plan),
        }
    }

    /// What the last pass left undone, although nothing more will come of waiting.
    pub fn not_registered(&self) -> Vec<String> {
        self.retry_state.reasons(false).chain(self.id_conflicts.iter().cloned()).collect()
    }

    /// What has to come, or to pass, before everything is as it is wanted. `unlisted` tells why Docker lists nothing, as
    /// far as it is known.
    pub fn waiting_for(&self, unlisted: Option<&String>) -> Vec<String> {
        let trouble = self.engine_condition.current_problem().or_else(|| self.condition.current_problem());
        let unlisted = || unlisted.cloned().unwrap_or_else(|| "Docker has not listed its containers".to_owned());
        let list = (!self.containers.snapshot().complete).then(unlisted);
        let awaited = self.waiting_for.iter().cloned();
        // The registry is not read before Docker's list.
        let is_asked = list.is_none() && (self.actual.is_none() || !self.writes.is_idle());
        let silent = is_asked.then(|| format!("{} has not answered yet", self.ledger.name()));
        let silent = silent.filter(|_| trouble.is_none());
        let awaited = silent.into_iter().chain(awaited);
        trouble.into_iter().chain(list).chain(awaited).chain(self.retry_state.reasons(true)).collect()
    }

    /// Whether waiting may bring more.
    pub fn is_pending(&self) -> bool {
        !self.writes.is_idle() || !self.waiting_for.is_empty() || self.retry_state.reasons(true).next().is_some()
    }

    /// Why the last pass failed, if waiting cannot help.
    pub fn permanent_failure(&self) -> Option<String> {
        self.permanent_failure.clone()
    }

    /// Takes note of a pass that failed.
    pub fn record_failure(&mut self, error: &PassError) {
        let condition = match error {
            PassError::Docker(error) => {
                self.engine_condition.report_problem(error.cause());
                &self.engine_condition
            }
            error => {
                self.condition.report_problem(error);
                &self.condition
            }
        };
        self.permanent_failure = condition.current_problem().filter(|_| !error.is_transient());
        (self.host_is_fresh, self.actual, self.last_in_sync) = (false, None, None);
    }

    /// Waits for the writes that are open, and sends no more.
    pub async fn finish_writes(&mut self) {
        self.writes.clear();
        if tokio::time::timeout(FINISH_TIMEOUT, self.writes.wait_until_idle()).await.is_err() {
            self.collect_writes();
            self.writes = WriteQueue::new(Arc::clone(&self.ledger), self.containers.bell_sender());
        }
        self.collect_writes();
    }

    /// At a clean stop, after [`finish`](Self::finish).
    ///
    /// # Errors
    /// The registry did not carry it out.
    pub async fn apply_on_exit(&mut self) -> Result<(), PassError> {
        let step: fn(String) -> Step = match self.settings.on_exit {
            OnExit::Keep => return Ok(()),
            OnExit::Maintenance => {
                |id| Step::EnableMaintenance { id, reason: format!("{MAINTENANCE_PREFIX}register was stopped") }
            }
            OnExit::Deregister => |id| Step::Remove { id, reason: "register was stopped (--on-exit)".to_owned() },
        };
        let host = match self.host.take() {
            Some(host) => host,
            None => self.host().await?,
        };
        // Earlier failures do not belong to the result of leaving.
        self.retry_state = RetryState::default();
        // A pass that was cut short may have written more than it knew.
        let read = self.ledger.entries().await?;
        let containers = self.containers.snapshot().entries;
        let mut left =
            ownership::classify(read, &host, &containers, self.planner_state.rivals(&containers, &host)).owned;
        // Each is tried once. What fails empties the queue.
        while !left.is_empty() {
            let steps = left.keys().map(|id| QueuedWrite {
                id: id.clone(),
                step: step(id.clone()),
                has_more_steps: false,
                entry_exists: false,
            });
            self.writes.replace(steps.collect::<Vec<_>>());
            self.writes.wait_until_idle().await;
            self.collect_writes().iter().for_each(|id| drop(left.remove(id)));
            if let Some(error) = self.write_outage() {
                return Err(error);
            }
        }
        let left: Vec<_> = self.retry_state.reasons(true).chain(self.retry_state.reasons(false)).collect();
        if left.is_empty() { Ok(()) } else { Err(PassError::UnfinishedWrites(left)) }
    }

    /// Who this host is, as far as Docker answers: while it is away, it is the one that it was.
    async fn host(&self) -> Result<Host, PassError> {
        let advertised = self.ledger.advertised_address().await?;
        let Some(known) = &self.host else {
            return Ok(Host::new(self.docker.engine().await?, advertised, self.settings.clone()));
        };
        Ok(match tokio::time::timeout(ENGINE_TIMEOUT, self.docker.engine()).await {
            Ok(Ok(engine)) => Host::new(engine, advertised, self.settings.clone()),
            Ok(Err(_)) | Err(_) => Host { advertised, ..known.clone() },
        })
    }

    /// Takes note of the writes that have ended: of which entries they were.
    fn collect_writes(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut ended = Vec::new();
        for WriteOutcome { id, step, operator_reason: maintained, result } in self.writes.collect() {
            match result {
                Ok(()) => {
                    write_log::log_step(&step, self.actual.as_ref(), &self.container_names);
                    self.planner_state.record_step(&step, now);
                    self.planner_state.record_maintenance(&id, maintained);
                    if let Some(actual) = &mut self.actual {
                        plan::apply_to_entries(&step, actual);
                    }
                    self.retry_state.succeeded(&id);
                }
                Err(error @ LedgerError::Refused { .. }) if matches!(step, Step::Put(..)) => {
                    self.retry_state.refused(&id, step, error.cause());
                }
                Err(error @ LedgerError::Denied { .. }) => self.retry_state.denied(&id, step, error.cause(), now),
                Err(error) => {
                    self.retry_state.failed(&id, step, error.cause(), now);
                    // Whether it was carried out is not known.
                    self.actual = None;
                    self.reread_at = Some(now + REREAD_AFTER);
                }
            }
            ended.push(id);
        }
        ended
    }

    fn write_outage(&self) -> Option<PassError> {
        let (count, first) = self.retry_state.consecutive_failures();
        first.filter(|_| count >= MAX_CONSECUTIVE_FAILURES).map(|first| PassError::WriteOutage(first.to_owned()))
    }

    /// Brings the registry nearer to what is wanted. The time after which to look again, or `None` while the first full
    /// list is missing.
    async fn reconcile(&mut self) -> Result<Option<Option<Duration>>, PassError> {
        let Some((desired, mut plan)) = self.plan().await? else { return Ok(None) };
        let containers = self.containers.snapshot();
        self.container_names.update(&containers, self.actual.as_ref());
        self.log_notes(&desired);
        self.prober.update(&desired.gates, &containers);
        self.retry_state.retain_planned(|id| plan.contains_key(id));
        let now = Instant::now();
        plan.retain(|id, steps| !steps.first().is_some_and(|first| self.retry_state.is_blocked(id, first, now)));
        let owned = self.actual.as_ref().map(|actual| &actual.owned);
        let first = |(id, steps): (String, Vec<Step>)| {
            let (more, replaces) = (steps.len() > 1, owned.is_some_and(|owned| owned.contains_key(&id)));
            steps.into_iter().next().map(|step| QueuedWrite { id, step, has_more_steps: more, entry_exists: replaces })
        };
        self.writes.replace(plan::by_urgency(plan).into_iter().filter_map(first));
        match self.write_outage() {
            Some(error) => self.condition.report_problem(&error),
            None => {
                self.engine_condition.report_ok();
                self.condition.report_ok();
                for (instance, failure) in self.retry_state.unlogged() {
                    tracing::warn!(instance, "{failure}; will try again");
                }
            }
        }
        let read_again = self.reread_at.map(|at| at.saturating_duration_since(now));
        Ok(Some(desired.recheck_after.into_iter().chain(self.retry_state.next_retry(now)).chain(read_again).min()))
    }

    /// Tells users, once each, of what could not be done as they asked.
    pub fn log_notes(&mut self, desired: &DesiredInstances) {
        let foreign = self.actual.iter().flat_map(|actual| {
            let foreign = actual.foreign.iter().filter(move |(id, _)| !actual.is_writable(id));
            foreign.filter_map(|(id, owner)| Some((desired.instances.get(id)?, owner)))
        });
        let held = foreign.zip(std::iter::repeat(self.host.as_ref())).filter_map(|((instance, owner), host)| {
            let why = ownership::foreign_entry_reason(&instance.id, owner.as_ref(), host?);
            Some((self.container_names.name_of(&instance.owner.container).to_owned(), format!("not registered: {why}")))
        });
        let held: Vec<_> = held.collect();
        let claimed =
            desired.contended_ids.iter().map(|(id, claims)| format!("{} claim the id {id:?}", claims.join(" and ")));
        self.id_conflicts = held.iter().map(|(who, note)| format!("{who}: {note}")).chain(claimed).collect();
        let notes: BTreeSet<_> = desired.notes.iter().cloned().chain(held).collect();
        for (who, note) in notes.difference(&self.logged_notes) {
            match who.as_str() {
                "" => tracing::warn!("{note}"),
                container => tracing::warn!(container, "{note}"),
            }
        }
        self.logged_notes = notes;
    }
}

impl<L: Ledger> Reconcile for Registrar<L> {
    async fn pass(&mut self, cause: PassCause) -> NextPass {
        self.collect_writes();
        let now = Instant::now();
        if self.reread_at.take_if(|at| *at <= now).is_some() {
            self.actual = None;
        }
        if cause == PassCause::Resync {
            (self.host_is_fresh, self.actual) = (false, None);
            self.instance_cache = InstanceCache::default();
            self.retry_state.release_refused(now);
        }
        match self.reconcile().await {
            Ok(None) => NextPass::Idle,
            Ok(Some(due)) => {
                if let Some(actual) =
                    self.actual.as_ref().filter(|_| self.retry_state.is_empty() && self.writes.is_idle())
                {
                    let entries = actual.owned.len();
                    if self.last_in_sync.replace(entries) != Some(entries) {
                        tracing::info!(entries, "in line");
                    }
                }
                due.map_or(NextPass::Idle, NextPass::After)
            }
            Err(error) => {
                // What was planned for a registry that answered may be wrong for the one that comes back.
                self.writes.clear();
                self.record_failure(&error);
                NextPass::Retry
            }
        }
    }
}
