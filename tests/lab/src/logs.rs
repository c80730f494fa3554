//! The logs of a failed test.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::target_dir;

/// How many lines of each log are printed.
const TAIL: usize = 30;

/// Copies the logs of all hosts to `target/lab-logs/TEST` and returns that directory.
pub(crate) fn save(test: &str, run: &Path) -> io::Result<PathBuf> {
    let saved = target_dir::root().join("lab-logs").join(test);
    if saved.exists() {
        fs::remove_dir_all(&saved)?;
    }
    for host in fs::read_dir(run)? {
        let host = host?;
        let logs = host.path().join("log");
        if logs.is_dir() {
            let copies = saved.join(host.file_name());
            fs::create_dir_all(&copies)?;
            for log in files_below(&logs)? {
                fs::copy(&log, copies.join(log.file_name().expect("a file has a name")))?;
            }
        }
    }
    Ok(saved)
}

/// Prints the end of each log in a directory of saved ones.
pub(crate) fn print_tails(saved: &Path) -> io::Result<()> {
    for log in files_below(saved)? {
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
