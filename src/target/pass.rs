//! One pass over a target: observe, plan, execute, and roll back if that fails.

use std::collections::BTreeSet;

use super::{
    ApplyError, ApplyOutcome, Effect, Rejection, Target, candidate_outcome,
    desired_file::DesiredSnapshot,
    execution::{Interrupt, PartialFailure, PassState},
    failure_dependencies::DependencySource,
    files,
    membership_change::MembershipChange,
    now,
    observation::TargetObservation,
    plan::{self, plan, recover},
    reload_budget::{ProgramGuard, ReloadBudget},
};
use crate::{
    core::condition::error_chain,
    sys::{blocking::blocking, state_dir::StateError},
};

impl Target {
    /// Makes one pass: writes the newest desired files and brings them into effect. While not all of them are rendered,
    /// only a pending reload of an earlier pass is tried. Logs what was done, but not the error.
    ///
    /// Dropping the future is equivalent to a crash: the first pass of the next process completes what has begun. A
    /// swap of files that has begun is completed even then.
    pub async fn apply(&mut self) -> Result<ApplyOutcome, ApplyError> {
        let Some(mut guard) = self.lock_program().await else { return Err(ApplyError::Stopped) };
        let newest = self.pinned_snapshot()?.unwrap_or_else(|| self.desired.snapshot().into());
        self.scheduler.choose_now(newest.clone(), now());
        let (applied, change) = self.apply_snapshot(&newest, &mut guard).await;
        if let Ok(applied) = &applied {
            self.log_outcome(applied, &change);
        }
        applied
    }

    /// Applies the files that were desired at one moment, and records the result.
    pub(super) async fn apply_snapshot(
        &mut self,
        desired: &DesiredSnapshot,
        guard: &mut ProgramGuard,
    ) -> (Result<ApplyOutcome, ApplyError>, MembershipChange) {
        let applied = self.apply_and_record(desired).await;
        self.charge_reload(guard, &applied);
        self.scheduler.set_next_regular_reload(guard.next_regular_reload());
        let change = self.scheduler.record_outcome(&applied, now());
        (applied, change)
    }

    async fn apply_and_record(&mut self, desired: &DesiredSnapshot) -> Result<ApplyOutcome, ApplyError> {
        self.remove_leftovers().await?;
        self.record_original_files().await?;
        let applied = self.run_rounds(desired).await;
        self.failures.record_outcome(desired, &applied, self.dependency_source()).await;
        self.outcome = candidate_outcome::from_apply(desired, &applied);
        let is_in_effect = match &applied {
            Ok(ApplyOutcome::UpToDate) => true,
            Ok(ApplyOutcome::Applied { effect, .. }) => !matches!(effect, Effect::NotRunning(_)),
            _ => false,
        };
        if is_in_effect {
            self.record_in_effect(desired).await;
        }
        applied
    }

    /// Usually one round. A round that only completes an earlier pass, or finds a rejection, is followed by another
    /// one; the round that replaces files is the last.
    async fn run_rounds(&mut self, desired: &DesiredSnapshot) -> Result<ApplyOutcome, ApplyError> {
        let (mut effect, mut present_rejection, mut rejection) = (None, None, None);
        loop {
            let mut observation = self.observe(desired).await?;
            let input = &mut observation.plan_input;
            if input.rejected {
                rejection = rejection.or_else(|| self.failures.rejection().cloned());
            }
            // One rejection in a pass is enough, even if the inputs change meanwhile.
            input.rejected = rejection.is_some();
            input.present_rejected = present_rejection.is_some();
            input.present_rejected |= rejection.is_none()
                && input.complete
                && input.has_differences()
                && self.failures.can_supersede_present(desired);
            let steps = plan(input);
            if steps.is_empty() {
                return match (present_rejection, rejection, effect) {
                    (Some(output), _, _) => Err(ApplyError::PresentRejected { output }),
                    (None, Some(rejection), _) => Err(rejection.into()),
                    (None, None, Some(effect)) => Ok(ApplyOutcome::Applied { written: Vec::new(), effect }),
                    (None, None, None) if input.complete => Ok(ApplyOutcome::UpToDate),
                    (None, None, None) => Ok(ApplyOutcome::Incomplete),
                };
            }
            if plan::completes_pending_reload(&steps)
                && let Some(error) = self.failures.blocked_reload_error(self.dependency_source()).await
            {
                return Err(error);
            }
            let mut state = PassState::default();
            let result = self.execute(&observation, &steps, &mut state).await;
            if result.is_ok() && plan::changes_files(&steps) {
                ReloadBudget::count_change(&self.shared_budgets);
            }
            self.log.removed(&state.removed);
            let written = state.written;
            match result {
                Ok(()) => match state.effect {
                    Some(effect) if !written.is_empty() => return Ok(ApplyOutcome::Applied { written, effect }),
                    new_effect => effect = new_effect.or(effect),
                },
                Err(Interrupt::NotRunning(reason)) => {
                    return match rejection {
                        Some(rejection) => Err(rejection.into()),
                        None => Ok(ApplyOutcome::Applied { written, effect: Effect::NotRunning(reason) }),
                    };
                }
                Err(Interrupt::PresentRejected(output)) => present_rejection = Some(output),
                Err(Interrupt::Rejected(new)) => rejection = Some(new),
                Err(Interrupt::Failed(error)) => return Err(error),
                Err(Interrupt::PartiallyApplied(failure)) => {
                    rejection = Some(self.roll_back(desired, &observation, failure).await?)
                }
            }
        }
    }

