//! Runs a target in the reconcile loop: each wake-up causes at most one pass.

use std::time::Duration;

use super::{
    ApplyError, ApplyOutcome, Effect, Target, membership_change::MembershipChange, now, retry::NextAttempt, status,
};
use crate::core::reconcile::{NextPass, PassCause, Reconcile};

/// How often to check whether a program with a pending reload has been started.
const NOT_RUNNING_POLL_INTERVAL: Duration = Duration::from_secs(2);

impl Reconcile for Target {
    async fn pass(&mut self, cause: PassCause) -> NextPass {
        if cause == PassCause::Wake
            && let Some(next) = self.idle_while_blocked().await
        {
            return next;
        }
        let Some(mut guard) = self.lock_program().await else { return NextPass::Idle };
        let pinned = match self.pinned_snapshot() {
            Ok(pinned) => pinned,
            Err(error) => {
                let (desired, applied) = (self.desired.snapshot().into(), Err(error));
                status::publish(&self.statuses, &self.name, &desired, None, None, &applied);
                return self.finish_pass(applied, &MembershipChange::default());
            }
        };
        self.scheduler.set_next_regular_reload(guard.next_regular_reload());
        let desired = pinned.unwrap_or_else(|| self.choose_desired());
        let applied_pin = self.applied_pin.filter(|_| self.history.pin() == self.applied_pin);
        let (applied, change) = self.apply_snapshot(&desired, &mut guard).await;
        drop(guard);
        status::publish(&self.statuses, &self.name, &desired, applied_pin, self.verified_reload.as_ref(), &applied);
        let next = self.finish_pass(applied, &change);
        self.scheduler.next(next, now())
    }
}

impl Target {
    /// While a failure blocks the next attempt, inspecting its dependencies is enough. `None` if a pass is due.
    async fn idle_while_blocked(&self) -> Option<NextPass> {
        let next_attempt = self.failures.next_attempt().filter(|_| self.log.is_failing())?;
        let is_due = matches!(next_attempt, NextAttempt::At(at) if at <= now());
        let is_requested =
            self.scheduler.has_pending_change(&self.desired.snapshot().into()) || self.history.pin() != self.log.pin();
        if is_due || is_requested || self.failures.has_dependency_changed(self.dependency_source()).await {
            None
        } else {
            Some(self.failures.next_poll())
        }
    }

    /// Logs the result of a pass, and determines when the next one is due.
    fn finish_pass(&mut self, applied: Result<ApplyOutcome, ApplyError>, change: &MembershipChange) -> NextPass {
        match applied {
            Ok(applied) => {
                self.log_outcome(&applied, change);
                self.log.recovery();
                match applied {
                    ApplyOutcome::Applied { effect: Effect::NotRunning(_), .. } => {
                        NextPass::After(NOT_RUNNING_POLL_INTERVAL)
                    }
                    _ => NextPass::Idle,
                }
            }
            Err(error) => {
                self.log.failure(&error, self.failures.next_attempt());
                match error {
                    ApplyError::Stopped => NextPass::Idle,
                    ApplyError::Rejected(_) | ApplyError::ReloadDeferred { .. } => self.failures.next_poll(),
                    error if error.retry_cost().is_some() => self.failures.next_poll(),
                    _ => NextPass::Retry,
                }
            }
        }
    }
}
