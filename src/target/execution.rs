//! Carries out the steps of a plan.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time;

use super::{
    ApplyError, Effect, Rejection, Target, VerifiedReload,
    file_operation::{self, FileOperation},
    files::{self, Access, FileError, StagedFile},
    now,
    observation::TargetObservation,
    plan::{CheckedFiles, DesiredContent, DesiredFileState, TargetStep},
    program::{CheckVerdict, ReloadError, ReloadInProgress, ReloadOutcome},
    running_process::NotRunningReason,
};
use crate::sys::blocking::blocking;

/// How long a step may go on after Portreeve was asked to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What the steps of one plan pass on to each other, and what they have done.
#[derive(Default)]
pub(super) struct PassState {
    staged: BTreeMap<PathBuf, StagedFile>,
    reload_in_progress: Option<ReloadInProgress>,
    reload_started_at: Option<Instant>,
    pub(super) written: Vec<PathBuf>,
    pub(super) removed: Vec<PathBuf>,
    pub(super) effect: Option<Effect>,
}

/// Why the last step was not reached.
pub(super) enum Interrupt {
    /// The program is not running, so the reload stays pending.
    NotRunning(NotRunningReason),
    /// The check has rejected the desired files.
    Rejected(Rejection),
    /// The check has rejected the files on the disk.
    PresentRejected(String),
    /// A step from [`TargetStep::Swap`] on has failed, so files may have changed.
    PartiallyApplied(PartialFailure),
    /// An earlier step has failed.
    Failed(ApplyError),
}

pub(super) enum PartialFailure {
    Swap(FileError),
    Reload(ReloadError),
}

impl<E: Into<ApplyError>> From<E> for Interrupt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Interrupt {
    /// An error that occurred before the program was notified is not a reason to roll back.
    fn from_reload(error: ReloadError) -> Self {
        if error.was_notified() {
            Self::PartiallyApplied(PartialFailure::Reload(error))
        } else {
            ApplyError::NotNotified(error).into()
        }
    }
}

