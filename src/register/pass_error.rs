//! Why a pass of the reconciler could not be completed.

use crate::{core::condition, docker, registry::LedgerError};

/// Why a pass could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Docker did not answer who it is.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// The registry does not answer, or refuses.
    #[error("{}", .0.cause())]
    Registry(LedgerError),
    /// The registry can be read, but no write succeeds.
    #[error("no write succeeds: {0}")]
    WriteOutage(String),
    /// At a clean stop some writes did not succeed.
    #[error("{}", .0.join("; "))]
    UnfinishedWrites(Vec<String>),
}

impl From<LedgerError> for PassError {
    fn from(error: LedgerError) -> Self {
        Self::Registry(error)
    }
}

impl PassError {
    /// Whether waiting may help. It does not for a missing permission.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Docker(error) => condition::io_kind(error) != Some(std::io::ErrorKind::PermissionDenied),
            Self::Registry(error) => !matches!(error, LedgerError::Denied { .. }),
            Self::WriteOutage(_) | Self::UnfinishedWrites(_) => true,
        }
    }
}
