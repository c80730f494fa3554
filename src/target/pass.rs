//! One pass over a target: look, plan, carry out, and go back if need be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time;

use super::{
    ApplyError, ApplyOutcome, Effect, Target, VerifiedReload, candidate_outcome,
    desired_file::DesiredSnapshot,
    error::Rejection,
    file_list::format_file_list,
    file_operation::{self, FileOperation},
    files::{self, Access, FileError, StagedFile, SwapResult},
    nginx, now,
    observation::TargetObservation,
    plan::{self, CommittedFiles, FileOrigin, TargetStep, plan, recover},
    program::{CheckVerdict, ReloadError, ReloadOutcome},
    reload_budget::ReloadBudget,
    running_process::NotRunningReason,
};
use crate::{
    core::condition::error_chain,
    sys::{blocking::blocking, state_dir::StateError},
};

/// How long a step may go on after Portreeve is asked to end.
const GRACE: Duration = Duration::from_secs(2);

/// What a round has at hand between its steps.
#[derive(Default)]
struct PassState {
    staged: BTreeMap<PathBuf, StagedFile>,
    reload_in_progress: Option<nginx::ReloadInProgress>,
    /// When the program was told.
    notified_at: Option<Instant>,
    written: Vec<PathBuf>,
    removed: Vec<PathBuf>,
    effect: Option<Effect>,
}

/// Why a round ended before its last step.
enum Interrupt {
    /// Nobody to reload: the rest stays owed.
    NotRunning(NotRunningReason),
    /// What is wanted was refused: the next round takes that into account.
    Rejected(Rejection),
    /// What is present was refused: this as well.
    PresentRejected(String),
    /// From [`Step::Swap`] on, so files may have changed.
    PartiallyApplied(Halfway),
    /// Before that.
    Failed(ApplyError),
}

enum Halfway {
    Swap(FileError),
    Reload(ReloadError),
}

impl Halfway {
    /// What has become of a reload. Nothing is taken back for an error that came before the program was told.
    fn from_reload(error: ReloadError) -> Interrupt {
        if error.was_notified() {
            Interrupt::PartiallyApplied(Self::Reload(error))
        } else {
            ApplyError::NotNotified(error).into()
        }
    }
}

impl<E: Into<ApplyError>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Target {
    /// Makes one pass: writes the newest desired files and brings them into effect. While not all of them
    /// are rendered, only a pending reload of an earlier pass is tried. Logs what was done, not what failed.
    ///
    /// Dropping the future is equivalent to a crash: the first pass of the next process completes what has begun. Files
    /// that are being swapped at that moment are swapped to the last one.
    pub async fn apply(&mut self) -> Result<ApplyOutcome, ApplyError> {
        let Some(mut turn) = self.lock_program().await else { return Err(ApplyError::Stopped) };
        let newest = self.pinned_snapshot()?.unwrap_or_else(|| self.desired.snapshot());
        self.scheduler.choose_now(newest.clone(), now());
        let applied = self.apply_snapshot(&newest).await;
        self.charge_reload(&mut turn, &applied);
        let change = self.scheduler.record_outcome(&applied, now());
        if let Ok(applied) = &applied {
            self.log_outcome(applied, &change);
        }
        applied
    }

