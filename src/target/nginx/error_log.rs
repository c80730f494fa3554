//! nginx's error log, in which nginx gives the reason why it has rejected a configuration.

use std::{
    fs,
    io::{self, Read, Seek},
    path::PathBuf,
};

use crate::sys::regular_file;

/// How much of the log is read after a failed reload, in bytes.
const MAX_LOG_BYTES: u64 = 64 * 1024;

/// The error log, from the moment of a reload on.
#[derive(Debug)]
pub(super) struct ErrorLog {
    path: PathBuf,
    start: u64,
}

impl ErrorLog {
    pub(super) fn open(path: PathBuf) -> Self {
        let start = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, start }
    }

    /// The errors that a process has logged since then; empty if the log cannot be read.
    pub(super) fn errors_from(&self, pid: i32) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = regular_file::open(&self.path)?;
            file.seek(io::SeekFrom::Start(self.start))?;
            let mut text = Vec::new();
            file.take(MAX_LOG_BYTES).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().unwrap_or_default();
        let markers = ["emerg", "alert", "crit"].map(|level| format!("[{level}] {pid}#"));
        let mut lines: Vec<_> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| Some(line[markers.iter().find_map(|marker| line.find(marker))?..].to_owned()))
            .collect();
        lines.dedup();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_new_errors_of_the_master_count() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "2026/01/01 00:00:00 [emerg] 7#7: old\n").expect("it is ours");
        let log = ErrorLog::open(file.path().to_owned());
        let mut text = fs::read_to_string(file.path()).expect("a file");
        text.push_str(
            "t [notice] 7#7: signal\nt [emerg] 8#8: other\nt [emerg] 7#7: a\nt [emerg] 7#7: a\nt [alert] 7#7: b\n",
        );
        fs::write(file.path(), text).expect("it is ours");
        assert_eq!(log.errors_from(7), "[emerg] 7#7: a\n[alert] 7#7: b");
        assert_eq!(ErrorLog::open(Path::new("/nonexistent").to_owned()).errors_from(7), "");
    }
}