    /// Restores the former files, and records what has failed.
    async fn roll_back(
        &mut self,
        desired: &DesiredSnapshot,
        before: &TargetObservation,
        failure: PartialFailure,
    ) -> Result<Rejection, ApplyError> {
        let needs_reload =
            before.plan_input.journal.pending_reload.is_some() || matches!(failure, PartialFailure::Reload(_));
        let reason = match &failure {
            PartialFailure::Swap(error) => error_chain(error),
            PartialFailure::Reload(error) => error_chain(error),
        };
        let rollback_failed = |source| ApplyError::RollbackFailed { reason: reason.clone(), source: Box::new(source) };
        let observation = self.observe(desired).await.map_err(rollback_failed)?;
        let steps = recover(&observation.plan_input, needs_reload);
        match failure {
            PartialFailure::Reload(error) if steps.is_empty() => return Err(ApplyError::ReloadFailed(error)),
            // The result is logged when the rollback is complete.
            _ => tracing::debug!("target {}: {reason}; the former files are restored", self.name),
        }
        match self.execute(&observation, &steps, &mut PassState::default()).await {
            Ok(()) | Err(Interrupt::NotRunning(_)) => {}
            Err(Interrupt::Failed(error)) => return Err(rollback_failed(error)),
            Err(Interrupt::PartiallyApplied(PartialFailure::Reload(error))) => {
                return Err(rollback_failed(ApplyError::ReloadFailed(error)));
            }
            Err(
                Interrupt::PartiallyApplied(PartialFailure::Swap(_))
                | Interrupt::Rejected(_)
                | Interrupt::PresentRejected(_),
            ) => {
                unreachable!("a rollback has neither a swap nor a check")
            }
        }
        if let PartialFailure::Swap(error) = failure {
            return Err(ApplyError::File(error));
        }
        let rejection = Rejection::RolledBack { reason };
        if observation.plan_input.complete {
            let inputs = self.program.inputs_digest(&observation.desired).await.map_err(ApplyError::Check)?;
            self.failures.reject(inputs, rejection.clone(), self.dependency_source()).await;
        }
        Ok(rejection)
    }

    /// The inputs for observing the dependencies of a failure.
    pub(super) fn dependency_source(&self) -> DependencySource {
        DependencySource {
            pid_file: self.program.pid_file().map(ToOwned::to_owned),
            change_count: ReloadBudget::change_count(&self.shared_budgets),
        }
    }

    /// Removes the temporary files of an earlier process. Once per process.
    async fn remove_leftovers(&mut self) -> Result<(), ApplyError> {
        if self.are_leftovers_removed {
            return Ok(());
        }
        let (fixed, journal) = (self.fixed_destinations.clone(), self.journal.clone());
        let remove = move || {
            let record = journal.record()?;
            let fixed = fixed.iter().map(|destination| &destination.path);
            let paths: BTreeSet<_> = fixed.chain(record.tracked_paths()).chain(&record.announced).collect();
            paths.into_iter().for_each(|path| files::remove_leftovers(path));
            Ok::<_, StateError>(())
        };
        blocking(remove).await?;
        self.are_leftovers_removed = true;
        Ok(())
    }
}