impl Target {
    pub(super) async fn execute(
        &mut self,
        observation: &TargetObservation,
        steps: &[TargetStep],
        state: &mut PassState,
    ) -> Result<(), Interrupt> {
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let replacing = rest.iter().take_while(|step| step.replaces_file()).count();
            if replacing > 0 {
                self.replace_files(observation, &rest[..replacing], state).await?;
                rest = &rest[replacing..];
                continue;
            }
            if matches!(step, TargetStep::Stage(_)) && self.stop.is_cancelled() {
                return Err(ApplyError::Stopped.into());
            }
            let stop = self.stop.clone();
            let grace_over = async {
                stop.cancelled().await;
                time::sleep(GRACE).await;
            };
            tokio::select! {
                result = self.execute_step(observation, step, state) => result?,
                // Dropping the step kills the process group of a running program.
                () = grace_over, if step.may_take_long() => return Err(ApplyError::Stopped.into()),
            }
            rest = &rest[1..];
        }
        Ok(())
    }

    async fn replace_files(
        &mut self,
        observation: &TargetObservation,
        steps: &[TargetStep],
        state: &mut PassState,
    ) -> Result<(), Interrupt> {
        let operation = |step: &TargetStep| match step {
            TargetStep::Swap(path) => {
                let staged = state.staged.remove(path).expect("each file is staged before the first swap");
                (path.clone(), FileOperation::Swap(staged))
            }
            TargetStep::Remove(path) => (path.clone(), FileOperation::Remove(observation.attrs(path).symlinks)),
            TargetStep::Restore(path, former) => {
                (path.clone(), FileOperation::Restore(*former, observation.attrs(path)))
            }
            _ => unreachable!("no other step replaces a file"),
        };
        let operations = steps.iter().map(operation).collect();
        let (done, result) = file_operation::apply_operations(operations, self.journal.clone()).await;
        for (step, swapped) in steps.iter().zip(done) {
            match step {
                TargetStep::Swap(path) => state.written.push(path.clone()),
                TargetStep::Remove(path) => state.removed.push(path.clone()),
                _ => {}
            }
            if let (TargetStep::Swap(path) | TargetStep::Restore(path, _), Some(swapped)) = (step, swapped) {
                self.log.swapped(path, swapped);
            }
        }
        result.map_err(|error| match steps.first() {
            Some(TargetStep::Restore(..)) => ApplyError::Restore(error).into(),
            _ => Interrupt::PartiallyApplied(PartialFailure::Swap(error)),
        })
    }

    async fn execute_step(
        &mut self,
        observation: &TargetObservation,
        step: &TargetStep,
        state: &mut PassState,
    ) -> Result<(), Interrupt> {
        tracing::trace!("target {}: {step:?}", self.name);
        let journal = self.journal.clone();
        match step.clone() {
            TargetStep::Check(files) => self.check(observation, files).await?,
            TargetStep::SetAttrs(path) => {
                let (attrs, destination) = (observation.attrs(&path), path.clone());
                blocking(move || files::set_attrs(&destination, attrs)).await.map_err(ApplyError::File)?;
                self.log.attrs_set(&path);
            }
            TargetStep::Announce(paths) => blocking(move || journal.announce(paths)).await?,
            TargetStep::Stage(path) => {
                let (attrs, former) = (observation.attrs(&path), former_access(observation, &path));
                let (destination, content) = (path.clone(), Arc::clone(&observation.desired.files[&path]));
                let staged = blocking(move || files::stage(&destination, content.bytes(), attrs, former)).await;
                state.staged.insert(path, staged.map_err(ApplyError::File)?);
            }
            TargetStep::SaveFormer(path) => {
                let content = Arc::clone(&observation.present.files[&path]);
                blocking(move || journal.save_content(content.digest(), content.bytes())).await?;
            }
            TargetStep::RecordPending(pending) => blocking(move || journal.record_pending_reload(pending)).await?,
            TargetStep::Swap(_) | TargetStep::Remove(_) | TargetStep::Restore(..) => {
                unreachable!("files are replaced together")
            }
            TargetStep::Reload => self.reload(state).await?,
            TargetStep::Sync(path) => blocking(move || files::sync_directory(&path)).await.map_err(ApplyError::Sync)?,
            TargetStep::Verify => self.verify(state).await?,
            TargetStep::Commit(files) => {
                self.log.unmanaged(&observation.plan_input.journal.committed, &files);
                blocking(move || journal.commit(files)).await?;
            }
        }
        Ok(())
    }

    async fn reload(&mut self, state: &mut PassState) -> Result<(), Interrupt> {
        (self.verified_reload, state.reload_started_at) = (None, Some(now()));
        let result = self.program.reload().await;
        self.was_notified |= match &result {
            Ok(outcome) => matches!(outcome, ReloadOutcome::Done | ReloadOutcome::InProgress(_)),
            Err(error) => error.was_notified(),
        };
        match result.map_err(Interrupt::from_reload)? {
            ReloadOutcome::NotConfigured => state.effect = Some(Effect::NoReload),
            ReloadOutcome::NotRunning(reason) => return Err(Interrupt::NotRunning(reason)),
            ReloadOutcome::Done => state.effect = Some(Effect::Verified),
            ReloadOutcome::InProgress(reload) => state.reload_in_progress = Some(reload),
        }
        Ok(())
    }

    async fn verify(&mut self, state: &mut PassState) -> Result<(), Interrupt> {
        let reload = state.reload_in_progress.take();
        let pid = reload.as_ref().map(|reload| reload.pid);
        let verified = async {
            if let Some(reload) = reload {
                reload.verification.await?;
                state.effect = Some(Effect::Verified);
            }
            if let Some(probe) = &self.probe {
                probe.wait_until_ok().await.map_err(ReloadError::not_in_effect)?;
                state.effect = Some(Effect::Verified);
            }
            Ok(())
        };
        if let Err(error) = verified.await {
            // A program that was restarted in the meantime has not rejected the files.
            let replaced = match pid {
                Some(pid) => self.program.replaced_reason(pid).await,
                None => None,
            };
            return Err(replaced.map_or_else(|| Interrupt::from_reload(error), Interrupt::NotRunning));
        }
        if let Some(start) = state.reload_started_at.filter(|_| state.effect == Some(Effect::Verified)) {
            self.verified_reload = Some(VerifiedReload { pid, duration: now().saturating_duration_since(start) });
        }
        Ok(())
    }

    async fn check(&mut self, observation: &TargetObservation, files: CheckedFiles) -> Result<(), Interrupt> {
        let candidate = match files {
            CheckedFiles::Desired => &observation.desired,
            CheckedFiles::Present => {
                // The files on the disk are only checked before a reload.
                let reason = self.program.not_running_reason().await.map_err(ApplyError::NotNotified)?;
                if let Some(reason) = reason {
                    return Err(Interrupt::NotRunning(reason));
                }
                &observation.present
            }
        };
        let scratch = self.scratch_dir().await?;
        let (verdict, inputs_digest) = self.program.check(candidate, scratch).await.map_err(ApplyError::Check)?;
        match (verdict, files) {
            (CheckVerdict::Accepted { warnings }, _) => {
                self.log.check_warnings(warnings);
                self.failures.record_check_passed();
                Ok(())
            }
            (CheckVerdict::Rejected { output, .. }, CheckedFiles::Present) => Err(Interrupt::PresentRejected(output)),
            (CheckVerdict::Rejected { output, is_permanent }, CheckedFiles::Desired) => {
                let rejection = Rejection::CheckFailed { output, is_permanent };
                self.failures.reject(inputs_digest, rejection.clone(), self.dependency_source()).await;
                Err(Interrupt::Rejected(rejection))
            }
        }
    }

    /// A directory for the copies that a check reads.
    pub(super) async fn scratch_dir(&self) -> Result<TempDir, ApplyError> {
        let journal = self.journal.clone();
        Ok(blocking(move || journal.scratch_dir()).await?)
    }
}

/// The access of a file that existed before Portreeve managed it, and that gets its former content back.
fn former_access(observation: &TargetObservation, path: &Path) -> Option<Access> {
    match observation.plan_input.files[path].desired {
        DesiredFileState::Content(DesiredContent { origin: None, .. }) => {
            let pending = observation.plan_input.journal.pending_reload.as_ref()?;
            Some(pending.changes.get(path)?.former?.access)
        }
        _ => None,
    }
}
