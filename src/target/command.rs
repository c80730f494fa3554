//! Anything that is not known here: a check and a reload that the user names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Candidate, ContentByPath,
    container::ContainerProcess,
    desired_file::Digest,
    files,
    program::{CheckError, CheckVerdict, ReloadError, ReloadOutcome},
    running_process::{NotRunningReason, ProcessError, RunningProcess},
    settings::{self, ReloadMethod},
    subprocess::{self, CANDIDATE},
};
use crate::{docker, sys::blocking::blocking};

/// A check and a reload, and how to carry them out.
#[derive(Debug)]
pub(super) struct CommandProgram {
    settings: settings::CommandSettings,
    /// Whether there is one file only, by the settings: the check sees a file then, not a directory.
    is_single_file: bool,
    container: Option<ContainerProcess>,
}

impl CommandProgram {
    pub(super) fn new(
        settings: settings::CommandSettings,
        alone: bool,
        docker: &docker::Settings,
    ) -> Result<Self, docker::EndpointError> {
        let container = match &settings.reload {
            Some(ReloadMethod::Container { name, signal }) => {
                let client = docker::Client::new(docker.clone())?;
                Some(ContainerProcess::new(client, name.clone(), *signal, settings.reload_timeout))
            }
            _ => None,
        };
        Ok(Self { settings, is_single_file: alone, container })
    }

    /// Names all that the verdict hangs on, as far as can be known.
    pub(super) fn inputs_digest(candidate: &Candidate) -> Digest {
        let files = candidate.files.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.bytes()]);
        let gone = candidate.removed.iter().map(|path| path.as_os_str().as_encoded_bytes());
        Digest::of(&files.chain(gone).collect::<Vec<_>>())
    }

    pub(super) async fn check(&self, candidate: &Arc<Candidate>, scratch: TempDir) -> Result<CheckVerdict, CheckError> {
        let inputs = Self::inputs_digest(candidate);
        let Some((program, args)) = self.settings.check.as_ref().and_then(|argv| argv.split_first()) else {
            return Ok(CheckVerdict::Accepted { inputs_digest: inputs, warnings: Vec::new() });
        };
        let owned = Arc::clone(candidate);
        let single = candidate.files.keys().next().filter(|_| self.is_single_file && candidate.files.len() == 1);
        let is_single = single.is_some();
        let (copy, scratch) =
            blocking(move || (copy_candidate(&owned.files, is_single, scratch.path()), scratch)).await;
        let copy = copy.map_err(CheckError::Stage)?.to_string_lossy().into_owned();
        let args: Vec<_> = args.iter().map(|arg| arg.replace(CANDIDATE, &copy)).collect();
        let ended = subprocess::run(Path::new(program), &args, self.settings.check_timeout).await?;
        blocking(move || drop(scratch)).await;
        let real = single.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let output = ended.output.replace(&copy, &real);
        Ok(match ended.status.success() {
            true => CheckVerdict::Accepted { inputs_digest: inputs, warnings: Vec::new() },
            false => {
                let output = format!("{}{}", ended.status, subprocess::output_suffix(&output));
                // Nobody knows what else the program looks at.
                CheckVerdict::Rejected { inputs_digest: inputs, is_permanent: false, output }
            }
        })
    }

    pub(super) fn pid_file(&self) -> Option<&Path> {
        match &self.settings.reload {
            Some(ReloadMethod::Signal { pid_file, .. }) => Some(pid_file),
            _ => None,
        }
    }

    /// For the log.
    pub(super) fn display_name(&self) -> Option<String> {
        Some(match self.settings.reload.as_ref()? {
            ReloadMethod::Command(argv) => format!("with {}", argv.join(" ")),
            ReloadMethod::Signal { program: Some(program), .. } => program.clone(),
            ReloadMethod::Signal { pid_file, .. } => format!("the process of {}", pid_file.display()),
            ReloadMethod::Container { name, .. } => format!("container {name}"),
        })
    }

    /// Names what is told of new files.
    pub(super) fn budget_key(&self) -> Option<String> {
        Some(match self.settings.reload.as_ref()? {
            ReloadMethod::Signal { pid_file, .. } => {
                files::resolve(pid_file).unwrap_or_else(|_| pid_file.clone()).display().to_string()
            }
            ReloadMethod::Container { name, .. } => format!("container {name}"),
            ReloadMethod::Command(argv) => format!("command {argv:?}"),
        })
    }

    /// Who would be told, if anybody.
    pub(super) async fn not_running_reason(&self) -> Result<Option<NotRunningReason>, ReloadError> {
        match (&self.settings.reload, &self.container) {
            (_, Some(container)) => container.not_running_reason().await,
            (Some(ReloadMethod::Signal { pid_file, program, .. }), _) => {
                Ok(find_process(pid_file, program.as_deref())?.err())
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn reload(&self) -> Result<ReloadOutcome, ReloadError> {
        match (&self.settings.reload, &self.container) {
            (_, Some(container)) => container.send_signal().await,
            (Some(ReloadMethod::Command(argv)), _) => run_reload_command(argv, self.settings.reload_timeout).await,
            (Some(ReloadMethod::Signal { pid_file, signal, program }), _) => {
                match find_process(pid_file, program.as_deref())? {
                    Ok(process) if process.signal(*signal)? => Ok(ReloadOutcome::Done),
                    Ok(process) => Ok(ReloadOutcome::NotRunning(NotRunningReason::Exited {
                        file: pid_file.clone(),
                        pid: process.pid(),
                    })),
                    Err(absent) => Ok(ReloadOutcome::NotRunning(absent)),
                }
            }
            _ => Ok(ReloadOutcome::NotConfigured),
        }
    }
}

/// Copies the candidate to where a program can look at it, and says where.
fn copy_candidate(contents: &ContentByPath, is_single: bool, scratch: &Path) -> io::Result<PathBuf> {
    let mut candidate = scratch.to_owned();
    for (path, text) in contents {
        let copy = match is_single {
            true => scratch.join(path.file_name().unwrap_or_default()),
            false => scratch.join(path.strip_prefix("/").unwrap_or(path)),
        };
        fs::create_dir_all(copy.parent().unwrap_or(scratch))?;
        fs::write(&copy, text.bytes())?;
        if is_single {
            candidate = copy;
        }
    }
    Ok(candidate)
}

async fn run_reload_command(argv: &[String], limit: Duration) -> Result<ReloadOutcome, ReloadError> {
    let (program, args) = argv.split_first().expect("validated: a command begins with a program");
    let program = Path::new(program);
    let ended = subprocess::run(program, args, limit).await?;
    if !ended.status.success() {
        let (program, status) = (program.to_owned(), ended.status);
        return Err(ReloadError::Command { program, status, output: ended.output });
    }
    if !ended.output.is_empty() {
        tracing::info!("{}: {}", program.display(), ended.output);
    }
    Ok(ReloadOutcome::Done)
}

fn find_process(
    pid_file: &Path,
    program: Option<&str>,
) -> Result<Result<RunningProcess, NotRunningReason>, ProcessError> {
    let is = |name: &str, _: &str| program.is_none_or(|program| name == program);
    RunningProcess::from_pid_file(pid_file, program.unwrap_or("the program"), is)
}
