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
const MOST: usize = 16;

/// The longest pid file, in bytes.
const LONGEST: u64 = 4096;

/// As it was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps {
    /// What the pid file says.
    master: Option<String>,
    files: BTreeMap<PathBuf, Stamp>,
    /// How often files of targets with the same program were changed.
    pub(super) changes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// Neither it nor its directory is there.
    Nowhere,
    Absent,
    /// Its content does not count: names in it come and go.
    Directory,
    /// Inode, size, and time of change with its nanoseconds.
    File(u64, u64, i64, i64),
}

impl Stamps {
    /// Blocks for a moment. `output`: what the program has said.
    pub(super) fn look(pid_file: Option<&Path>, output: &str, changes: u64) -> Self {
        let files = paths(output).into_iter().map(|path| (path.to_owned(), Stamp::of(path)));
        Self { master: pid_file.and_then(master), files: files.collect(), changes }
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Self::Directory,
            Ok(metadata) => Self::File(metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()),
            Err(_) if path.parent().is_some_and(Path::is_dir) => Self::Absent,
            Err(_) => Self::Nowhere,
        }
    }
}

/// What may change the result of a check although its input stays the same: the files that the error names and that do not
/// exist, and a restart of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remedies {
    pid_file: Option<PathBuf>,
    stamps: Stamps,
}

impl Remedies {
    pub(crate) fn of(pid_file: Option<&Path>, complaint: &str) -> Self {
        let mut stamps = Stamps::look(pid_file, complaint, 0);
        stamps.files.retain(|_, stamp| matches!(stamp, Stamp::Nowhere | Stamp::Absent));
        Self { pid_file: pid_file.map(Path::to_owned), stamps }
    }

    /// Whether there is nothing that could change.
    pub(crate) fn is_empty(&self) -> bool {
        self.pid_file.is_none() && self.stamps.files.is_empty()
    }

    /// What has changed, for the log; `None` if nothing has.
    pub(crate) fn found(&self) -> Option<String> {
        let mut files = self.stamps.files.iter().map(|(path, before)| (path, *before, Stamp::of(path)));
        if let Some((path, _, now)) = files.find(|(_, before, now)| before != now && *now != Stamp::Nowhere) {
            let there = if now == Stamp::Absent { path.parent().unwrap_or(path) } else { path };
            return Some(format!("{} exists now", there.display()));
        }
        let master = self.pid_file.as_deref().and_then(master)?;
        (self.stamps.master.as_ref() != Some(&master)).then(|| "the program was restarted".to_owned())
    }
}

/// The pid in the file; `None` if there is none.
fn master(pid_file: &Path) -> Option<String> {
    regular_file::read_text(pid_file, LONGEST).ok().filter(|pid| !pid.trim().is_empty())
}

/// The absolute paths in a message. Pure.
fn paths(output: &str) -> Vec<&Path> {
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
    paths.truncate(MOST);
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
            let found = paths(output);
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
        let look = || Stamps::look(Some(&home.path().join("pid")), &output, 0);
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
        let look = || Remedies::of(Some(&at("pid")), &format!("open() \"{log}\" failed in {}:1", at("conf").display()));
        let before = look();
        fs::create_dir(at("log")).expect("it is ours");
        write("conf", "y");
        write("pid", "");
        assert_eq!(before.found(), None, "the log cannot be made yet, and the program has only ended");
        fs::create_dir(at("log/deep")).expect("it is ours");
        assert_eq!(before.found(), Some(format!("{} exists now", at("log/deep").display())));
        write("pid", "7\n");
        let before = look();
        assert_eq!(before.found(), None);
        fs::write(&log, "").expect("it is ours");
        assert_eq!(before.found(), Some(format!("{log} exists now")));
        let before = look();
        write("pid", "8\n");
        assert_eq!(before.found(), Some("the program was restarted".to_owned()));
        assert!(Remedies::of(None, "it is too long").is_empty());
    }
}
