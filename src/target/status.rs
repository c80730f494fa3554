//! The published status of each target.

use super::{
    ApplyError, ApplyOutcome, Rejection, RollbackPin, VerifiedReload,
    desired_file::{DesiredSnapshot, Digest},
};
use crate::core::{condition::error_chain, store::Store};

/// The status of each target, by name.
pub type TargetStatuses = Store<String, TargetStatus>;

/// The state of a target after its last pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// The digest of its files; `None` if not all templates have rendered, or if the pass failed.
    pub in_sync_files: Option<Digest>,
    /// The version of the templates that these files were rendered from, if any.
    pub template_version: Option<Digest>,
    /// How many passes have written files since the worker was created.
    pub write_count: u64,
    /// The rollback pin that the files are subject to.
    pub pin: Option<RollbackPin>,
    /// Why it is not in sync.
    pub error: Option<String>,
    /// The rejection of the newest files, if that is the error.
    pub rejection: Option<Rejection>,
    /// The process that uses the files, if that was verified.
    pub verified_pid: Option<i32>,
    /// Whether no candidate will follow that leaves out the cause of the rejection.
    pub is_final: bool,
}

pub(super) fn publish(
    statuses: &TargetStatuses,
    target: &str,
    desired: &DesiredSnapshot,
    pin: Option<RollbackPin>,
    verified: Option<&VerifiedReload>,
    applied: &Result<ApplyOutcome, ApplyError>,
) {
    let mut status = statuses.snapshot().entries.get(target).cloned().unwrap_or_default();
    status.in_sync_files = match applied {
        Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }) if desired.complete => Some(desired.digest()),
        _ => None,
    };
    status.template_version = status.in_sync_files.and_then(|_| desired.template_version());
    status.write_count +=
        u64::from(matches!(applied, Ok(ApplyOutcome::Applied { written, .. }) if !written.is_empty()));
    status.pin = pin;
    status.rejection = match applied {
        Err(ApplyError::Rejected(rejection)) => Some(rejection.clone()),
        _ => None,
    };
    // Only after the rejection of a complete candidate does the renderer search for one without the cause.
    status.is_final = status.rejection.is_none() || !desired.complete;
    status.verified_pid = verified.and_then(|reload| reload.pid);
    status.error = match applied {
        Ok(_) => None,
        // The previous error is more informative.
        Err(ApplyError::Stopped) => status.error,
        Err(error) => Some(error_chain(error)),
    };
    statuses.put(target.to_owned(), status);
}
