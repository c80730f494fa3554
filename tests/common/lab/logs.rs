//! What is left of a failed test.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How much of each log is printed.
const TAIL: usize = 30;

/// Copies the logs of all hosts to `target/lab-logs/TEST` and returns that directory.
pub(super) fn save(test: &str, run: &Path) -> io::Result<PathBuf> {
    let place = profile().parent().expect("a profile lies in the target directory").join("lab-logs").join(test);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    for host in fs::read_dir(run)? {
        let host = host?;
        let logs = host.path().join("log");
        if logs.is_dir() {
            let kept = place.join(host.file_name());
            fs::create_dir_all(&kept)?;
            for log in files_below(&logs)? {
                fs::copy(&log, kept.join(log.file_name().expect("a file has a name")))?;
            }
        }
    }
    Ok(place)
}

/// Prints the end of each log in a directory of saved ones.
pub(super) fn print_tails(place: &Path) -> io::Result<()> {
    for log in files_below(place)? {
        let bytes = fs::read(&log)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        if !lines.is_empty() {
            eprintln!("---- the end of {}", log.display());
            eprintln!("{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"));
        }
    }
    Ok(())
}

fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `target/debug` or `target/release`, where this program comes from: programs of tests lie in `deps`
/// below it, examples in `examples`.
pub(super) fn profile() -> PathBuf {
    let program = env::current_exe().expect("/proc is there");
    program.ancestors().nth(2).expect("cargo puts programs two levels deep").to_owned()
}
