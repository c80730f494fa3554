//! The reconciler of `register`: compares the containers with the registry's entries and writes what differs.

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

/// If the writes of this many entries fail in a row, with no success in between, the registry itself counts as failed.
const MAX_CONSECUTIVE_FAILURES: usize = 8;
/// The time limit for asking Docker for its id and host name, once they are known.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a clean stop waits for writes that are in flight.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);
/// A registry that hung may still carry out a write that timed out: the entries are read once more after this time.
const REREAD_AFTER: Duration = Duration::from_secs(2);

/// Keeps the registry's entries of this host's containers as they should be.
pub struct Registrar<L> {
    settings: Settings,
    docker: docker::Client,
    containers: Store<String, Observation>,
    ledger: Arc<L>,
    condition: Condition,
    /// The condition of Docker's answers about its id and host name.
    engine_condition: Condition,
    /// `None` until Docker and the registry have answered.
    host: Option<Host>,
    /// Whether `host` was read since the last failure or resync.
    host_is_fresh: bool,
    /// The entries of the registry: read at the start, at every resync and after a failure; our own writes are applied
    /// to it.
    actual: Option<Entries>,
    /// The instances of each container at its last evaluation.
    instance_cache: InstanceCache,
    /// What neither Docker nor the registry can report.
    planner_state: PlannerState,
    /// Probes containers that must be ready before they are registered.
    prober: ReadinessProber,
    /// The writes in flight and in the queue.
    writes: WriteQueue<L>,
    /// The writes that failed.
    retry_state: RetryState,
    /// When the entries are read again because the outcome of a write is unknown.
    reread_at: Option<Instant>,
    /// The names of the containers, for log lines.
    container_names: ContainerNames,
    /// How many entries the removal guard defers.
    deferred: usize,
    /// What `--once` reports about the last pass.
    last_pass: LastPass,
    /// The number of entries when everything was last up to date, so that the line is logged once.
    last_in_sync: Option<usize>,
    /// The notes that are logged already.
    logged_notes: BTreeSet<(String, String)>,
}

/// What `--once` reports about the last pass.
#[derive(Debug, Default)]
struct LastPass {
    /// What cannot be registered because another writer or container has the id.
    id_conflicts: Vec<String>,
    /// What must happen before everything can be up to date.
    waiting_for: Vec<String>,
    /// Why the pass failed, if a retry cannot help.
    permanent_failure: Option<String>,
}

