//! A target's memory of its failures: the rejected candidate, the deferred reload, and whether their dependencies have
//! changed since.

use std::time::Duration;

use super::{
    ApplyError, ApplyOutcome, Effect, Rejection,
    desired_file::{DesiredSnapshot, Digest},
    failure_dependencies::DependencySource,
    now,
    retry::{DeferredReload, NextAttempt, RejectedCandidate, TargetRetry},
};
use crate::core::{condition::error_chain, reconcile::NextPass};

/// How often the dependencies of a failure are inspected.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct FailureMemory {
    retry: TargetRetry,
}

impl FailureMemory {
    pub(super) fn new() -> Self {
        Self { retry: TargetRetry::new() }
    }

    pub(super) fn rejection(&self) -> Option<&Rejection> {
        self.retry.rejected().map(|rejected| &rejected.rejection)
    }

    pub(super) fn next_attempt(&self) -> Option<NextAttempt> {
        self.retry.next_attempt()
    }

    /// When the dependencies are inspected next.
    pub(super) fn next_poll(&self) -> NextPass {
        let wait = self.next_attempt().map_or(POLL_INTERVAL, |next| next.time_left(now(), POLL_INTERVAL));
        NextPass::After(wait)
    }

    pub(super) fn record_check_passed(&mut self) {
        self.retry.record_check_passed(now());
    }

    /// Records that a candidate was rejected. `inputs_digest`: what the check has read.
    pub(super) async fn reject(&mut self, inputs_digest: Digest, rejection: Rejection, source: DependencySource) {
        let dependencies = source.observe(&rejection.to_string()).await;
        self.retry.reject(RejectedCandidate { inputs_digest, rejection, dependencies, changed: false }, now());
    }

    /// Whether a candidate with these inputs is not tried now.
    pub(super) async fn is_candidate_blocked(&mut self, inputs_digest: Digest, source: DependencySource) -> bool {
        let Some(rejected) = self.retry.rejected() else { return false };
        let is_changed = rejected.inputs_digest != inputs_digest
            || rejected.dependencies != source.observe(&rejected.rejection.to_string()).await;
        self.retry.is_candidate_blocked(is_changed, now())
    }

    /// The failure of the pending reload, if the reload is not tried now.
    pub(super) async fn blocked_reload_error(&mut self, source: DependencySource) -> Option<ApplyError> {
        let DeferredReload { reason, dependencies, .. } = self.retry.deferred()?;
        let (reason, is_changed) = (reason.clone(), *dependencies != source.observe(reason).await);
        self.retry.is_reload_blocked(is_changed, now()).then_some(ApplyError::ReloadDeferred { reason })
    }

    /// Whether `desired` is tried although the files on the disk are not verified: their reload has failed, and so far
    /// only with other candidates.
    pub(super) fn can_supersede_present(&mut self, desired: &DesiredSnapshot) -> bool {
        self.retry.deferred().is_some() && self.retry.can_supersede(desired.digest(), now())
    }

    /// Records the result of a pass.
    pub(super) async fn record_outcome(
        &mut self,
        desired: &DesiredSnapshot,
        applied: &Result<ApplyOutcome, ApplyError>,
        source: DependencySource,
    ) {
        let error = match applied {
            Ok(ApplyOutcome::Applied { effect: Effect::Verified | Effect::NoReload, .. }) => {
                return self.retry.record_success(now());
            }
            Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) | Err(ApplyError::Rejected(_)) => {
                return self.retry.clear_deferred();
            }
            Ok(ApplyOutcome::Incomplete) => return,
            Err(error) => error,
        };
        if let Some(cost) = error.retry_cost() {
            let reason = error_chain(error);
            let dependencies = source.observe(&reason).await;
            let tried_candidate = match error {
                ApplyError::RollbackFailed { .. } => Some(desired.digest()),
                _ => self.retry.deferred().and_then(|deferred| deferred.tried_candidate),
            };
            self.retry.defer(DeferredReload { reason, cost, dependencies, tried_candidate, changed: false }, now());
        }
    }

    /// Whether a dependency of the last failure has changed; true if there was no failure.
    pub(super) async fn has_dependency_changed(&self, source: DependencySource) -> bool {
        let rejected = self.retry.rejected().map(|rejected| (rejected.rejection.to_string(), &rejected.dependencies));
        let deferred = self.retry.deferred().map(|deferred| (deferred.reason.clone(), &deferred.dependencies));
        match deferred.or(rejected) {
            Some((output, dependencies)) => *dependencies != source.observe(&output).await,
            None => true,
        }
    }
}
