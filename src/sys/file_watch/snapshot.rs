//! The content of everything that is watched, at one moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sha2::{Digest, Sha256};

use super::WatchedPath;
use crate::sys::regular_file::{self, is_absent};

/// What exists. The files of a [`WatchedPath::Directory`] are each a [`WatchedPath::File`].
pub(super) type FileSnapshot = BTreeMap<WatchedPath, Content>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Hash([u8; 32]),
    /// A file too large to be used, by its size and time of change.
    TooLarge(u64, SystemTime),
    Unreadable(io::ErrorKind),
    RealPath(PathBuf),
}

/// The paths whose content differs between two snapshots.
pub(super) fn differences(before: &FileSnapshot, after: &FileSnapshot) -> BTreeSet<PathBuf> {
    let keys = before.keys().chain(after.keys());
    keys.filter(|key| before.get(key) != after.get(key)).map(|key| key.path().to_owned()).collect()
}

impl WatchedPath {
    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::RealPath(path) | Self::Directory { root: path, .. } => path,
        }
    }
}

/// Everything about the watched paths except the contents of the files.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The directories in which an event may be a change.
    pub(super) directories: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
    snapshot: FileSnapshot,
}

impl Scan {
    pub(super) fn of(paths: &[WatchedPath]) -> Self {
        let mut scan = Self::default();
        for watched in paths {
            let path = watched.path();
            let real = fs::canonicalize(path).ok();
            scan.add_parents(path, real.as_deref());
            match (watched, real) {
                (WatchedPath::File(_), _) => scan.files.push(path.to_owned()),
                (WatchedPath::RealPath(_), Some(real)) => {
                    scan.snapshot.insert(watched.clone(), Content::RealPath(real));
                }
                (WatchedPath::RealPath(_), None) => {}
                (WatchedPath::Directory { extension, .. }, _) => scan.add_tree(path, extension, &mut Vec::new()),
            }
        }
        scan
    }

    /// The directory of a path, or the nearest one that exists, and the directory that a symlink leads to.
    fn add_parents(&mut self, path: &Path, real: Option<&Path>) {
        let existing = path.ancestors().skip(1).find(|directory| directory.is_dir());
        let directories = existing.into_iter().chain(real.and_then(Path::parent));
        self.directories.extend(directories.map(Path::to_owned));
    }

    /// `ancestors`: the real paths of the directories above `root`, since symlinks may form a loop.
    fn add_tree(&mut self, root: &Path, extension: &str, ancestors: &mut Vec<PathBuf>) {
        let listed = fs::canonicalize(root).and_then(|real| fs::read_dir(root).map(|entries| (real, entries)));
        let (real, entries) = match listed {
            Ok((real, _)) if ancestors.contains(&real) => return,
            Ok(listed) => listed,
            Err(error) => {
                if !is_absent(&error) {
                    self.snapshot.insert(WatchedPath::File(root.to_owned()), Content::Unreadable(error.kind()));
                }
                return;
            }
        };
        self.directories.insert(root.to_owned());
        ancestors.push(real);
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let path = root.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if path.is_dir() {
                self.add_tree(&path, extension, ancestors);
            } else if path.extension() == Some(OsStr::new(extension)) {
                self.add_parents(&path, fs::canonicalize(&path).ok().as_deref());
                self.files.push(path);
            }
        }
        ancestors.pop();
    }

    /// Reads the files.
    pub(super) fn read(self) -> FileSnapshot {
        let Self { files, mut snapshot, .. } = self;
        snapshot.extend(
            files
                .into_iter()
                .filter_map(|path| Some((read(&path)?, path)))
                .map(|(content, path)| (WatchedPath::File(path), content)),
        );
        snapshot
    }
}

