//! What has become of a candidate, for whoever can make another one.

use std::sync::Arc;

use super::{
    Applied, ApplyError, Files, Rejection, Report, Target, program,
    rendered::{Digest, Wanted},
};
use crate::core::store::Snapshot;

/// What has become of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The digest of its files.
    pub files: Digest,
    /// Its files.
    pub candidate: Arc<Files>,
    /// Why it was not taken; `None` if it is in place.
    pub refusal: Option<Rejection>,
}

/// `None` if there was no candidate, or if the failure is not the candidate's.
pub(super) fn of(wanted: &Wanted, applied: &Result<Applied, ApplyError>) -> Option<Verdict> {
    let refusal = match applied {
        Ok(Applied::Current | Applied::Done { .. }) => None,
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        Ok(Applied::Waiting) | Err(_) => return None,
    };
    let candidate = Arc::clone(&wanted.entries);
    wanted.complete.then(|| Verdict { files: Digest::of_files(&candidate), candidate, refusal })
}

impl Target {
    /// What has become of the candidate of the last pass, if nobody has asked yet.
    pub fn take_verdict(&mut self) -> Option<Verdict> {
        self.verdict.take()
    }

    /// The refusal of the last pass stands: no candidate comes that leaves out its cause.
    pub fn finish_report(&self) {
        if let Some(report) = self.reports.snapshot().entries.get(&self.name).cloned() {
            self.reports.put(self.name.clone(), Report { is_final: true, ..report });
        }
    }

    /// Has the check look at other files; touches nothing else. `None`: they would be taken, otherwise why not.
    ///
    /// # Errors
    /// They cannot be checked.
    pub async fn try_out(&mut self, files: Files) -> Result<Option<String>, ApplyError> {
        // Otherwise it would see files of another target that are not proven.
        let Some(_turn) = self.turn().await else { return Err(ApplyError::Stopped) };
        let seen = self.observe(&Snapshot { entries: Arc::new(files), complete: true, rounds: 0 }).await?;
        let scratch = self.scratch().await?;
        Ok(match self.program.check(&seen.wanted, scratch).await.map_err(ApplyError::Check)? {
            program::Verdict::Good { .. } => None,
            program::Verdict::Refused { output, .. } => Some(output),
        })
    }
}
