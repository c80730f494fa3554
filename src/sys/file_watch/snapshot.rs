//! One look at everything that is watched: what is in the files, and which directories tell of the next change.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use super::{
    WatchedPath,
    path_resolution::{self, resolve_links},
};

/// A file may be written twice within one tick of its file system's clock: its time of change says something only when
/// it is older than that. NFS and FAT count in seconds.
const TICK: Duration = Duration::from_secs(3);

/// Larger files are compared by size and times, not by content.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Which entries of which directories tell of a change; the directories are without links in their paths.
pub(super) type WatchedDirs = BTreeMap<PathBuf, WatchedDir>;

/// One directory on the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedDir {
    /// Device and inode: another directory may take the same name.
    pub(super) identity: Option<(u64, u64)>,
    pub(super) names: WatchedNames,
}

/// Some entries of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchedNames {
    All,
    These(BTreeSet<OsString>),
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct FileSnapshot {
    seen: BTreeMap<SnapshotItem, ReadFile>,
    pub(super) route: WatchedDirs,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SnapshotItem {
    Content(PathBuf),
    Place(PathBuf),
}

/// A content, and what tells without reading that it is the same.
#[derive(Clone, Debug)]
struct ReadFile {
    content: ReadContent,
    stamp: Option<FileStamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReadContent {
    Absent,
    File([u8; 32]),
    Large(FileStamp),
    /// There is something, and it is no file.
    NoFile,
    Unreadable(io::ErrorKind),
    /// Where a [`Subject::Place`] really lies.
    At(PathBuf),
}

/// Device, inode, size, and the times of change of content and entry, in nanoseconds.
type FileStamp = (u64, u64, u64, i128, i128);

impl FileSnapshot {
    /// Looks now. What `before` has read, and what is the same by all signs, is not read again.
    pub(super) fn take(subjects: &[WatchedPath], before: &Self) -> Self {
        let mut look = Self::default();
        for subject in subjects {
            match subject {
                WatchedPath::File(path) => look.file(path, before),
                WatchedPath::RealPath(path) => {
                    let content = look.pass(path);
                    let content = fs::canonicalize(content).map_or(ReadContent::Absent, ReadContent::At);
                    look.seen.insert(SnapshotItem::Place(path.clone()), ReadFile { content, stamp: None });
                }
                WatchedPath::Directory { root, extension } => look.tree(root, extension, before, &mut BTreeSet::new()),
            }
        }
        for (directory, post) in &mut look.route {
            post.identity = fs::metadata(directory).ok().map(|found| (found.dev(), found.ino()));
        }
        look
    }

    /// The paths that are not as they were.
    pub(super) fn differences(&self, before: &Self) -> BTreeSet<PathBuf> {
        let content = |look: &Self, item| match look.seen.get(item) {
            Some(seen) if seen.content != ReadContent::Absent => Some(seen.content.clone()),
            _ => None,
        };
        let items: BTreeSet<_> = self.seen.keys().chain(before.seen.keys()).collect();
        let changed = items.into_iter().filter(|item| content(self, *item) != content(before, *item));
        changed.map(|(SnapshotItem::Content(path) | SnapshotItem::Place(path))| path.clone()).collect()
    }

    fn file(&mut self, path: &Path, before: &Self) {
        let end = self.pass(path);
        let item = SnapshotItem::Content(path.to_owned());
        let known = before.seen.get(&item);
        self.seen.insert(item, read(&end, known));
    }

    /// Every file below `root` with this extension that is not hidden. `above`: the directories that led here.
    fn tree(&mut self, root: &Path, extension: &str, before: &Self, above: &mut BTreeSet<PathBuf>) {
        let end = self.pass(root);
        if above.contains(&end) {
            return;
        }
        let entries = match fs::read_dir(&end) {
            Ok(entries) => entries,
            Err(error) => {
                let content =
                    if is_absent(&error) { ReadContent::Absent } else { ReadContent::Unreadable(error.kind()) };
                self.seen.insert(SnapshotItem::Content(root.to_owned()), ReadFile { content, stamp: None });
                return;
            }
        };
        self.route.insert(end.clone(), WatchedDir { identity: None, names: WatchedNames::All });
        above.insert(end.clone());
        for name in entries.flatten().map(|entry| entry.file_name()) {
            let path = root.join(&name);
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if path.is_dir() {
                self.tree(&path, extension, before, above);
            } else if path.extension() == Some(OsStr::new(extension)) {
                self.file(&path, before);
            }
        }
        above.remove(&end);
    }

    /// Notes the way to a path; where it ends.
    fn pass(&mut self, path: &Path) -> PathBuf {
        let way = resolve_links(path, path_resolution::read_entry);
        for (directory, name) in way.steps {
            let post = self.route.entry(directory);
            let post =
                post.or_insert_with(|| WatchedDir { identity: None, names: WatchedNames::These(BTreeSet::new()) });
            if let WatchedNames::These(names) = &mut post.names {
                names.insert(name);
            }
        }
        way.end
    }
}

fn read(path: &Path, known: Option<&ReadFile>) -> ReadFile {
    let unread = |content| ReadFile { content, stamp: None };
    let failed = |error: io::Error| {
        unread(if is_absent(&error) { ReadContent::Absent } else { ReadContent::Unreadable(error.kind()) })
    };
    let found = match fs::metadata(path) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return unread(ReadContent::NoFile),
        Err(error) => return failed(error),
    };
    let stamp = stamp(&found);
    if let Some(known) = known.filter(|known| known.stamp == Some(stamp)) {
        return known.clone();
    }
    if found.len() > LARGEST {
        return unread(ReadContent::Large(stamp));
    }
    match open(path).and_then(|file| digest(&file)) {
        Ok(digest) => ReadFile { content: ReadContent::File(digest), stamp: has_rested(&found).then_some(stamp) },
        Err(error) => failed(error),
    }
}

/// Opens for reading; does not wait for a writer, should it have become a pipe.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    fs::File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

fn digest(file: &fs::File) -> io::Result<[u8; 32]> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).into())
}

