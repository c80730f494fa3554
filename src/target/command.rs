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
    process::{Absent, Process},
    program::{CheckError, ReloadError, Sent, Verdict},
    rendered::Digest,
    run::{self, CANDIDATE},
    settings,
};

/// Names all that the verdict hangs on, as far as can be known.
pub(super) fn inputs(contents: &Contents) -> Digest {
    let parts = contents.iter().flat_map(|(path, text)| [path.as_os_str().as_encoded_bytes(), text.bytes()]);
    Digest::of(&parts.collect::<Vec<_>>())
}

pub(super) async fn check(settings: &settings::Command, contents: &Arc<Contents>) -> Result<Verdict, CheckError> {
    let inputs = inputs(contents);
    let Some((program, args)) = settings.check.as_ref().and_then(|argv| argv.split_first()) else {
        return Ok(Verdict::Good { inputs, warnings: Vec::new() });
    };
    let owned = Arc::clone(contents);
    let (directory, candidate) = blocking(move || stage(&owned)).await.map_err(CheckError::Stage)?;
    let real = match contents.len() {
        1 => contents.keys().next().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        _ => String::new(),
    };
    let candidate = candidate.to_string_lossy().into_owned();
    let args: Vec<_> = args.iter().map(|arg| arg.replace(CANDIDATE, &candidate)).collect();
    let ended = run::run(Path::new(program), &args, settings.check_timeout).await?;
    blocking(move || drop(directory)).await;
    let output = ended.output.replace(&candidate, &real);
    Ok(match ended.status.success() {
        true => Verdict::Good { inputs, warnings: Vec::new() },
        false => Verdict::Refused { inputs, lasting: true, output: format!("{}{}", ended.status, run::said(&output)) },
    })
}

/// Copies the candidate to where a program can look at it.
fn stage(contents: &Contents) -> io::Result<(TempDir, PathBuf)> {
    let directory = tempfile::Builder::new().prefix("portreeve-").tempdir()?;
    let mut candidate = directory.path().to_owned();
    for (path, text) in contents {
        let copy = match contents.len() {
            1 => directory.path().join(path.file_name().unwrap_or_default()),
            _ => directory.path().join(path.strip_prefix("/").unwrap_or(path)),
        };
        fs::create_dir_all(copy.parent().unwrap_or(directory.path()))?;
        fs::write(&copy, text.bytes())?;
        if contents.len() == 1 {
            candidate = copy;
        }
    }
    Ok((directory, candidate))
}

pub(super) async fn reload(settings: &settings::Command) -> Result<Sent, ReloadError> {
    match &settings.reload {
        None => Ok(Sent::Nothing),
        Some(settings::Reload::Command(argv)) => {
            let (program, args) = argv
                .split_first()
                .map_or((Path::new(""), argv.as_slice()), |(program, args)| (Path::new(program), args));
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
        Some(settings::Reload::Signal { pid_file, signal, program }) => {
            let wanted = program.as_deref().unwrap_or("the program");
            let is = |name: &str, _: &str| program.as_deref().is_none_or(|wanted| name == wanted);
            match Process::from_pid_file(pid_file, wanted, is)? {
                Ok(process) if process.signal(*signal)? => Ok(Sent::Done),
                Ok(process) => Ok(Sent::NotRunning(Absent::Ended { file: pid_file.clone(), pid: process.pid() })),
                Err(absent) => Ok(Sent::NotRunning(absent)),
            }
        }
    }
}
