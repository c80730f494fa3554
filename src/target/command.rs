//! Anything that is not known here: a check and a reload that the user names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Candidate, Contents,
    container::Container,
    files,
    process::{Absent, Process, ProcessError},
    program::{CheckError, ReloadError, Sent, Verdict},
    rendered::Digest,
    run::{self, CANDIDATE},
    settings::{self, Reload},
};
use crate::{docker, sys::blocking::blocking};

/// A check and a reload, and how to carry them out.
#[derive(Debug)]
pub(super) struct Command {
    settings: settings::Command,
    /// Whether there is one file only, by the settings: the check sees a file then, not a directory.
    alone: bool,
    container: Option<Container>,
}

impl Command {
    pub(super) fn new(
        settings: settings::Command,
        alone: bool,
        docker: &docker::Settings,
    ) -> Result<Self, docker::SettingsError> {
        let container = match &settings.reload {
            Some(Reload::Container { name, signal }) => {
                let client = docker::Client::new(docker.clone())?;
                Some(Container::new(client, name.clone(), *signal, settings.reload_timeout))
            }
            _ => None,
        };
        Ok(Self { settings, alone, container })
    }

    /// Names all that the verdict hangs on, as far as can be known.
    pub(super) fn inputs(candidate: &Candidate) -> Digest {
        let files = candidate.files.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.bytes()]);
        let gone = candidate.gone.iter().map(|path| path.as_os_str().as_encoded_bytes());
        Digest::of(&files.chain(gone).collect::<Vec<_>>())
    }

    pub(super) async fn check(&self, candidate: &Arc<Candidate>, scratch: TempDir) -> Result<Verdict, CheckError> {
        let inputs = Self::inputs(candidate);
        let Some((program, args)) = self.settings.check.as_ref().and_then(|argv| argv.split_first()) else {
            return Ok(Verdict::Good { inputs, warnings: Vec::new() });
        };
        let owned = Arc::clone(candidate);
        let single = candidate.files.keys().next().filter(|_| self.alone && candidate.files.len() == 1);
        let is_single = single.is_some();
        let (copy, scratch) = blocking(move || (stage(&owned.files, is_single, scratch.path()), scratch)).await;
        let copy = copy.map_err(CheckError::Stage)?.to_string_lossy().into_owned();
        let args: Vec<_> = args.iter().map(|arg| arg.replace(CANDIDATE, &copy)).collect();
        let ended = run::run(Path::new(program), &args, self.settings.check_timeout).await?;
        blocking(move || drop(scratch)).await;
        let real = single.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let output = ended.output.replace(&copy, &real);
        Ok(match ended.status.success() {
            true => Verdict::Good { inputs, warnings: Vec::new() },
            false => {
                let output = format!("{}{}", ended.status, run::said(&output));
                // Nobody knows what else the program looks at.
                Verdict::Refused { inputs, certain: false, output }
            }
        })
    }

    pub(super) fn pid_file(&self) -> Option<&Path> {
        match &self.settings.reload {
            Some(Reload::Signal { pid_file, .. }) => Some(pid_file),
            _ => None,
        }
    }

    /// For the log.
    pub(super) fn name(&self) -> Option<String> {
        Some(match self.settings.reload.as_ref()? {
            Reload::Command(argv) => format!("with {}", argv.join(" ")),
            Reload::Signal { program: Some(program), .. } => program.clone(),
            Reload::Signal { pid_file, .. } => format!("the process of {}", pid_file.display()),
            Reload::Container { name, .. } => format!("container {name}"),
        })
    }

    /// Names what is told of new files.
    pub(super) fn key(&self) -> Option<String> {
        Some(match self.settings.reload.as_ref()? {
            Reload::Signal { pid_file, .. } => {
                files::follow(pid_file).unwrap_or_else(|_| pid_file.clone()).display().to_string()
            }
            Reload::Container { name, .. } => format!("container {name}"),
            Reload::Command(argv) => format!("command {argv:?}"),
        })
    }

    /// Who would be told, if anybody.
    pub(super) async fn absent(&self) -> Result<Option<Absent>, ReloadError> {
        match (&self.settings.reload, &self.container) {
            (_, Some(container)) => container.absent().await,
            (Some(Reload::Signal { pid_file, program, .. }), _) => Ok(find(pid_file, program.as_deref())?.err()),
            _ => Ok(None),
        }
    }

    pub(super) async fn reload(&self) -> Result<Sent, ReloadError> {
        match (&self.settings.reload, &self.container) {
            (_, Some(container)) => container.tell().await,
            (Some(Reload::Command(argv)), _) => call(argv, self.settings.reload_timeout).await,
            (Some(Reload::Signal { pid_file, signal, program }), _) => match find(pid_file, program.as_deref())? {
                Ok(process) if process.signal(*signal)? => Ok(Sent::Done),
                Ok(process) => Ok(Sent::NotRunning(Absent::Ended { file: pid_file.clone(), pid: process.pid() })),
                Err(absent) => Ok(Sent::NotRunning(absent)),
            },
            _ => Ok(Sent::Nothing),
        }
    }
}

/// Copies the candidate to where a program can look at it, and says where.
fn stage(contents: &Contents, is_single: bool, scratch: &Path) -> io::Result<PathBuf> {
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

async fn call(argv: &[String], limit: Duration) -> Result<Sent, ReloadError> {
    let (program, args) = argv.split_first().expect("validated: a command begins with a program");
    let program = Path::new(program);
    let ended = run::run(program, args, limit).await?;
    if !ended.status.success() {
        let (program, status) = (program.to_owned(), ended.status);
        return Err(ReloadError::Command { program, status, output: ended.output });
    }
    if !ended.output.is_empty() {
        tracing::info!("{}: {}", program.display(), ended.output);
    }
    Ok(Sent::Done)
}

fn find(pid_file: &Path, program: Option<&str>) -> Result<Result<Process, Absent>, ProcessError> {
    let is = |name: &str, _: &str| program.is_none_or(|program| name == program);
    Process::from_pid_file(pid_file, program.unwrap_or("the program"), is)
}
