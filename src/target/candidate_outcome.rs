//! What has become of a candidate, for whoever can make another one.

use std::sync::Arc;

use super::{
    ApplyError, ApplyOutcome, DesiredFiles, Rejection, Target, TargetStatus,
    desired_file::{DesiredSnapshot, Digest},
    program,
};
use crate::core::store::Snapshot;

/// What has become of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateOutcome {
    /// The digest of its files.
    pub digest: Digest,
    /// Its files.
    pub files: Arc<DesiredFiles>,
    /// Why it was not taken; `None` if it is in place.
    pub rejection: Option<Rejection>,
}

/// `None` if there was no candidate, or if the failure is not the candidate's.
pub(super) fn from_apply(
    wanted: &DesiredSnapshot,
    applied: &Result<ApplyOutcome, ApplyError>,
) -> Option<CandidateOutcome> {
    let refusal = match applied {
        Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) => None,
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        Ok(ApplyOutcome::Incomplete) | Err(_) => return None,
    };
    let candidate = Arc::clone(&wanted.entries);
    wanted.complete.then(|| CandidateOutcome {
        digest: Digest::of_files(&candidate),
        files: candidate,
        rejection: refusal,
    })
}

impl Target {
    /// What has become of the candidate of the last pass, if nobody has asked yet.
    pub fn take_candidate_outcome(&mut self) -> Option<CandidateOutcome> {
        self.outcome.take()
    }

    /// The refusal of the last pass stands: no candidate comes that leaves out its cause.
    pub fn mark_final(&self) {
        if let Some(report) = self.statuses.snapshot().entries.get(&self.name).cloned() {
            self.statuses.put(self.name.clone(), TargetStatus { is_final: true, ..report });
        }
    }

    /// Has the check look at other files; touches nothing else. `None`: they would be taken, otherwise why not.
    ///
    /// # Errors
    /// They cannot be checked.
    pub async fn check_candidate(&mut self, files: DesiredFiles) -> Result<Option<String>, ApplyError> {
        // Otherwise it would see files of another target that are not proven.
        let Some(_turn) = self.lock_program().await else { return Err(ApplyError::Stopped) };
        let seen = self.observe(&Snapshot { entries: Arc::new(files), complete: true, complete_count: 0 }).await?;
        let scratch = self.scratch_dir().await?;
        Ok(match self.program.check(&seen.desired, scratch).await.map_err(ApplyError::Check)? {
            program::CheckVerdict::Accepted { .. } => None,
            program::CheckVerdict::Rejected { output, .. } => Some(output),
        })
    }
}