fn stamp(found: &fs::Metadata) -> FileStamp {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    let modified = nanoseconds(found.mtime(), found.mtime_nsec());
    (found.dev(), found.ino(), found.size(), modified, nanoseconds(found.ctime(), found.ctime_nsec()))
}

fn has_rested(found: &fs::Metadata) -> bool {
    let changed = u64::try_from(found.ctime()).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
    SystemTime::now().duration_since(changed).is_ok_and(|age| age > TICK)
}

/// There is no such file, also because something on the way is none that has entries.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
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
            fs::create_dir_all(self.path(name).parent().expect("below the bench")).expect("a directory");
            fs::write(self.path(name), text).expect("a file");
        }

        fn changed(&self, subject: &WatchedPath, by: impl FnOnce()) -> Vec<String> {
            let subjects = [subject.clone()];
            let before = FileSnapshot::take(&subjects, &FileSnapshot::default());
            by();
            let changed = FileSnapshot::take(&subjects, &before).differences(&before).into_iter();
            let name = |path: PathBuf| path.strip_prefix(self.path("")).expect("below").display().to_string();
            changed.map(name).collect()
        }
    }

    #[test]
    fn a_file_is_its_content() {
        let bench = SnapshotTest::new();
        let file = WatchedPath::File(bench.path("a"));
        assert_eq!(bench.changed(&file, || bench.write("a", "1")), ["a"]);
        assert_eq!(bench.changed(&file, || bench.write("a", "1")), [""; 0]);
        assert_eq!(bench.changed(&file, || bench.write("a", "2")), ["a"], "of the same length, within a tick");
        assert_eq!(bench.changed(&file, || bench.write("b", "2")), [""; 0]);
        let rename = || fs::rename(bench.path("b"), bench.path("a")).expect("a file");
        assert_eq!(bench.changed(&file, rename), [""; 0], "another file with the same content");
        assert_eq!(bench.changed(&file, || fs::remove_file(bench.path("a")).expect("a file")), ["a"]);
        assert_eq!(bench.changed(&file, || fs::create_dir(bench.path("a")).expect("a directory")), ["a"]);
    }

    #[test]
    fn an_old_file_is_read_when_its_stamp_differs_and_only_then() {
        let bench = SnapshotTest::new();
        bench.write("a", "1");
        let content = |text: &str| ReadContent::File(Sha256::digest(text).into());
        let found = || fs::metadata(bench.path("a")).expect("it is there");
        let known = ReadFile { content: content("0"), stamp: Some(stamp(&found())) };
        assert_eq!(read(&bench.path("a"), Some(&known)).content, content("0"));
        bench.write("a", "12");
        let seen = read(&bench.path("a"), Some(&known));
        assert_eq!((seen.content, seen.stamp), (content("12"), None), "it has not rested");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_state_of_its_own() {
        let bench = SnapshotTest::new();
        bench.write("a", "1");
        let ring = || {
            fs::remove_file(bench.path("a")).expect("a file");
            symlink("a", bench.path("a")).expect("a link");
        };
        assert_eq!(bench.changed(&WatchedPath::File(bench.path("a")), ring), ["a"]);
        assert_eq!(bench.changed(&WatchedPath::File(bench.path("a")), || ()), [""; 0]);
        let remove = || fs::remove_file(bench.path("a")).expect("a link");
        assert_eq!(bench.changed(&WatchedPath::File(bench.path("a")), remove), ["a"]);
    }

    #[test]
    fn a_tree_is_its_files_of_one_kind() {
        let bench = SnapshotTest::new();
        bench.write("p/a.hbs", "1");
        bench.write("p/deep/er/b.hbs", "2");
        let tree = WatchedPath::Directory { root: bench.path("p"), extension: "hbs".into() };
        assert_eq!(bench.changed(&tree, || bench.write("p/deep/c.hbs", "3")), ["p/deep/c.hbs"]);
        assert_eq!(bench.changed(&tree, || bench.write("p/deep/er/b.hbs", "")), ["p/deep/er/b.hbs"]);
        assert_eq!(bench.changed(&tree, || bench.write("p/.a.hbs.swp", "")), [""; 0]);
        assert_eq!(bench.changed(&tree, || bench.write("p/notes.txt", "")), [""; 0]);
        symlink(bench.path("p"), bench.path("p/deep/ring")).expect("a link");
        assert_eq!(bench.changed(&tree, || fs::remove_dir_all(bench.path("p")).expect("ours")).len(), 3);
        assert_eq!(bench.changed(&tree, || bench.write("p/d.hbs", "4")), ["p/d.hbs"]);
    }

    #[test]
    fn a_place_is_where_it_really_lies() {
        let bench = SnapshotTest::new();
        bench.write("v1/a", "1");
        bench.write("v2/a", "1");
        let swap = |target: &str| {
            symlink(target, bench.path("new")).expect("a link");
            fs::rename(bench.path("new"), bench.path("now")).expect("a link");
        };
        swap("v1");
        assert_eq!(bench.changed(&WatchedPath::RealPath(bench.path("now/a")), || swap("v2")), ["now/a"]);
        assert_eq!(bench.changed(&WatchedPath::File(bench.path("now/a")), || swap("v1")), [""; 0]);
    }

    #[test]
    fn the_route_leads_over_every_link_and_the_whole_tree() {
        let bench = SnapshotTest::new();
        bench.write("t/..1/a", "1");
        symlink("..1", bench.path("t/..data")).expect("a link");
        symlink("..data/a", bench.path("t/a")).expect("a link");
        bench.write("p/deep/b.hbs", "");
        let tree = WatchedPath::Directory { root: bench.path("p"), extension: "hbs".into() };
        let look = FileSnapshot::take(&[WatchedPath::File(bench.path("t/a")), tree], &FileSnapshot::default());
        let these = |names: &[&str]| WatchedNames::These(names.iter().map(OsString::from).collect());
        let expected = [
            ("", these(&["p"])),
            ("p", WatchedNames::All),
            ("p/deep", WatchedNames::All),
            ("t", these(&["..data", "a"])),
            ("t/..1", these(&["a"])),
        ];
        assert!(look.route.values().all(|post| post.identity.is_some()));
        let route: BTreeMap<_, _> = look.route.into_iter().map(|(path, post)| (path, post.names)).collect();
        assert_eq!(route, expected.into_iter().map(|(path, names)| (bench.path(path), names)).collect());
    }
}
