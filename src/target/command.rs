//! Programs of any kind: the user names the check and the reload.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use super::{
    Candidate, ContentByPath,
    container::ContainerProcess,
    desired_file::Digest,
    files,
    program::{CheckError, CheckVerdict, Program, ReloadError, ReloadOutcome},
    running_process::{NotRunningReason, ProcessError, RunningProcess},
    settings::{self, ReloadMethod},
    subprocess::{self, CANDIDATE, SubprocessError, output_suffix},
};
use crate::{docker, sys::blocking::blocking};

/// A program whose check and reload the user names.
#[derive(Debug)]
pub(super) struct CommandProgram {
    settings: settings::CommandSettings,
    /// Whether the settings name exactly one file. Then the check gets a file, otherwise a directory.
    is_single_file: bool,
    container: Option<ContainerProcess>,
}

/// The reload command failed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {status}{}", program.display(), output_suffix(output))]
struct FailedReloadCommand {
    program: PathBuf,
    status: ExitStatus,
    output: String,
}

impl CommandProgram {
    pub(super) fn new(
        settings: settings::CommandSettings,
        is_single_file: bool,
        docker: &docker::Settings,
    ) -> Result<Self, docker::EndpointError> {
        let container = match &settings.reload {
            Some(ReloadMethod::Container { name, signal }) => {
                let client = docker::Client::new(docker.clone())?;
                Some(ContainerProcess::new(client, name.clone(), *signal, settings.reload_timeout))
            }
            _ => None,
        };
        Ok(Self { settings, is_single_file, container })
    }

    async fn verdict(&self, candidate: &Arc<Candidate>, scratch: TempDir) -> Result<CheckVerdict, CheckError> {
        let Some((program, args)) = self.settings.check.as_ref().and_then(|argv| argv.split_first()) else {
            return Ok(CheckVerdict::Accepted { warnings: Vec::new() });
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
        if ended.status.success() {
            return Ok(CheckVerdict::Accepted { warnings: Vec::new() });
        }
        let destination = single.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let output = format!("{}{}", ended.status, output_suffix(&ended.output.replace(&copy, &destination)));
        // It is unknown what else the program reads.
        Ok(CheckVerdict::Rejected { output, is_permanent: false })
    }
}

impl Program for CommandProgram {
    fn inputs_digest<'a>(&'a mut self, candidate: &'a Arc<Candidate>) -> BoxFuture<'a, Result<Digest, CheckError>> {
        Box::pin(async { Ok(inputs_digest(candidate)) })
    }

    fn check<'a>(
        &'a mut self,
        candidate: &'a Arc<Candidate>,
        scratch: TempDir,
    ) -> BoxFuture<'a, Result<(CheckVerdict, Digest), CheckError>> {
        Box::pin(async { Ok((self.verdict(candidate, scratch).await?, inputs_digest(candidate))) })
    }

    fn reload(&mut self) -> BoxFuture<'_, Result<ReloadOutcome, ReloadError>> {
        Box::pin(async {
            match (&self.settings.reload, &self.container) {
                (_, Some(container)) => container.send_signal().await,
                (Some(ReloadMethod::Command(argv)), _) => run_reload_command(argv, self.settings.reload_timeout).await,
                (Some(ReloadMethod::Signal { pid_file, signal, program }), _) => {
                    Ok(match find_process(pid_file, program.as_deref())? {
                        Ok(process) if process.signal(*signal)? => ReloadOutcome::Done,
                        Ok(process) => ReloadOutcome::NotRunning(NotRunningReason::Exited {
                            file: pid_file.clone(),
                            pid: process.pid(),
                        }),
                        Err(reason) => ReloadOutcome::NotRunning(reason),
                    })
                }
                _ => Ok(ReloadOutcome::NotConfigured),
            }
        })
    }

    fn not_running_reason(&mut self) -> BoxFuture<'_, Result<Option<NotRunningReason>, ReloadError>> {
        Box::pin(async {
            match (&self.settings.reload, &self.container) {
                (_, Some(container)) => container.not_running_reason().await,
                (Some(ReloadMethod::Signal { pid_file, program, .. }), _) => {
                    Ok(find_process(pid_file, program.as_deref())?.err())
                }
                _ => Ok(None),
            }
        })
    }

    fn budget_key(&mut self) -> BoxFuture<'_, Result<Option<String>, CheckError>> {
        let key = self.settings.reload.as_ref().map(|reload| match reload {
            ReloadMethod::Signal { pid_file, .. } => {
                files::resolve(pid_file).unwrap_or_else(|_| pid_file.clone()).display().to_string()
            }
            ReloadMethod::Container { name, .. } => format!("container {name}"),
            ReloadMethod::Command(argv) => format!("command {argv:?}"),
        });
        Box::pin(async { Ok(key) })
    }

    fn pid_file(&self) -> Option<&Path> {
        match &self.settings.reload {
            Some(ReloadMethod::Signal { pid_file, .. }) => Some(pid_file),
            _ => None,
        }
    }

    fn display_name(&self) -> Option<String> {
        Some(match self.settings.reload.as_ref()? {
            ReloadMethod::Command(argv) => format!("with {}", argv.join(" ")),
            ReloadMethod::Signal { program: Some(program), .. } => program.clone(),
            ReloadMethod::Signal { pid_file, .. } => format!("the process of {}", pid_file.display()),
            ReloadMethod::Container { name, .. } => format!("container {name}"),
        })
    }
}

fn inputs_digest(candidate: &Candidate) -> Digest {
    let files = candidate.files.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.bytes()]);
    let removed = candidate.removed.iter().map(|path| path.as_os_str().as_encoded_bytes());
    Digest::of(&files.chain(removed).collect::<Vec<_>>())
}

/// Copies the candidate into `scratch`. Returns the path for the check: the only file, or the directory of all files.
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

async fn run_reload_command(argv: &[String], timeout: Duration) -> Result<ReloadOutcome, ReloadError> {
    let (program, args) = argv.split_first().expect("validated: a command begins with a program");
    let program = Path::new(program);
    let ended = subprocess::run(program, args, timeout).await.map_err(|error| match error {
        SubprocessError::Start { .. } => ReloadError::not_notified(error),
        _ => ReloadError::not_in_effect(error),
    })?;
    if !ended.status.success() {
        let (program, status) = (program.to_owned(), ended.status);
        return Err(ReloadError::not_in_effect(FailedReloadCommand { program, status, output: ended.output }));
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
    let is_program = |name: &str, _: &str| program.is_none_or(|program| name == program);
    RunningProcess::from_pid_file(pid_file, program.unwrap_or("the program"), is_program)
}
