//! Why a pass of the reconciler could not be completed.

use crate::{core::condition, docker, registry::LedgerError};

/// Why a pass could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Docker did not report its id and host name.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// The registry does not answer, or refuses.
    #[error("{}", .0.cause())]
    Registry(LedgerError),
    /// The registry can be read, but every write fails.
    #[error("no write succeeds: {0}")]
    WriteOutage(String),
    /// Some writes failed at a clean stop.
    #[error("{}", .0.join("; "))]
    UnfinishedWrites(Vec<String>),
}

impl From<LedgerError> for PassError {
    fn from(error: LedgerError) -> Self {
        Self::Registry(error)
    }
}

impl PassError {
    /// Whether a retry may succeed. It cannot if a permission is missing.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Docker(error) => condition::io_kind(error) != Some(std::io::ErrorKind::PermissionDenied),
            Self::Registry(error) => !matches!(error, LedgerError::Denied { .. }),
            Self::WriteOutage(_) | Self::UnfinishedWrites(_) => true,
        }
    }
}
