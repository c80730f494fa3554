//! What a target does about its failures: it remembers them, and looks whether something has changed that they may
//! depend on.

use std::time::Duration;

use super::{
    ApplyError, ApplyOutcome, Effect, Target,
    desired_file::{DesiredSnapshot, Digest},
    error::Rejection,
    failure_dependencies::FailureDependencies,
    now,
    plan::PlanInput,
    reload_budget::ReloadBudget,
    retry::{DeferredReload, NextAttempt, RejectedCandidate, TargetRetry},
};
use crate::{
    core::{condition::error_chain, reconcile::NextPass},
    sys::blocking::blocking,
};

/// How often it is looked whether something that is held depends on has changed.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl Target {
    /// The generation that is held on to. Whoever orders that, or its end, does not wait for what has failed before.
    pub(super) fn pinned_snapshot(&mut self) -> Result<Option<DesiredSnapshot>, ApplyError> {
        let before = self.logged.pin;
        let held = self.load_pinned_snapshot();
        if self.logged.pin != before {
            self.retry = TargetRetry::new();
        }
        held
    }

    /// Notes that a candidate was not taken, which may depend on `inputs`.
    pub(super) async fn record_rejection(&mut self, inputs: Digest, rejection: Rejection) {
        let stamps = self.failure_dependencies(&rejection.to_string()).await;
        self.retry.reject(
            RejectedCandidate { inputs_digest: inputs, rejection, dependencies: stamps, changed: false },
            now(),
        );
    }

    /// Whether a candidate with these inputs is not tried now.
    pub(super) async fn is_candidate_blocked(&mut self, inputs: Digest) -> bool {
        let Some(rejected) = self.retry.rejected() else { return false };
        let changed = rejected.inputs_digest != inputs
            || rejected.dependencies != self.failure_dependencies(&rejected.rejection.to_string()).await;
        self.retry.is_candidate_blocked(changed, now())
    }

    /// The failure of the owed reload, if it is not tried now.
    pub(super) async fn blocked_reload_error(&mut self) -> Option<ApplyError> {
        let DeferredReload { reason, dependencies: stamps, .. } = self.retry.deferred()?;
        let (reason, changed) = (reason.clone(), *stamps != self.failure_dependencies(reason).await);
        self.retry.is_reload_blocked(changed, now()).then_some(ApplyError::ReloadDeferred { reason })
    }

    /// Whether the wanted files are tried although the files on the disk are not verified: their reload has failed, and
    /// so far only with other candidates.
    pub(super) fn can_supersede_present(&mut self, desired: &DesiredSnapshot, observed: &PlanInput) -> bool {
        observed.complete
            && observed.has_differences()
            && self.retry.deferred().is_some()
            && self.retry.can_supersede(Digest::of_files(&desired.entries), now())
    }

    /// Notes the result of a pass.
    pub(super) async fn record_outcome(
        &mut self,
        desired: &DesiredSnapshot,
        applied: &Result<ApplyOutcome, ApplyError>,
    ) {
        match applied {
            Ok(ApplyOutcome::Applied { effect: Effect::Verified | Effect::NoReload, .. }) => {
                self.retry.record_success(now())
            }
            Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) | Err(ApplyError::Rejected(_)) => {
                self.retry.clear_deferred()
            }
            Ok(ApplyOutcome::Incomplete) => {}
            Err(error) => {
                if let Some(cost) = error.retry_cost() {
                    let reason = error_chain(error);
                    let stamps = self.failure_dependencies(&reason).await;
                    let tried = match error {
                        ApplyError::RollbackFailed { .. } => Some(Digest::of_files(&desired.entries)),
                        _ => self.retry.deferred().and_then(|deferred| deferred.tried_candidate),
                    };
                    self.retry.defer(
                        DeferredReload { reason, cost, dependencies: stamps, tried_candidate: tried, changed: false },
                        now(),
                    );
                }
            }
        }
    }

    /// While something is held, a look at what that depends on is enough, unless something else has happened. `None`: a
    /// pass is due.
    pub(super) async fn idle_while_blocked(&self) -> Option<NextPass> {
        let until = self.retry.next_attempt().filter(|_| self.logged.failing_since.is_some())?;
        let is_due = matches!(until, NextAttempt::At(at) if at <= now());
        let is_asked =
            self.scheduler.has_pending_change(&self.desired.snapshot()) || self.history.pin() != self.logged.pin;
        if is_due || is_asked || self.has_dependency_changed().await { None } else { Some(self.next_poll()) }
    }

    /// When to look again.
    pub(super) fn next_poll(&self) -> NextPass {
        NextPass::After(self.retry.next_attempt().map_or(POLL_INTERVAL, |until| until.time_left(now(), POLL_INTERVAL)))
    }

    async fn has_dependency_changed(&self) -> bool {
        let rejected = self.retry.rejected().map(|rejected| (rejected.rejection.to_string(), &rejected.dependencies));
        let deferred = self.retry.deferred().map(|deferred| (deferred.reason.clone(), &deferred.dependencies));
        match deferred.or(rejected) {
            Some((text, stamps)) => *stamps != self.failure_dependencies(&text).await,
            None => true,
        }
    }

    async fn failure_dependencies(&self, output: &str) -> FailureDependencies {
        let (output, pid_file) = (output.to_owned(), self.program.pid_file().map(ToOwned::to_owned));
        let changes = ReloadBudget::change_count(&self.shared_budgets);
        blocking(move || FailureDependencies::observe(pid_file.as_deref(), &output, changes)).await
    }
}
