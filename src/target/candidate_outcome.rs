//! The result for a candidate. If it was rejected, the renderer may leave out entries and render another candidate.

use std::sync::Arc;

use super::{
    ApplyError, ApplyOutcome, CheckVerdict, DesiredFiles, Rejection, Target, TargetStatus,
    desired_file::{DesiredSnapshot, Digest},
};

/// The result for a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateOutcome {
    /// The digest of its files.
    pub digest: Digest,
    /// Its files.
    pub files: Arc<DesiredFiles>,
    /// Why it was rejected; `None` if its files are written.
    pub rejection: Option<Rejection>,
}

/// `None` if there was no candidate, or if the candidate is not the cause of the failure.
pub(super) fn from_apply(
    desired: &DesiredSnapshot,
    applied: &Result<ApplyOutcome, ApplyError>,
) -> Option<CandidateOutcome> {
    let rejection = match applied {
        Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) => None,
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        Ok(ApplyOutcome::Incomplete) | Err(_) => return None,
    };
    let files = Arc::clone(&desired.files);
    desired.complete.then(|| CandidateOutcome { digest: desired.digest(), files, rejection })
}

impl Target {
    /// The result for the candidate of the last pass, unless it was taken already.
    pub fn take_candidate_outcome(&mut self) -> Option<CandidateOutcome> {
        self.outcome.take()
    }

    /// Marks the rejection of the last pass as final: no candidate without its cause will follow.
    pub fn mark_final(&self) {
        if let Some(status) = self.statuses.snapshot().entries.get(&self.name).cloned() {
            self.statuses.put(self.name.clone(), TargetStatus { is_final: true, ..status });
        }
    }

    /// Checks `files` without changing any file on the disk. `None` if the check accepts them, otherwise its output.
    ///
    /// # Errors
    /// They cannot be checked.
    pub async fn check_candidate(&mut self, files: DesiredFiles) -> Result<Option<String>, ApplyError> {
        // Without the lock, the check could read unverified files of another target.
        let Some(_guard) = self.lock_program().await else { return Err(ApplyError::Stopped) };
        let observation = self.observe(&DesiredSnapshot::complete(files)).await?;
        let scratch = self.scratch_dir().await?;
        Ok(match self.program.check(&observation.desired, scratch).await.map_err(ApplyError::Check)?.0 {
            CheckVerdict::Accepted { .. } => None,
            CheckVerdict::Rejected { output, .. } => Some(output),
        })
    }
}
