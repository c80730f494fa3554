//! What can go wrong with a target.

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
    /// The settings make no sense.
    #[error(transparent)]
    Settings(#[from] TargetSettingsError),
    /// The settings of `[docker]` make no sense.
    #[error(transparent)]
    Docker(#[from] docker::EndpointError),
    /// What was in effect before cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// No client for the probe can be made; most often the system has no certificate authorities.
    #[error("`probe`: cannot be asked")]
    Probe(#[from] reqwest::Error),
    /// A destination that is no path.
    #[error("{}: cannot be a destination", path.display())]
    Destination {
        /// What the settings have.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no such user or group.
    #[error("`{key}`: no {key} is called {name:?}")]
    UnknownOwner {
        /// `user` or `group`.
        key: &'static str,
        /// What the settings have.
        name: String,
    },
    /// The system's users or groups cannot be read.
    #[error("`{key}`: {name:?} cannot be looked up")]
    OwnerLookup {
        /// `user` or `group`.
        key: &'static str,
        /// What the settings have.
        name: String,
        /// Why not.
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

/// Why a pass has not brought the target in line.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The former files are in effect. The new ones are held: until something changes, or for some time.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nothing can be said about the candidate.
    #[error("the candidate cannot be checked, and nothing was touched")]
    Check(#[source] CheckError),
    /// A destination cannot be read or written. What was there is there.
    #[error("the files are as they were")]
    File(#[source] FileError),
    /// A former content cannot be put back.
    #[error("a former file cannot be restored")]
    Restore(#[source] FileError),
    /// The files are in their places, but that may not survive a power cut. A reload stays owed.
    #[error("the new files are in their places, but could not be synced to the disk")]
    Sync(#[source] FileError),
    /// What must survive a crash cannot be read or written down. Without that no file is replaced.
    #[error("the files are as they were, since the state directory cannot be read or written")]
    State(#[from] StateError),
    /// Portreeve is asked to end, and what was under way takes too long.
    #[error("stopped before the end; the next start completes what has begun")]
    Stopped,
    /// A reload is owed, but would fail as things are.
    #[error("the reload that is owed has to wait, since the check refuses the files as they are:\n{output}")]
    PresentRejected {
        /// What the check said.
        output: String,
    },
    /// The program could not be notified. This is not the fault of the files.
    #[error("the files are in their places, but their program could not be notified, so the reload is owed")]
    NotNotified(#[source] ReloadError),
    /// A reload is owed, has failed, and is not tried again yet.
    #[error("{reason}")]
    ReloadDeferred {
        /// What happened the last time.
        reason: String,
    },
    /// A reload is owed and has failed. There is nothing to go back to.
    #[error("the reload that is owed has failed")]
    ReloadFailed(#[source] ReloadError),
    /// The way back has failed as well, so it is not the fault of the new files.
    #[error("the new files were taken back ({reason}), and the reload of the former files has failed")]
    RollbackFailed {
        /// What happened first.
        reason: String,
        /// What happened then.
        source: Box<ApplyError>,
    },
}

impl Rejection {
    /// For the log: what has happened, `until` when it is held, and why.
    pub(super) fn log_message(&self, until: &str) -> String {
        match self {
            Self::CheckFailed { output, .. } => {
                format!("the candidate was refused, and nothing was touched; {until}:\n{output}")
            }
            Self::RolledBack { reason } => {
                format!("the new files were taken back, since they did not take effect; {until}: {reason}")
            }
        }
    }
}

/// Why a candidate was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The check said no; no file was touched.
    #[error("the candidate was refused, and nothing was touched:\n{output}")]
    CheckFailed {
        /// What the check said.
        output: String,
        /// Whether that is known to depend on the contents of the files alone.
        is_permanent: bool,
    },
    /// The new files could not be made effective. The former ones are back, and in effect.
    #[error("the new files were taken back, since they did not take effect: {reason}")]
    RolledBack {
        /// What happened.
        reason: String,
    },
}