/// `None` if there is no such file.
fn read(path: &Path) -> Option<Content> {
    let content = regular_file::open(path).and_then(|file| {
        let metadata = file.metadata()?;
        if metadata.len() > regular_file::MAX_BYTES {
            return Ok(Content::TooLarge(metadata.len(), metadata.modified()?));
        }
        let mut bytes = Vec::new();
        file.take(regular_file::MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(Content::Hash(Sha256::digest(&bytes).into()))
    });
    match content {
        Err(error) if is_absent(&error) => None,
        Err(error) => Some(Content::Unreadable(error.kind())),
        Ok(content) => Some(content),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct SnapshotTest(tempfile::TempDir);

    impl SnapshotTest {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a directory"))
        }

        fn path(&self, name: &str) -> PathBuf {
            fs::canonicalize(self.0.path()).expect("it is there").join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::create_dir_all(self.path(name).parent().expect("below the directory")).expect("a directory");
            fs::write(self.path(name), text).expect("a file");
        }

        fn changed(&self, watched: &WatchedPath, change: impl FnOnce()) -> Vec<String> {
            let snapshot = || Scan::of(std::slice::from_ref(watched)).read();
            let before = snapshot();
            change();
            let changed = differences(&before, &snapshot()).into_iter();
            let name = |path: PathBuf| path.strip_prefix(self.path("")).expect("below").display().to_string();
            changed.map(name).collect()
        }
    }

    #[test]
    fn a_file_is_compared_by_its_content() {
        let test = SnapshotTest::new();
        let file = WatchedPath::File(test.path("a"));
        assert_eq!(test.changed(&file, || test.write("a", "1")), ["a"]);
        assert_eq!(test.changed(&file, || test.write("a", "1")), [""; 0]);
        assert_eq!(test.changed(&file, || test.write("a", "2")), ["a"], "of the same length, at the same time");
        assert_eq!(test.changed(&file, || test.write("b", "2")), [""; 0]);
        let rename = || fs::rename(test.path("b"), test.path("a")).expect("a file");
        assert_eq!(test.changed(&file, rename), [""; 0], "another file with the same content");
        assert_eq!(test.changed(&file, || fs::remove_file(test.path("a")).expect("a file")), ["a"]);
        assert_eq!(test.changed(&file, || fs::create_dir(test.path("a")).expect("a directory")), ["a"]);
    }

    #[test]
    fn an_old_file_is_read_anew() {
        let test = SnapshotTest::new();
        test.write("a", "1");
        let file = WatchedPath::File(test.path("a"));
        let long_ago = SystemTime::UNIX_EPOCH;
        let set_time = || fs::File::open(test.path("a")).and_then(|file| file.set_modified(long_ago)).expect("ours");
        set_time();
        let rewrite = || {
            test.write("a", "2");
            set_time();
        };
        assert_eq!(test.changed(&file, rewrite), ["a"], "of the same length, with the same time");
    }

    #[test]
    fn an_unreadable_file_differs_from_a_readable_and_from_an_absent_one() {
        let test = SnapshotTest::new();
        test.write("a", "1");
        let loop_ = || {
            fs::remove_file(test.path("a")).expect("a file");
            symlink("a", test.path("a")).expect("a link");
        };
        assert_eq!(test.changed(&WatchedPath::File(test.path("a")), loop_), ["a"]);
        assert_eq!(test.changed(&WatchedPath::File(test.path("a")), || ()), [""; 0]);
        let remove = || fs::remove_file(test.path("a")).expect("a link");
        assert_eq!(test.changed(&WatchedPath::File(test.path("a")), remove), ["a"]);
    }

    #[test]
    fn a_directory_is_its_files_with_the_extension() {
        let test = SnapshotTest::new();
        test.write("p/a.hbs", "1");
        test.write("p/deep/er/b.hbs", "2");
        let tree = WatchedPath::Directory { root: test.path("p"), extension: "hbs".into() };
        assert_eq!(test.changed(&tree, || test.write("p/deep/c.hbs", "3")), ["p/deep/c.hbs"]);
        assert_eq!(test.changed(&tree, || test.write("p/deep/er/b.hbs", "")), ["p/deep/er/b.hbs"]);
        assert_eq!(test.changed(&tree, || test.write("p/.a.hbs.swp", "")), [""; 0]);
        assert_eq!(test.changed(&tree, || test.write("p/notes.txt", "")), [""; 0]);
        symlink(test.path("p"), test.path("p/deep/loop")).expect("a link");
        assert_eq!(test.changed(&tree, || fs::remove_dir_all(test.path("p")).expect("ours")).len(), 3);
        assert_eq!(test.changed(&tree, || test.write("p/d.hbs", "4")), ["p/d.hbs"]);
    }

    #[test]
    fn a_real_path_changes_with_a_symlink_and_a_content_does_not() {
        let test = SnapshotTest::new();
        test.write("v1/a", "1");
        test.write("v2/a", "1");
        let swap = |target: &str| {
            symlink(target, test.path("new")).expect("a link");
            fs::rename(test.path("new"), test.path("now")).expect("a link");
        };
        swap("v1");
        assert_eq!(test.changed(&WatchedPath::RealPath(test.path("now/a")), || swap("v2")), ["now/a"]);
        assert_eq!(test.changed(&WatchedPath::File(test.path("now/a")), || swap("v1")), [""; 0]);
    }

    #[test]
    fn the_directory_of_a_path_and_of_its_real_path_are_watched_and_every_directory_of_a_tree() {
        let test = SnapshotTest::new();
        test.write("t/..1/a", "1");
        symlink("..1", test.path("t/..data")).expect("a link");
        symlink("..data/a", test.path("t/a")).expect("a link");
        test.write("p/deep/b.hbs", "");
        let tree = WatchedPath::Directory { root: test.path("p"), extension: "hbs".into() };
        let scan =
            Scan::of(&[WatchedPath::File(test.path("t/a")), tree, WatchedPath::File(test.path("none/of/these"))]);
        let expected = ["", "p", "p/deep", "t", "t/..1"].map(|name| test.path(name));
        let trim = |path: PathBuf| path.components().collect::<PathBuf>();
        assert_eq!(scan.directories, expected.into_iter().map(trim).collect());
    }
}
