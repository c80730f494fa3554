//! Why a command failed.

/// Why a command failed.
pub(crate) enum CommandFailure {
    /// The command line or the configuration is invalid.
    Usage(anyhow::Error),
    /// The command failed while it ran.
    Run(anyhow::Error),
    /// The result is negative, and was printed.
    AlreadyPrinted,
    /// The supervised child has exited with this code.
    ChildExit(u8),
}

pub(crate) fn usage_failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandFailure {
    CommandFailure::Usage(error.into())
}

pub(crate) fn run_failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandFailure {
    CommandFailure::Run(error.into())
}
