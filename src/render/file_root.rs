//! The directory whose files templates may read, and nothing outside of it.

use std::{
    fs, io,
    io::Read,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use crate::{
    registry::FileContent,
    sys::file_watch::{WatchedPath, is_absent, open, read_entry, resolve_links},
};

/// What a template can sensibly take in, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The directory that `[render] files` names, if it does.
#[derive(Clone, Debug)]
pub(super) struct FileRoot(Option<PathBuf>);

impl FileRoot {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        // Where there is no current directory there is nothing to read below it either, and reading says so.
        Self(directory.map(|directory| std::path::absolute(&directory).unwrap_or(directory)))
    }

    /// What [`Self::read`] depends on.
    pub(super) fn watched_paths(&self, path: &Path) -> Vec<WatchedPath> {
        let Some(directory) = &self.0 else { return Vec::new() };
        let path = directory.join(path);
        vec![WatchedPath::File(path.clone()), WatchedPath::RealPath(path), WatchedPath::RealPath(directory.clone())]
    }

    /// The content of a file; a relative path is one in the directory.
    pub(super) fn read(&self, path: &Path) -> FileContent {
        let Some(directory) = &self.0 else {
            return FileContent::Refused(
                "no file may be read: name a directory for that, as `files` in [render] or with --files".to_owned(),
            );
        };
        let path = directory.join(path);
        let root = match fs::canonicalize(directory) {
            Ok(root) => root,
            Err(error) => return FileContent::Refused(format!("the directory {}: {error}", directory.display())),
        };
        let outside = || FileContent::Refused(format!("it lies outside of {}", directory.display()));
        let end = resolve_links(&path, read_entry).end;
        if !end.starts_with(&root) {
            return outside();
        }
        match read_text(&end) {
            // A link may have been changed since the path was followed.
            Ok((at, _)) if !at.starts_with(&root) => outside(),
            Ok((_, text)) => FileContent::Text(text),
            Err(FileReadError::Io(error)) if is_absent(&error) => FileContent::Missing,
            Err(FileReadError::Io(error)) => FileContent::Refused(error.to_string()),
            Err(FileReadError::Unsuitable(reason)) => FileContent::Refused(reason),
        }
    }
}

/// Why there is no text.
enum FileReadError {
    Io(io::Error),
    Unsuitable(String),
}

impl From<io::Error> for FileReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where the file really lies that was read, and its text.
fn read_text(path: &Path) -> Result<(PathBuf, String), FileReadError> {
    let unfit = |reason: &str| Err(FileReadError::Unsuitable(reason.to_owned()));
    // To open a device may do something already.
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return unfit("it is a directory");
    }
    if !found.is_file() {
        return unfit("it is no regular file");
    }
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return unfit("it is no regular file");
    }
    let at = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return unfit("it is larger than 1 MiB");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((at, text)),
        Err(error) => unfit(&format!("it is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to() + 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct FileRootTest {
        folder: tempfile::TempDir,
        allowed: FileRoot,
    }

    impl FileRootTest {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a directory");
            fs::create_dir_all(folder.path().join("files/sub")).expect("a directory");
            fs::create_dir(folder.path().join("files-too")).expect("a directory");
            for (name, text) in [("secret", "s"), ("files-too/b", "b"), ("files/a", "ä"), ("files/sub/c", "c")] {
                fs::write(folder.path().join(name), text).expect("a file");
            }
            let allowed = FileRoot::new(Some(folder.path().join("files")));
            Self { folder, allowed }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// What is read at `path`, with its start called `~`.
        fn read(&self, path: impl AsRef<Path>) -> FileContent {
            match self.allowed.read(path.as_ref()) {
                FileContent::Refused(reason) => {
                    FileContent::Refused(reason.replace(&self.folder.path().display().to_string(), "~"))
                }
                other => other,
            }
        }
    }

    fn text(text: &str) -> FileContent {
        FileContent::Text(text.to_owned())
    }

    fn refused(reason: &str) -> FileContent {
        FileContent::Refused(reason.to_owned())
    }

    #[test]
    fn what_lies_in_the_directory_is_read() {
        let bench = FileRootTest::new();
        symlink("../a", bench.path("files/sub/link")).expect("a link");
        symlink(bench.path("files"), bench.path("other")).expect("a link");
        assert_eq!(bench.read("a"), text("ä"));
        assert_eq!(bench.read(bench.path("files/a")), text("ä"));
        assert_eq!(bench.read(bench.path("other/sub/../sub/link")), text("ä"));
        assert_eq!(bench.read("sub/c"), text("c"));
        assert_eq!(bench.read("nope/x"), FileContent::Missing);
        assert_eq!(bench.read("a/x"), FileContent::Missing);
    }

    #[test]
    fn nothing_else_is() {
        let bench = FileRootTest::new();
        symlink("../../secret", bench.path("files/sub/out")).expect("a link");
        symlink("/", bench.path("files/root")).expect("a link");
        symlink("../secret-nope", bench.path("files/dangling")).expect("a link");
        let outside = refused("it lies outside of ~/files");
        let absolute = ["files/../secret", "files-too/b", "secret", "nope", "files/root/etc/passwd"];
        for path in absolute.map(|path| bench.path(path)) {
            assert_eq!(bench.read(&path), outside, "{}", path.display());
        }
        for path in ["../secret", "sub/out", "root/etc/passwd", "dangling", "..", "/etc/passwd", "/"] {
            assert_eq!(bench.read(path), outside, "{path}");
        }
    }

    #[test]
    fn what_is_no_text_says_what_it_is() {
        let bench = FileRootTest::new();
        let write = |bytes: &[u8]| fs::write(bench.path("files/a"), bytes).expect("a file");
        write(&[b'x'; 1024 * 1024]);
        assert_eq!(bench.read("a"), text(&"x".repeat(1024 * 1024)));
        write(&[b'x'; 1024 * 1024 + 1]);
        assert_eq!(bench.read("a"), refused("it is larger than 1 MiB"));
        write(b"ab\xff");
        assert_eq!(bench.read("a"), refused("it is not UTF-8 text, from byte 3 on"));
        assert_eq!(bench.read("sub"), refused("it is a directory"));
        assert_eq!(bench.read(""), refused("it is a directory"));
        nix::unistd::mkfifo(&bench.path("files/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(bench.read("pipe"), refused("it is no regular file"));
        symlink("ring", bench.path("files/ring")).expect("a link");
        assert!(matches!(bench.read("ring"), FileContent::Refused(_)));
    }

    #[test]
    fn without_a_directory_nothing_is_read() {
        let bench = FileRootTest::new();
        let FileContent::Refused(reason) = FileRoot::new(None).read(&bench.path("files/a")) else { panic!("refused") };
        assert!(reason.contains("--files"), "{reason}");
        fs::remove_dir_all(bench.path("files")).expect("ours");
        let FileContent::Refused(reason) = bench.read("a") else { panic!("refused") };
        assert!(reason.starts_with("the directory ~/files: No such file"), "{reason}");
    }
}