impl<L: Ledger> Registrar<L> {
    /// Reads nothing before the first pass.
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
            deferred: 0,
            last_pass: LastPass::default(),
            last_in_sync: None,
            logged_notes: BTreeSet::new(),
        }
    }

    /// Plans what a pass would do now; `None` until the first full list of containers.
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
        // In each pass, since a container that exists now may have ended by the next time the entries are read.
        let rivals = self.planner_state.rivals(&containers.entries, host);
        let actual = match &self.actual {
            Some(actual) => actual,
            None => {
                let read = self.ledger.entries().await?;
                self.actual.insert(ownership::classify(read, host, &containers.entries, rivals))
            }
        };
        let (ready, now) = (self.prober.ready().entries, Timestamp::now());
        let restored = restore_state(&containers.entries, actual, &self.settings, now);
        let mut desired = self.instance_cache.desired_instances(&restored, host, actual, &ready, now);
        desired.notes.extend(ownership::foreign_entry_notes(actual, host));
        let note = host.unreachable_address_note().filter(|_| !desired.instances.is_empty());
        desired.notes.extend(note.map(|note| (String::new(), note)));
        let (context, due) = self.planner_state.plan_context(&desired, actual, &containers, host, Instant::now());
        desired.recheck_after = desired.recheck_after.into_iter().chain(due).min();
        let deferred = context.deferred.len();
        // Logged once, and not again while the containers come back one by one.
        if std::mem::replace(&mut self.deferred, deferred) == 0 && deferred > 0 {
            let note = "missing in Docker's list without an event: they stay until the next full list confirms it (--max-removal)";
            tracing::warn!("{deferred} entries: {note}");
        }
        let plan = plan::plan(&desired, actual, &context);
        let unreadable = desired.unreadable.iter();
        let unreadable =
            unreadable.map(|id| format!("Docker cannot inspect the container {}", self.container_names.name_of(id)));
        let gates = desired.gates.iter().map(|(id, gate)| format!("{id} is not ready ({})", gate.probe));
        let deferred = (deferred > 0)
            .then(|| format!("{deferred} entries stay until a second full list confirms that they are gone"));
        self.last_pass.waiting_for = unreadable.chain(gates).chain(deferred).collect();
        Ok(Some((desired, plan)))
    }

    /// Describes a plan, with a line for each step and for each instance that waits for its readiness gate.
    pub fn describe(&self, desired: &DesiredInstances, plan: Plan) -> Vec<String> {
        match &self.actual {
            Some(actual) if self.settings.adopt.is_some() => dry_run::comparison_lines(desired, plan, actual),
            _ => dry_run::plan_lines(desired, plan),
        }
    }

    /// What could not be registered, and will not be without a change.
    pub fn not_registered(&self) -> Vec<String> {
        self.retry_state.reasons(false).chain(self.last_pass.id_conflicts.iter().cloned()).collect()
    }

    /// What must happen before everything is up to date. `list_error` is why Docker could not list its containers, if
    /// that is known.
    pub fn waiting_for(&self, list_error: Option<&String>) -> Vec<String> {
        let problem = self.engine_condition.current_problem().or_else(|| self.condition.current_problem());
        let list_error = || list_error.cloned().unwrap_or_else(|| "Docker has not listed its containers".to_owned());
        let unlisted = (!self.containers.snapshot().complete).then(list_error);
        let reasons = self.last_pass.waiting_for.iter().cloned();
        // The registry is not read before the first full list.
        let is_asked = unlisted.is_none() && (self.actual.is_none() || !self.writes.is_idle());
        let unanswered = is_asked.then(|| format!("{} has not answered yet", self.ledger.name()));
        let unanswered = unanswered.filter(|_| problem.is_none());
        let reasons = unanswered.into_iter().chain(reasons);
        problem.into_iter().chain(unlisted).chain(reasons).chain(self.retry_state.reasons(true)).collect()
    }

    /// Whether a write is outstanding, something is waited for, or a retry may succeed.
    pub fn is_pending(&self) -> bool {
        !self.writes.is_idle()
            || !self.last_pass.waiting_for.is_empty()
            || self.retry_state.reasons(true).next().is_some()
    }

    /// Why the last pass failed, if a retry cannot help.
    pub fn permanent_failure(&self) -> Option<String> {
        self.last_pass.permanent_failure.clone()
    }

    /// Records that a pass failed.
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
        self.last_pass.permanent_failure = condition.current_problem().filter(|_| !error.is_transient());
        (self.host_is_fresh, self.actual, self.last_in_sync) = (false, None, None);
    }

    /// Waits for the writes in flight, and sends no more.
    pub async fn finish_writes(&mut self) {
        self.writes.clear();
        if tokio::time::timeout(FINISH_TIMEOUT, self.writes.wait_until_idle()).await.is_err() {
            self.collect_writes();
            self.writes = WriteQueue::new(Arc::clone(&self.ledger), self.containers.bell_sender());
        }
        self.collect_writes();
    }

    /// Applies `--on-exit` at a clean stop, after [`finish_writes`](Self::finish_writes).
    ///
    /// # Errors
    /// The registry did not carry out the writes.
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
        // Earlier failures are not part of the result.
        self.retry_state = RetryState::default();
        // A pass that was cancelled may have written more than it recorded.
        let read = self.ledger.entries().await?;
        let containers = self.containers.snapshot().entries;
        let mut left =
            ownership::classify(read, &host, &containers, self.planner_state.rivals(&containers, &host)).owned;
        // Each entry is tried once; a failed write clears the queue.
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

    /// Reads the host. While Docker does not answer, the known id and host name stay valid.
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

    /// Records the writes that have ended, and returns the ids of their entries.
    fn collect_writes(&mut self) -> Vec<String> {
        let now = Instant::now();
        let mut ended = Vec::new();
        for WriteOutcome { id, step, operator_reason, result } in self.writes.collect() {
            match result {
                Ok(()) => {
                    write_log::log_step(&step, self.actual.as_ref(), &self.container_names);
                    self.planner_state.record_step(&step, now);
                    self.planner_state.record_maintenance(&id, operator_reason);
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
                    // It is unknown whether the write was carried out.
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

    /// Plans, and queues the writes. Returns when the next pass is due, or `None` until the first full list of
    /// containers.
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
            let (has_more_steps, entry_exists) = (steps.len() > 1, owned.is_some_and(|owned| owned.contains_key(&id)));
            steps.into_iter().next().map(|step| QueuedWrite { id, step, has_more_steps, entry_exists })
        };
        self.writes.replace(plan::by_urgency(plan).into_iter().filter_map(first));
        match self.write_outage() {
            Some(error) => self.condition.report_problem(&error),
            None => {
                self.engine_condition.report_ok();
                self.condition.report_ok();
                for (instance, failure) in self.retry_state.unlogged() {
                    tracing::warn!(instance, "{failure}; retrying");
                }
            }
        }
        let until_reread = self.reread_at.map(|at| at.saturating_duration_since(now));
        Ok(Some(desired.recheck_after.into_iter().chain(self.retry_state.next_retry(now)).chain(until_reread).min()))
    }

    /// Logs each note once: what could not be done as configured.
    pub fn log_notes(&mut self, desired: &DesiredInstances) {
        let foreign = self.actual.iter().flat_map(|actual| {
            let foreign = actual.foreign.iter().filter(move |(id, _)| !actual.is_writable(id));
            foreign.filter_map(|(id, owner)| Some((desired.instances.get(id)?, owner)))
        });
        let conflicts = foreign.zip(std::iter::repeat(self.host.as_ref())).filter_map(|((instance, owner), host)| {
            let why = ownership::foreign_entry_reason(&instance.id, owner.as_ref(), host?);
            Some((self.container_names.name_of(&instance.owner.container).to_owned(), format!("not registered: {why}")))
        });
        let conflicts: Vec<_> = conflicts.collect();
        let claimed =
            desired.contended_ids.iter().map(|(id, claims)| format!("{} claim the id {id:?}", claims.join(" and ")));
        self.last_pass.id_conflicts =
            conflicts.iter().map(|(who, note)| format!("{who}: {note}")).chain(claimed).collect();
        let notes: BTreeSet<_> = desired.notes.iter().cloned().chain(conflicts).collect();
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
                        tracing::info!(entries, "up to date");
                    }
                }
                due.map_or(NextPass::Idle, NextPass::After)
            }
            Err(error) => {
                // The entries may be different when the registry answers again.
                self.writes.clear();
                self.record_failure(&error);
                NextPass::Retry
            }
        }
    }
}
