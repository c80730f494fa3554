//! What a failure may depend on besides the files that the check reads: the running process, files that the program has
//! complained about, and the files of other targets.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// So many paths in one message are looked at.
const MOST: usize = 16;

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
        let master = pid_file.and_then(|file| fs::read_to_string(file).ok()).filter(|pid| !pid.trim().is_empty());
        Self { master, files: files.collect(), changes }
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

/// The files that a message names and that do not exist: the failure may depend on them.
pub(crate) fn missing_files(output: &str) -> Vec<PathBuf> {
    paths(output).into_iter().filter(|path| !path.exists()).map(Path::to_owned).collect()
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
}
