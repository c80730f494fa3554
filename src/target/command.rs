//! Anything that is not known here: a check and a reload that the user names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::{
    Contents,
    blocking::blocking,
    process::{Absent, Process, ProcessError},
    program::{CheckError, ReloadError, Sent, Verdict},
    rendered::Digest,
    run::{self, CANDIDATE},
    settings::{self, Reload},
};

/// Names all that the verdict hangs on, as far as can be known.
pub(super) fn inputs(contents: &Contents) -> Digest {
    let parts = contents.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.bytes()]);
    Digest::of(&parts.collect::<Vec<_>>())
}

pub(super) async fn check(
    settings: &settings::Command,
    contents: &Arc<Contents>,
    scratch: TempDir,
) -> Result<Verdict, CheckError> {
    let inputs = inputs(contents);
    let Some((program, args)) = settings.check.as_ref().and_then(|argv| argv.split_first()) else {
        return Ok(Verdict::Good { inputs, warnings: Vec::new() });
    };
    let owned = Arc::clone(contents);
    let (candidate, scratch) = blocking(move || (stage(&owned, scratch.path()), scratch)).await;
    let candidate = candidate.map_err(CheckError::Stage)?;
    let real = match contents.len() {
        1 => contents.keys().next().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        _ => String::new(),
    };
    let candidate = candidate.to_string_lossy().into_owned();
    let args: Vec<_> = args.iter().map(|arg| arg.replace(CANDIDATE, &candidate)).collect();
    let ended = run::run(Path::new(program), &args, settings.check_timeout).await?;
    blocking(move || drop(scratch)).await;
    let output = ended.output.replace(&candidate, &real);
    Ok(match ended.status.success() {
        true => Verdict::Good { inputs, warnings: Vec::new() },
        false => Verdict::Refused { inputs, lasting: true, output: format!("{}{}", ended.status, run::said(&output)) },
    })
}

/// Copies the candidate to where a program can look at it, and says where.
fn stage(contents: &Contents, scratch: &Path) -> io::Result<PathBuf> {
    let mut candidate = scratch.to_owned();
    for (path, text) in contents {
        let copy = match contents.len() {
            1 => scratch.join(path.file_name().unwrap_or_default()),
            _ => scratch.join(path.strip_prefix("/").unwrap_or(path)),
        };
        fs::create_dir_all(copy.parent().unwrap_or(scratch))?;
        fs::write(&copy, text.bytes())?;
        if contents.len() == 1 {
            candidate = copy;
        }
    }
    Ok(candidate)
}

/// Who would be told, if anybody.
pub(super) fn absent(settings: &settings::Command) -> Result<Option<Absent>, ReloadError> {
    match &settings.reload {
        Some(Reload::Signal { pid_file, program, .. }) => Ok(find(pid_file, program.as_deref())?.err()),
        _ => Ok(None),
    }
}

pub(super) async fn reload(settings: &settings::Command) -> Result<Sent, ReloadError> {
    match &settings.reload {
        None => Ok(Sent::Nothing),
        Some(Reload::Command(argv)) => {
            let (program, args) = argv.split_first().expect("validated: a command begins with a program");
            let program = Path::new(program);
            let ended = run::run(program, args, settings.reload_timeout).await?;
            if !ended.status.success() {
                let (program, status) = (program.to_owned(), ended.status);
                return Err(ReloadError::Command { program, status, output: ended.output });
            }
            if !ended.output.is_empty() {
                tracing::info!("{}: {}", program.display(), ended.output);
            }
            Ok(Sent::Done)
        }
        Some(Reload::Signal { pid_file, signal, program }) => match find(pid_file, program.as_deref())? {
            Ok(process) if process.signal(*signal)? => Ok(Sent::Done),
            Ok(process) => Ok(Sent::NotRunning(Absent::Ended { file: pid_file.clone(), pid: process.pid() })),
            Err(absent) => Ok(Sent::NotRunning(absent)),
        },
    }
}

fn find(pid_file: &Path, program: Option<&str>) -> Result<Result<Process, Absent>, ProcessError> {
    let is = |name: &str, _: &str| program.is_none_or(|program| name == program);
    Process::from_pid_file(pid_file, program.unwrap_or("the program"), is)
}
