//! What others may know of a target.

use super::{
    ApplyError, ApplyOutcome, Rejection, RollbackPin, VerifiedReload,
    desired_file::{DesiredSnapshot, Digest},
    generations,
};
use crate::core::{condition::error_chain, store::Store};

/// What all targets have come to, by name.
pub type TargetStatuses = Store<String, TargetStatus>;

/// What a target had come to after its last pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// Names the files that it has, if they are as wanted. Nothing: not all templates have rendered, or there is trouble.
    pub in_sync_files: Option<Digest>,
    /// Names the version of the templates that made these files. `None`: there are no files, or no template made them.
    pub template_version: Option<Digest>,
    /// How many passes have replaced files, since the target was made.
    pub write_count: u64,
    /// What it is held on to.
    pub pin: Option<RollbackPin>,
    /// What keeps it from being in line.
    pub error: Option<String>,
    /// Why the newest files were not taken, if that is what keeps it.
    pub rejection: Option<Rejection>,
    /// The process that has taken the files, if that was proven.
    pub verified_pid: Option<i32>,
    /// Whether no candidate is on its way that leaves out what is the cause of the trouble.
    pub is_final: bool,
}

pub(super) fn publish(
    reports: &TargetStatuses,
    target: &str,
    wanted: &DesiredSnapshot,
    held: Option<RollbackPin>,
    proof: Option<&VerifiedReload>,
    applied: &Result<ApplyOutcome, ApplyError>,
) {
    let mut report = reports.snapshot().entries.get(target).cloned().unwrap_or_default();
    report.in_sync_files = match applied {
        Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) if wanted.complete => {
            Some(Digest::of_files(&wanted.entries))
        }
        _ => None,
    };
    report.template_version = report.in_sync_files.and_then(|_| generations::template_version(wanted));
    report.write_count +=
        u64::from(matches!(applied, Ok(ApplyOutcome::Applied { written, .. }) if !written.is_empty()));
    report.pin = held;
    report.rejection = match applied {
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        _ => None,
    };
    // What is no candidate's fault is not searched.
    report.is_final = report.rejection.is_none() || !wanted.complete;
    report.verified_pid = proof.and_then(|proof| proof.pid);
    report.error = match applied {
        Ok(_) => None,
        // The previous error says more.
        Err(ApplyError::Stopped) => report.error,
        Err(error) => Some(error_chain(error)),
    };
    reports.put(target.to_owned(), report);
}
