//! The program that uses a target's files: how it checks them, and how it takes them.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Candidate, command,
    desired_file::Digest,
    nginx::{self, ReloadFailure},
    running_process::{NotRunningReason, ProcessError},
    settings,
    subprocess::{SubprocessError, output_suffix},
};
use crate::docker;

/// One of the kinds.
#[derive(Debug)]
pub(super) enum Program {
    Nginx(nginx::NginxProgram),
    Command(command::CommandProgram),
}

/// What a check says about a candidate. `inputs` names all that it hangs on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CheckVerdict {
    Accepted {
        inputs_digest: Digest,
        warnings: Vec<String>,
    },
    /// Certain: it will be refused until its inputs change.
    Rejected {
        inputs_digest: Digest,
        is_permanent: bool,
        output: String,
    },
}

/// What a reload has come to so far.
#[derive(Debug)]
pub(super) enum ReloadOutcome {
    /// There is nothing to be done.
    NotConfigured,
    /// There is nobody to tell.
    NotRunning(NotRunningReason),
    /// Done, and known to have taken.
    Done,
    /// On its way: whether it takes is still to be seen.
    InProgress(nginx::ReloadInProgress),
}

/// Why nothing can be said about a candidate.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The program that checks did not come to its end.
    #[error("the check did not end")]
    Run(#[from] SubprocessError),
    /// The program is not what the settings say.
    #[error("{}: does not answer to -V as nginx does{}", program.display(), output_suffix(output))]
    NotNginx {
        /// `binary` in the settings.
        program: PathBuf,
        /// What it said.
        output: String,
    },
    /// The main configuration file cannot be read.
    #[error("{}: cannot be read; set `conf` if it is elsewhere", path.display())]
    Read {
        /// The main configuration file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The copy for the check cannot be made.
    #[error("the copy for the check cannot be made")]
    Stage(#[source] io::Error),
}

/// Why new files are not in effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It cannot be found out whom to tell.
    #[error("the path of nginx's pid file cannot be determined")]
    FindProcess(#[source] CheckError),
    /// The process cannot be told.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// nginx was told, and went on as before.
    #[error("{failure}{}", if log.is_empty() { "; its error log says why".to_owned() } else { output_suffix(log) })]
    Nginx {
        /// What was seen.
        failure: ReloadFailure,
        /// What nginx wrote to its error log meanwhile.
        log: String,
    },
    /// The engine cannot tell the container.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// The engine does not answer.
    #[error("Docker at {docker} did not answer within {limit:?}")]
    DockerTimeout {
        /// Where the engine is.
        docker: String,
        /// `reload_timeout` in the settings.
        limit: Duration,
    },
    /// The program does not answer as it should.
    #[error("the probe {url} had no good answer within {limit:?}: {last}")]
    Probe {
        /// What was asked.
        url: String,
        /// `probe_timeout` in the settings.
        limit: Duration,
        /// What came of the last question.
        last: String,
    },
    /// The reload command did not come to its end.
    #[error(transparent)]
    Run(#[from] SubprocessError),
    /// The reload command failed.
    #[error("{}: {status}{}", program.display(), output_suffix(output))]
    Command {
        /// Its program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
}

impl ReloadError {
    /// Whether the program may know of the new files. If not, the error says nothing about them.
    pub(super) fn was_notified(&self) -> bool {
        match self {
            Self::FindProcess(_) | Self::Process(_) | Self::Docker(_) | Self::DockerTimeout { .. } => false,
            Self::Run(error) => !matches!(error, SubprocessError::Start { .. }),
            Self::Nginx { .. } | Self::Probe { .. } | Self::Command { .. } => true,
        }
    }
}

impl Program {
    /// `alone`: whether there is one file only, by the settings. `docker`: the engine that may have to pass a signal on.
    pub(super) fn new(
        settings: settings::TargetKind,
        alone: bool,
        docker: &docker::Settings,
    ) -> Result<Self, docker::EndpointError> {
        Ok(match settings {
            settings::TargetKind::Nginx(settings) => Self::Nginx(nginx::NginxProgram::new(settings)),
            settings::TargetKind::Command(settings) => {
                Self::Command(command::CommandProgram::new(settings, alone, docker)?)
            }
        })
    }

    /// Names all that a check's verdict hangs on, as far as can be known.
    pub(super) async fn inputs_digest(&mut self, candidate: &Arc<Candidate>) -> Result<Digest, CheckError> {
        match self {
            Self::Nginx(nginx) => nginx.inputs_digest(candidate).await,
            Self::Command(_) => Ok(command::CommandProgram::inputs_digest(candidate)),
        }
    }

    /// Checks copies of the candidate, made in `scratch`; touches nothing else.
    pub(super) async fn check(
        &mut self,
        candidate: &Arc<Candidate>,
        scratch: TempDir,
    ) -> Result<CheckVerdict, CheckError> {
        match self {
            Self::Nginx(nginx) => nginx.check(candidate, scratch).await,
            Self::Command(command) => command.check(candidate, scratch).await,
        }
    }

    /// `None` if the program is running, otherwise why not.
    pub(super) async fn not_running_reason(&mut self) -> Result<Option<NotRunningReason>, ReloadError> {
        match self {
            Self::Nginx(nginx) => nginx.not_running_reason().await,
            Self::Command(command) => command.not_running_reason().await,
        }
    }

    /// Why a process that was told has not taken the files, and does not count as having refused them: it has ended
    /// meanwhile. `None` if it is still the one.
    pub(super) async fn replaced_reason(&mut self, pid: i32) -> Option<NotRunningReason> {
        match self {
            Self::Nginx(nginx) => nginx.replaced_reason(pid).await,
            Self::Command(_) => None,
        }
    }

    /// Where the pid of the program stands, as far as that is known.
    pub(super) fn pid_file(&self) -> Option<&Path> {
        match self {
            Self::Nginx(nginx) => nginx.pid_file(),
            Self::Command(command) => command.pid_file(),
        }
    }

    /// For the log, what is told of new files; `None`: nothing is.
    pub(super) fn display_name(&self) -> Option<String> {
        match self {
            Self::Nginx(_) => Some("nginx".to_owned()),
            Self::Command(command) => command.display_name(),
        }
    }

    /// Names what is told of new files, so that targets of the same program can be told; `None`: nothing is.
    pub(super) async fn budget_key(&mut self) -> Result<Option<String>, CheckError> {
        match self {
            Self::Nginx(nginx) => nginx.budget_key().await.map(Some),
            Self::Command(command) => Ok(command.budget_key()),
        }
    }

    /// Tells who uses the files that there are new ones.
    pub(super) async fn reload(&mut self) -> Result<ReloadOutcome, ReloadError> {
        match self {
            Self::Nginx(nginx) => nginx.reload().await,
            Self::Command(command) => command.reload().await,
        }
    }
}
