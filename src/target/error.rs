//! Errors of a target: of its setup, and of a pass.

use std::{io, path::PathBuf};

use super::{
    backoff::FailureCost,
    files::FileError,
    program::{CheckError, ReloadError},
    settings::TargetSettingsError,
};
use crate::{docker, sys::state_dir::StateError};

/// Why a target cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TargetSetupError {
    /// The settings are invalid.
    #[error(transparent)]
    Settings(#[from] TargetSettingsError),
    /// The settings of `[docker]` are invalid.
    #[error(transparent)]
    Docker(#[from] docker::EndpointError),
    /// The history cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The HTTP client of the probe cannot be created, most often because the system has no certificate authorities.
    #[error("`probe`: the HTTP client cannot be created")]
    Probe(#[from] reqwest::Error),
    /// A destination is not a valid path.
    #[error("{}: cannot be a destination", path.display())]
    Destination {
        /// The value in the settings.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The user or group does not exist.
    #[error("`{key}`: no {key} is called {name:?}")]
    UnknownOwner {
        /// `user` or `group`.
        key: &'static str,
        /// The value in the settings.
        name: String,
    },
    /// The system's users or groups cannot be read.
    #[error("`{key}`: {name:?} cannot be looked up")]
    OwnerLookup {
        /// `user` or `group`.
        key: &'static str,
        /// The value in the settings.
        name: String,
        /// The cause.
        source: io::Error,
    },
}

impl ApplyError {
    /// The cost of the failed attempt, if the target itself retries it with back-off.
    pub(super) fn retry_cost(&self) -> Option<FailureCost> {
        match self {
            Self::Check(_) | Self::NotNotified(_) => Some(FailureCost::Check),
            Self::ReloadFailed(_) => Some(FailureCost::Reload),
            Self::RollbackFailed { source, .. } => source.retry_cost(),
            _ => None,
        }
    }
}

/// Why a target is not in sync after a pass.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The former files are in effect. The new ones are tried again after a change, or after some time.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The check has no verdict on the candidate.
    #[error("the candidate cannot be checked, and nothing was touched")]
    Check(#[source] CheckError),
    /// A destination cannot be read or written. No file was changed.
    #[error("the files are as they were")]
    File(#[source] FileError),
    /// A former file cannot be restored.
    #[error("a former file cannot be restored")]
    Restore(#[source] FileError),
    /// The new files may not survive a power cut. The reload stays pending.
    #[error("the new files are written, but could not be synced to the disk")]
    Sync(#[source] FileError),
    /// The journal or the history cannot be read or written. Without them no file is replaced.
    #[error("the files are as they were, since the state directory cannot be read or written")]
    State(#[from] StateError),
    /// Portreeve was asked to stop, and the current step took too long.
    #[error("stopped before the end; the next start completes what has begun")]
    Stopped,
    /// A reload is pending, but would fail with the files as they are.
    #[error("the pending reload has to wait, since the check refuses the files as they are:\n{output}")]
    PresentRejected {
        /// The check's output.
        output: String,
    },
    /// The program could not be notified. The files are not the cause.
    #[error("the files are written, but the program could not be notified, so the reload is pending")]
    NotNotified(#[source] ReloadError),
    /// The pending reload has failed, and is not tried again yet.
    #[error("{reason}")]
    ReloadDeferred {
        /// The last failure.
        reason: String,
    },
    /// The pending reload has failed, and there are no former files to restore.
    #[error("the pending reload has failed")]
    ReloadFailed(#[source] ReloadError),
    /// The reload of the former files has failed too, so the new files are not the cause.
    #[error("the new files were rolled back ({reason}), and the reload of the former files has failed")]
    RollbackFailed {
        /// The first failure.
        reason: String,
        /// The failure of the rollback.
        source: Box<ApplyError>,
    },
}

impl Rejection {
    /// For the log. `next_attempt`: when the files are tried again.
    pub(super) fn log_message(&self, next_attempt: &str) -> String {
        match self {
            Self::CheckFailed { output, .. } => {
                format!("the candidate was refused, and nothing was touched; {next_attempt}:\n{output}")
            }
            Self::RolledBack { reason } => {
                format!("the new files were rolled back, since they did not take effect; {next_attempt}: {reason}")
            }
        }
    }
}

/// Why a candidate is not in effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The check has rejected it; no file was changed.
    #[error("the candidate was refused, and nothing was touched:\n{output}")]
    CheckFailed {
        /// The check's output.
        output: String,
        /// Whether the rejection is known to depend on the contents of the files alone.
        is_permanent: bool,
    },
    /// The reload has failed. The former files were restored, and are in effect.
    #[error("the new files were rolled back, since they did not take effect: {reason}")]
    RolledBack {
        /// The failure of the reload.
        reason: String,
    },
}