    /// The same with what was desired at one moment, by who has the turn.
    pub(super) async fn apply_snapshot(&mut self, desired: &DesiredSnapshot) -> Result<ApplyOutcome, ApplyError> {
        self.remove_leftovers().await?;
        self.record_original_files().await?;
        let applied = self.run_rounds(desired).await;
        self.record_outcome(desired, &applied).await;
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

    async fn run_rounds(&mut self, desired: &DesiredSnapshot) -> Result<ApplyOutcome, ApplyError> {
        let (mut effect, mut waits, mut failure) = (None, None, None);
        // Most often once. A round may only bring an earlier pass to its end, or find out what is bad; then another
        // follows, and the one that replaces files is the last.
        loop {
            let mut seen = self.observe(desired).await?;
            seen.plan_input.present_rejected = waits.is_some();
            let held = self.retry.rejected().filter(|_| seen.plan_input.rejected);
            failure = failure.or(held.map(|held| held.rejection.clone()));
            // Once in a pass is enough, even if the inputs are changing right now.
            seen.plan_input.rejected = failure.is_some();
            seen.plan_input.present_rejected |=
                failure.is_none() && self.can_supersede_present(desired, &seen.plan_input);
            let steps = plan(&seen.plan_input);
            if steps.is_empty() {
                return match (waits, failure, effect) {
                    (Some(output), _, _) => Err(ApplyError::PresentRejected { output }),
                    (None, Some(failure), _) => Err(failure.into()),
                    (None, None, Some(effect)) => Ok(ApplyOutcome::Applied { written: Vec::new(), effect }),
                    (None, None, None) if seen.plan_input.complete => Ok(ApplyOutcome::UpToDate),
                    (None, None, None) => Ok(ApplyOutcome::Incomplete),
                };
            }
            if plan::completes_pending_reload(&steps)
                && let Some(deferred) = self.blocked_reload_error().await
            {
                return Err(deferred);
            }
            let mut hand = PassState::default();
            let round = self.execute(&seen, &steps, &mut hand).await;
            if round.is_ok() && plan::changes_files(&steps) {
                ReloadBudget::count_change(&self.shared_budgets);
            }
            if !hand.removed.is_empty() {
                let removed = format_file_list(&hand.removed);
                let name = &self.name;
                tracing::info!(
                    target_name = name,
                    file = removed,
                    "target {name}: removed {removed}: no template makes that any more"
                );
            }
            let written = hand.written;
            match round {
                Ok(()) => match hand.effect {
                    Some(effect) if !written.is_empty() => return Ok(ApplyOutcome::Applied { written, effect }),
                    now => effect = now.or(effect),
                },
                Err(Interrupt::NotRunning(absent)) => {
                    return match failure {
                        Some(failure) => Err(failure.into()),
                        None => Ok(ApplyOutcome::Applied { written, effect: Effect::NotRunning(absent) }),
                    };
                }
                Err(Interrupt::PresentRejected(output)) => waits = Some(output),
                Err(Interrupt::Rejected(rejection)) => failure = Some(rejection),
                Err(Interrupt::Failed(error)) => return Err(error),
                Err(Interrupt::PartiallyApplied(halfway)) => {
                    failure = Some(self.roll_back(desired, &seen, halfway).await?)
                }
            }
        }
    }

    async fn execute(
        &mut self,
        seen: &TargetObservation,
        steps: &[TargetStep],
        hand: &mut PassState,
    ) -> Result<(), Interrupt> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let replacing = rest.iter().take_while(|step| step.replaces_file()).count();
            if replacing > 0 {
                self.replace_files(seen, &rest[..replacing], hand).await?;
                rest = &rest[replacing..];
                continue;
            }
            if matches!(step, TargetStep::Stage(_)) && self.stop.is_cancelled() {
                return Err(ApplyError::Stopped.into());
            }
            let stop = self.stop.clone();
            let enough = async {
                stop.cancelled().await;
                time::sleep(GRACE).await;
            };
            tokio::select! {
                done = self.execute_step(seen, step, hand) => done?,
                // A program that is under way is ended with its group.
                () = enough, if step.may_take_long() => return Err(ApplyError::Stopped.into()),
            }
            rest = &rest[1..];
        }
        Ok(())
    }

    async fn replace_files(
        &mut self,
        seen: &TargetObservation,
        steps: &[TargetStep],
        hand: &mut PassState,
    ) -> Result<(), Interrupt> {
        let replacement = |step: &TargetStep| match step {
            TargetStep::Swap(path) => {
                let staged = hand.staged.remove(path).expect("each file is staged before the first swap");
                (path.clone(), FileOperation::Swap(staged))
            }
            TargetStep::Remove(path) => (path.clone(), FileOperation::Remove(seen.attrs(path).symlinks)),
            TargetStep::Restore(path, former) => (path.clone(), FileOperation::Restore(*former, seen.attrs(path))),
            _ => unreachable!("no other step replaces a file"),
        };
        let replacements = steps.iter().map(replacement).collect();
        let (done, ended) = file_operation::apply_operations(replacements, self.journal.clone()).await;
        for (step, swapped) in steps.iter().zip(done) {
            match step {
                TargetStep::Swap(path) => hand.written.push(path.clone()),
                TargetStep::Remove(path) => hand.removed.push(path.clone()),
                _ => {}
            }
            if let (TargetStep::Swap(path) | TargetStep::Restore(path, _), Some(swapped)) = (step, swapped) {
                self.log_swap(path, swapped);
            }
        }
        ended.map_err(|error| match steps.first() {
            Some(TargetStep::Restore(..)) => ApplyError::Restore(error).into(),
            _ => Interrupt::PartiallyApplied(Halfway::Swap(error)),
        })
    }

    async fn execute_step(
        &mut self,
        seen: &TargetObservation,
        step: &TargetStep,
        hand: &mut PassState,
    ) -> Result<(), Interrupt> {
        tracing::trace!("target {}: {step:?}", self.name);
        let journal = self.journal.clone();
        match step.clone() {
            TargetStep::Check(contents) => self.check(seen, contents).await?,
            TargetStep::SetAttrs(path) => {
                let (wish, destination) = (seen.attrs(&path), path.clone());
                blocking(move || files::set_attrs(&destination, wish)).await.map_err(ApplyError::File)?;
                let (name, file) = (&self.name, path.display().to_string());
                tracing::info!(target_name = name, file, "target {name}: {file}: mode and owner set");
            }
            TargetStep::Announce(names) => blocking(move || journal.announce(names)).await?,
            TargetStep::Stage(path) => {
                let (wish, former, destination) = (seen.attrs(&path), former_access(seen, &path), path.clone());
                let text = Arc::clone(&seen.desired.files[&path]);
                let staged = blocking(move || files::stage(&destination, text.bytes(), wish, former)).await;
                hand.staged.insert(path, staged.map_err(ApplyError::File)?);
            }
            TargetStep::SaveFormer(path) => {
                let text = Arc::clone(&seen.present.files[&path]);
                blocking(move || journal.save_content(text.digest(), text.bytes())).await?;
            }
            TargetStep::RecordPending(owed) => blocking(move || journal.record_pending_reload(owed)).await?,
            TargetStep::Swap(_) | TargetStep::Remove(_) | TargetStep::Restore(..) => {
                unreachable!("files are replaced together")
            }
            TargetStep::Reload => {
                (self.verified_reload, hand.notified_at) = (None, Some(now()));
                let sent = self.program.reload().await;
                let is_told = match &sent {
                    Ok(sent) => matches!(sent, ReloadOutcome::Done | ReloadOutcome::InProgress(_)),
                    Err(error) => error.was_notified(),
                };
                self.was_notified |= is_told;
                match sent.map_err(Halfway::from_reload)? {
                    ReloadOutcome::NotConfigured => hand.effect = Some(Effect::NoReload),
                    ReloadOutcome::NotRunning(absent) => return Err(Interrupt::NotRunning(absent)),
                    ReloadOutcome::Done => hand.effect = Some(Effect::Verified),
                    ReloadOutcome::InProgress(pending) => hand.reload_in_progress = Some(pending),
                }
            }
            TargetStep::Sync(path) => blocking(move || files::sync_directory(&path)).await.map_err(ApplyError::Sync)?,
            TargetStep::Verify => self.verify(hand).await?,
            TargetStep::Commit(files) => {
                self.log_unmanaged(&seen.plan_input.journal.committed, &files);
                blocking(move || journal.commit(files)).await?;
            }
        }
        Ok(())
    }

    async fn verify(&mut self, hand: &mut PassState) -> Result<(), Interrupt> {
        let pid = hand.reload_in_progress.as_ref().map(nginx::ReloadInProgress::pid);
        let verified = async {
            if let Some(pending) = hand.reload_in_progress.take() {
                pending.verify().await?;
                hand.effect = Some(Effect::Verified);
            }
            if let Some(probe) = &self.probe {
                probe.wait_until_ok().await?;
                hand.effect = Some(Effect::Verified);
            }
            Ok(())
        };
        if let Err(error) = verified.await {
            // A program that was restarted meanwhile has refused nothing.
            let absent = match pid {
                Some(pid) => self.program.replaced_reason(pid).await,
                None => None,
            };
            return Err(absent.map_or_else(|| Halfway::from_reload(error), Interrupt::NotRunning));
        }
        if let Some(told) = hand.notified_at.filter(|_| hand.effect == Some(Effect::Verified)) {
            self.verified_reload = Some(VerifiedReload { pid, duration: now().saturating_duration_since(told) });
        }
        Ok(())
    }

    async fn check(&mut self, seen: &TargetObservation, contents: plan::CheckedFiles) -> Result<(), Interrupt> {
        let checked = match contents {
            plan::CheckedFiles::Desired => &seen.desired,
            plan::CheckedFiles::Present => {
                // The check of what is present is for those who are to be told.
                let absent = self.program.not_running_reason().await.map_err(ApplyError::NotNotified)?;
                if let Some(absent) = absent {
                    return Err(Interrupt::NotRunning(absent));
                }
                &seen.present
            }
        };
        let scratch = self.scratch_dir().await?;
        match (self.program.check(checked, scratch).await.map_err(ApplyError::Check)?, contents) {
            (CheckVerdict::Accepted { warnings, .. }, _) => {
                for warning in warnings.iter().filter(|warning| !self.logged.warnings.contains(warning)) {
                    tracing::warn!(target_name = self.name, "target {}: {warning}", self.name);
                }
                self.logged.warnings = warnings;
                self.retry.record_check_passed(now());
                Ok(())
            }
            (CheckVerdict::Rejected { output, .. }, plan::CheckedFiles::Present) => {
                Err(Interrupt::PresentRejected(output))
            }
            (
                CheckVerdict::Rejected { output, inputs_digest: inputs, is_permanent: certain },
                plan::CheckedFiles::Desired,
            ) => {
                let rejection = Rejection::CheckFailed { output, is_permanent: certain };
                self.record_rejection(inputs, rejection.clone()).await;
                Err(Interrupt::Rejected(rejection))
            }
        }
    }

    /// Brings the former files back, and remembers what has failed.
    async fn roll_back(
        &mut self,
        desired: &DesiredSnapshot,
        before: &TargetObservation,
        halfway: Halfway,
    ) -> Result<Rejection, ApplyError> {
        let reload = before.plan_input.journal.pending_reload.is_some() || matches!(halfway, Halfway::Reload(_));
        let reason = match &halfway {
            Halfway::Swap(error) => error_chain(error),
            Halfway::Reload(error) => error_chain(error),
        };
        let not_back = |source| ApplyError::RollbackFailed { reason: reason.clone(), source: Box::new(source) };
        let seen = self.observe(desired).await.map_err(not_back)?;
        let steps = recover(&seen.plan_input, reload);
        match halfway {
            Halfway::Reload(error) if steps.is_empty() => return Err(ApplyError::ReloadFailed(error)),
            // What comes of it is told when it is over.
            _ => tracing::debug!("target {}: {reason}; the former files are put back", self.name),
        }
        match self.execute(&seen, &steps, &mut PassState::default()).await {
            Ok(()) | Err(Interrupt::NotRunning(_)) => {}
            Err(Interrupt::Failed(error)) => return Err(not_back(error)),
            Err(Interrupt::PartiallyApplied(Halfway::Reload(error))) => {
                return Err(not_back(ApplyError::ReloadFailed(error)));
            }
            Err(
                Interrupt::PartiallyApplied(Halfway::Swap(_)) | Interrupt::Rejected(_) | Interrupt::PresentRejected(_),
            ) => {
                unreachable!("the way back has neither a swap nor a check")
            }
        }
        if let Halfway::Swap(error) = halfway {
            return Err(ApplyError::File(error));
        }
        let rejection = Rejection::RolledBack { reason };
        if seen.plan_input.complete {
            let inputs = self.program.inputs_digest(&seen.desired).await.map_err(ApplyError::Check)?;
            self.record_rejection(inputs, rejection.clone()).await;
        }
        Ok(rejection)
    }

    /// A place for the copies that a check looks at.
    pub(super) async fn scratch_dir(&self) -> Result<TempDir, ApplyError> {
        let journal = self.journal.clone();
        Ok(blocking(move || journal.scratch_dir()).await?)
    }

    /// Logs files that are no longer destinations: they are not touched again.
    fn log_unmanaged(&self, before: &CommittedFiles, after: &CommittedFiles) {
        for (path, _) in
            before.iter().filter(|(path, origin)| **origin == FileOrigin::Fixed && !after.contains_key(*path))
        {
            let (name, file) = (&self.name, path.display().to_string());
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is no longer a destination; the file stays, and Portreeve no longer manages it"
            );
        }
    }

    fn log_swap(&mut self, path: &Path, swapped: SwapResult) {
        let (name, file) = (&self.name, path.display().to_string());
        if swapped.in_place && self.logged.in_place.insert(path.to_owned()) {
            tracing::warn!(
                target_name = name,
                file,
                "target {name}: {file} is a mount point, so it is overwritten in place: a reader may see half of it. Mount \
                 its directory instead"
            );
        }
        if let Some(unkept) = swapped.lost_access.filter(|_| self.logged.access_lost.insert(path.to_owned())) {
            tracing::warn!(target_name = name, file, "target {name}: {file}: {unkept}");
        }
    }

    async fn remove_leftovers(&mut self) -> Result<(), ApplyError> {
        if !self.are_leftovers_removed {
            let (fixed, journal) = (self.fixed_destinations.clone(), self.journal.clone());
            let sweep = move || {
                let notes = journal.record()?;
                let fixed = fixed.iter().map(|destination| &destination.path);
                let paths: BTreeSet<_> = fixed.chain(notes.tracked_paths()).chain(&notes.announced).collect();
                paths.into_iter().for_each(|path| files::remove_leftovers(path));
                Ok::<_, StateError>(())
            };
            blocking(sweep).await?;
            self.are_leftovers_removed = true;
        }
        Ok(())
    }
}

/// The access that a file had which was there before us, and is to be so again.
fn former_access(seen: &TargetObservation, path: &Path) -> Option<Access> {
    let change = seen.plan_input.journal.pending_reload.as_ref().and_then(|owed| owed.changes.get(path));
    match seen.plan_input.files[path].desired {
        plan::DesiredFileState::Content(plan::DesiredContent { origin: None, .. }) => Some(change?.former?.access),
        _ => None,
    }
}
