//! What a failure may depend on besides the files that the check reads: the running process, the files that an error
//! message names, and the files of other targets.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::running_process::read_pid_file;
use crate::sys::blocking::blocking;

/// How many paths of one message are inspected.
const MAX_PATHS: usize = 16;

/// The state of these dependencies at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureDependencies {
    /// The content of the pid file.
    pid: Option<String>,
    files: BTreeMap<PathBuf, PathState>,
    change_count: u64,
}

/// The dependencies that no error message names.
#[derive(Debug)]
pub(super) struct DependencySource {
    pub(super) pid_file: Option<PathBuf>,
    /// How often files of targets with the same program were changed.
    pub(super) change_count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathState {
    /// Neither the path nor its directory exists.
    NoDirectory,
    Absent,
    /// Changes in the directory are ignored.
    Directory,
    /// Inode, size, and time of change in seconds and nanoseconds.
    File(u64, u64, i64, i64),
}

impl FailureDependencies {
    /// Accesses the disk. `output`: the error message.
    fn observe(pid_file: Option<&Path>, output: &str, change_count: u64) -> Self {
        let files = mentioned_paths(output).into_iter().map(|path| (path.to_owned(), PathState::of(path)));
        Self { pid: pid_file.and_then(read_pid), files: files.collect(), change_count }
    }
}

impl DependencySource {
    /// The dependencies of a failure with this error message.
    pub(super) async fn observe(self, output: &str) -> FailureDependencies {
        let output = output.to_owned();
        blocking(move || FailureDependencies::observe(self.pid_file.as_deref(), &output, self.change_count)).await
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

/// What may change the result of a check although its input stays the same: a missing file that the error message names
/// may appear, and the program may be restarted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveryTriggers {
    pid_file: Option<PathBuf>,
    dependencies: FailureDependencies,
}

impl RecoveryTriggers {
    pub(crate) fn from_error(pid_file: Option<&Path>, output: &str) -> Self {
        let mut dependencies = FailureDependencies::observe(pid_file, output, 0);
        dependencies.files.retain(|_, state| matches!(state, PathState::NoDirectory | PathState::Absent));
        Self { pid_file: pid_file.map(Path::to_owned), dependencies }
    }

    /// Whether no change can be noticed.
    pub(crate) fn is_empty(&self) -> bool {
        self.pid_file.is_none() && self.dependencies.files.is_empty()
    }

    /// What has changed, for the log; `None` if there was no change.
    pub(crate) fn triggered_by(&self) -> Option<String> {
        let mut files = self.dependencies.files.iter().map(|(path, before)| (path, *before, PathState::of(path)));
        if let Some((path, _, now)) = files.find(|(_, before, now)| before != now && *now != PathState::NoDirectory) {
            let existing = if now == PathState::Absent { path.parent().unwrap_or(path) } else { path };
            return Some(format!("{} exists now", existing.display()));
        }
        let pid = self.pid_file.as_deref().and_then(read_pid)?;
        (self.dependencies.pid.as_ref() != Some(&pid)).then(|| "the program was restarted".to_owned())
    }
}

/// The content of a pid file; `None` if it is empty or cannot be read.
fn read_pid(pid_file: &Path) -> Option<String> {
    read_pid_file(pid_file).ok().filter(|pid| !pid.trim().is_empty())
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
    fn the_paths_in_an_error_message() {
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
    fn a_new_path_changes_the_dependencies_and_a_new_neighbour_does_not() {
        let home = tempfile::tempdir().expect("a directory");
        let output = format!("open() \"{}\" failed", home.path().join("log/access.log").display());
        let observe = || FailureDependencies::observe(Some(&home.path().join("pid")), &output, 0);
        let missing = observe();
        assert_eq!(missing, observe());
        fs::create_dir(home.path().join("log")).expect("it is ours");
        let directory = observe();
        assert_ne!(missing, directory);
        fs::write(home.path().join("log/other"), "x").expect("it is ours");
        assert_eq!(directory, observe());
        fs::write(home.path().join("log/access.log"), "x").expect("it is ours");
        assert_ne!(directory, observe());
        let before = observe();
        fs::write(home.path().join("pid"), "7\n").expect("it is ours");
        assert_ne!(before, observe());
    }

    #[test]
    fn a_new_file_or_another_process_may_resolve_an_error() {
        let home = tempfile::tempdir().expect("a directory");
        let at = |name: &str| home.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).expect("it is ours");
        write("pid", "7\n");
        write("conf", "x");
        let log = at("log/deep/access.log").display().to_string();
        let observe = || {
            RecoveryTriggers::from_error(
                Some(&at("pid")),
                &format!("open() \"{log}\" failed in {}:1", at("conf").display()),
            )
        };
        let before = observe();
        fs::create_dir(at("log")).expect("it is ours");
        write("conf", "y");
        write("pid", "");
        assert_eq!(before.triggered_by(), None, "the log cannot be made yet, and the program has only ended");
        fs::create_dir(at("log/deep")).expect("it is ours");
        assert_eq!(before.triggered_by(), Some(format!("{} exists now", at("log/deep").display())));
        write("pid", "7\n");
        let before = observe();
        assert_eq!(before.triggered_by(), None);
        fs::write(&log, "").expect("it is ours");
        assert_eq!(before.triggered_by(), Some(format!("{log} exists now")));
        let before = observe();
        write("pid", "8\n");
        assert_eq!(before.triggered_by(), Some("the program was restarted".to_owned()));
        assert!(RecoveryTriggers::from_error(None, "it is too long").is_empty());
    }
}
