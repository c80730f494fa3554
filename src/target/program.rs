//! The boundary between a target and the kinds of program that use its files.
//!
//! ```text
//! candidate --check--> CheckVerdict
//!              reload --> NotRunning | Done | InProgress --verification--> the program uses the new files, or ReloadError
//! ```
//!
//! A further kind is a module that implements [`Program`], and an arm in [`new`].

use std::{error::Error, fmt, io, path::Path, sync::Arc};

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::{
    Candidate,
    command::CommandProgram,
    desired_file::Digest,
    nginx::NginxProgram,
    running_process::{NotRunningReason, ProcessError},
    settings::TargetKind,
    subprocess::SubprocessError,
};
use crate::docker;

/// An error of one kind of program.
type BoxError = Box<dyn Error + Send + Sync>;

/// A program that uses a target's files.
pub(super) trait Program: fmt::Debug + Send + Sync {
    /// Identifies everything that a check of `candidate` would read, as far as that is known.
    fn inputs_digest<'a>(&'a mut self, candidate: &'a Arc<Candidate>) -> BoxFuture<'a, Result<Digest, CheckError>>;

    /// Checks copies of the candidate's files, made in `scratch`. Also returns the digest of what the check has read,
    /// see [`Self::inputs_digest`].
    fn check<'a>(
        &'a mut self,
        candidate: &'a Arc<Candidate>,
        scratch: TempDir,
    ) -> BoxFuture<'a, Result<(CheckVerdict, Digest), CheckError>>;

    /// Notifies the program that its files have changed.
    fn reload(&mut self) -> BoxFuture<'_, Result<ReloadOutcome, ReloadError>>;

    /// `None` if the program is running, or if it need not run to be notified; otherwise why not.
    fn not_running_reason(&mut self) -> BoxFuture<'_, Result<Option<NotRunningReason>, ReloadError>>;

    /// Why `pid`, the process that a reload has notified, is no longer the program. Then the files are not
    /// the cause of a failed reload. `None` if it still is, or if that is unknown.
    fn replaced_reason(&mut self, _pid: i32) -> BoxFuture<'_, Option<NotRunningReason>> {
        Box::pin(async { None })
    }

    /// Identifies the program, so that its targets can share a reload budget; `None` without a reload.
    fn budget_key(&mut self) -> BoxFuture<'_, Result<Option<String>, CheckError>>;

    /// The program's pid file, if it has one and its path is known.
    fn pid_file(&self) -> Option<&Path>;

    /// What is reloaded, for the log; `None` without a reload.
    fn display_name(&self) -> Option<String>;
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// The files can be used.
    Accepted {
        /// The check's warnings.
        warnings: Vec<String>,
    },
    /// The files cannot be used.
    Rejected {
        /// The check's output.
        output: String,
        /// Whether the verdict is known to depend on the contents of the files alone.
        is_permanent: bool,
    },
}

/// How far a reload got.
#[derive(Debug)]
pub(super) enum ReloadOutcome {
    /// The settings name no reload.
    NotConfigured,
    /// The program is not running, so it was not notified.
    NotRunning(NotRunningReason),
    /// The program uses the new files.
    Done,
    /// The program was notified. Whether it uses the new files is not known yet.
    InProgress(ReloadInProgress),
}

/// A reload that still has to be verified.
pub(super) struct ReloadInProgress {
    /// The process that was notified.
    pub(super) pid: i32,
    /// Ends when the program uses the new files, or when it is certain that it does not.
    pub(super) verification: BoxFuture<'static, Result<(), ReloadError>>,
}

impl fmt::Debug for ReloadInProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadInProgress").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Why a check has no verdict.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The program that checks did not exit by itself.
    #[error("the check did not end")]
    Run(#[from] SubprocessError),
    /// The copies of the files cannot be written.
    #[error("the copy for the check cannot be made")]
    Stage(#[source] io::Error),
    /// The program or its configuration cannot be read.
    #[error(transparent)]
    Program(BoxError),
}

/// Why new files are not in effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The program was not notified, so the files are not the cause.
    #[error(transparent)]
    NotNotified(BoxError),
    /// The program was notified, or may have been, and does not use the new files.
    #[error(transparent)]
    NotInEffect(BoxError),
}

impl ReloadError {
    pub(super) fn not_notified(error: impl Into<BoxError>) -> Self {
        Self::NotNotified(error.into())
    }

    pub(super) fn not_in_effect(error: impl Into<BoxError>) -> Self {
        Self::NotInEffect(error.into())
    }

    pub(super) fn was_notified(&self) -> bool {
        matches!(self, Self::NotInEffect(_))
    }
}

impl From<ProcessError> for ReloadError {
    fn from(error: ProcessError) -> Self {
        Self::not_notified(error)
    }
}

/// Creates the program of a target. `is_single_file`: whether the settings name exactly one file. `docker`: the engine
/// that sends signals to containers.
pub(super) fn new(
    kind: TargetKind,
    is_single_file: bool,
    docker: &docker::Settings,
) -> Result<Box<dyn Program>, docker::EndpointError> {
    Ok(match kind {
        TargetKind::Nginx(settings) => Box::new(NginxProgram::new(settings)),
        TargetKind::Command(settings) => Box::new(CommandProgram::new(settings, is_single_file, docker)?),
    })
}
