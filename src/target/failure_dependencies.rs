//! What a failure may depend on besides the files that the check reads: the running process, files that the program has
//! complained about, and the files of other targets.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::sys::regular_file;

/// So many paths in one message are looked at.
const MAX_PATHS: usize = 16;

/// The longest pid file, in bytes.
const MAX_PID_FILE_BYTES: u64 = 4096;

/// As it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureDependencies {
    /// What the pid file says.
    pid: Option<String>,
    files: BTreeMap<PathBuf, PathState>,
    /// How often files of targets with the same program were changed.
    pub(super) change_count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathState {
    /// Neither it nor its directory is there.
    NoDirectory,
    Absent,
    /// Its content does not count: names in it come and go.
    Directory,
    /// Inode, size, and time of change with its nanoseconds.
    File(u64, u64, i64, i64),
}

impl FailureDependencies {
    /// Blocks for a moment. `output`: what the program has said.
    pub(super) fn observe(pid_file: Option<&Path>, output: &str, changes: u64) -> Self {
        let files = mentioned_paths(output).into_iter().map(|path| (path.to_owned(), PathState::of(path)));
        Self { pid: pid_file.and_then(read_pid), files: files.collect(), change_count: changes }
    }
}

impl PathState {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Self::Directory,
            Ok(metadata) => Self::File(metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()),
            Err(_) if path.parent().is_some_and(Path::is_dir) => Self::Absent,
            Err(_) => Self::NoDirectory,
        }
    }
}

/// What may change the result of a check although its input stays the same: the files that the error names and that do not
/// exist, and a restart of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveryTriggers {
    pid_file: Option<PathBuf>,
    dependencies: FailureDependencies,
}

impl RecoveryTriggers {
    pub(crate) fn from_error(pid_file: Option<&Path>, complaint: &str) -> Self {
        let mut stamps = FailureDependencies::observe(pid_file, complaint, 0);
        stamps.files.retain(|_, stamp| matches!(stamp, PathState::NoDirectory | PathState::Absent));
        Self { pid_file: pid_file.map(Path::to_owned), dependencies: stamps }
    }

    /// Whether there is nothing that could change.
    pub(crate) fn is_empty(&self) -> bool {
        self.pid_file.is_none() && self.dependencies.files.is_empty()
    }

    /// What has changed, for the log; `None` if nothing has.
    pub(crate) fn triggered_by(&self) -> Option<String> {
        let mut files = self.dependencies.files.iter().map(|(path, before)| (path, *before, PathState::of(path)));
        if let Some((path, _, now)) = files.find(|(_, before, now)| before != now && *now != PathState::NoDirectory) {
            let there = if now == PathState::Absent { path.parent().unwrap_or(path) } else { path };
            return Some(format!("{} exists now", there.display()));
        }
        let master = self.pid_file.as_deref().and_then(read_pid)?;
        (self.dependencies.pid.as_ref() != Some(&master)).then(|| "the program was restarted".to_owned())
    }
}

/// The pid in the file; `None` if there is none.
fn read_pid(pid_file: &Path) -> Option<String> {
    regular_file::read_text(pid_file, MAX_PID_FILE_BYTES).ok().filter(|pid| !pid.trim().is_empty())
}

/// The absolute paths in a message. Pure.
fn mentioned_paths(output: &str) -> Vec<&Path> {
    let quoted = output.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    let words = output.split(|byte: char| byte.is_whitespace() || byte == '"');
    let bare = words.map(|word| word.trim_start_matches(['\'', '(']).trim_end_matches(['\'', ')', ',', ';', ':', '.']));
    let bare = bare.map(|word| word.trim_start_matches("unix://"));
    let bare = bare.map(|word| match word.rsplit_once(':') {
        Some((path, line)) if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()) => path,
        _ => word,
    });
    let mut paths: Vec<_> = quoted.chain(bare).filter(|word| word.starts_with('/')).map(Path::new).collect();
    paths.sort();
    paths.dedup();
    paths.truncate(MAX_PATHS);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_that_a_program_complains_about() {
        let cases: [(&str, &[&str]); 6] = [
            (
                "nginx: [emerg] cannot load certificate \"/etc/a b.pem\": BIO_new_file() failed (SSL: error:8: \
                 calling fopen(/etc/a b.pem, r)) in /etc/nginx/nginx.conf:7",
                &["/etc/a", "/etc/a b.pem", "/etc/nginx/nginx.conf"],
            ),
            ("open() \"/var/log/x/access.log\" failed (2: No such file)", &["/var/log/x/access.log"]),
            ("dlopen() \"/m.so\" failed (/m.so: cannot open shared object)", &["/m.so"]),
            ("app: cannot read '/etc/app/key'.", &["/etc/app/key"]),
            ("cannot connect to Docker at unix:///run/docker.sock: refused", &["/run/docker.sock"]),
            ("exit status: 1", &[]),
        ];
        for (output, expected) in cases {
            let found = mentioned_paths(output);
            for path in expected.iter().filter(|path| **path != "/etc/a") {
                assert!(found.contains(&Path::new(path)), "{path} in {output}: {found:?}");
            }
            assert!(!expected.is_empty() || found.is_empty(), "{output}: {found:?}");
        }
    }

    #[test]
    fn what_appears_changes_the_stamps_and_what_is_written_beside_it_does_not() {
        let home = tempfile::tempdir().expect("a directory");
        let output = format!("open() \"{}\" failed", home.path().join("log/access.log").display());
        let look = || FailureDependencies::observe(Some(&home.path().join("pid")), &output, 0);
        let nothing = look();
        assert_eq!(nothing, look());
        fs::create_dir(home.path().join("log")).expect("it is ours");
        let directory = look();
        assert_ne!(nothing, directory);
        fs::write(home.path().join("log/other"), "x").expect("it is ours");
        assert_eq!(directory, look());
        fs::write(home.path().join("log/access.log"), "x").expect("it is ours");
        assert_ne!(directory, look());
        let before = look();
        fs::write(home.path().join("pid"), "7\n").expect("it is ours");
        assert_ne!(before, look());
    }

    #[test]
    fn what_may_mend_a_complaint_is_a_file_that_appears_or_another_process() {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).expect("it is ours");
        write("pid", "7\n");
        write("conf", "x");
        let log = at("log/deep/access.log").display().to_string();
        let look = || {
            RecoveryTriggers::from_error(
                Some(&at("pid")),
                &format!("open() \"{log}\" failed in {}:1", at("conf").display()),
            )
        };
        let before = look();
        fs::create_dir(at("log")).expect("it is ours");
        write("conf", "y");
        write("pid", "");
        assert_eq!(before.triggered_by(), None, "the log cannot be made yet, and the program has only ended");
        fs::create_dir(at("log/deep")).expect("it is ours");
        assert_eq!(before.triggered_by(), Some(format!("{} exists now", at("log/deep").display())));
        write("pid", "7\n");
        let before = look();
        assert_eq!(before.triggered_by(), None);
        fs::write(&log, "").expect("it is ours");
        assert_eq!(before.triggered_by(), Some(format!("{log} exists now")));
        let before = look();
        write("pid", "8\n");
        assert_eq!(before.triggered_by(), Some("the program was restarted".to_owned()));
        assert!(RecoveryTriggers::from_error(None, "it is too long").is_empty());
    }
}
