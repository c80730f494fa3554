//! The directory whose files templates may read with `file`.

use std::{
    fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use crate::{
    registry::FileContent,
    sys::{file_watch::WatchedPath, path_resolver::resolve, regular_file},
};

/// The maximum size of a file, in bytes.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// The directory of `[render] files`. `None`: no file may be read.
#[derive(Clone, Debug)]
pub(super) struct FileRoot(Option<PathBuf>);

impl FileRoot {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        // If the current directory is gone, the path stays relative, and each read fails with its own error.
        Self(directory.map(|directory| std::path::absolute(&directory).unwrap_or(directory)))
    }

    /// The paths that the result of [`read`](Self::read) depends on.
    pub(super) fn watched_paths(&self, path: &Path) -> Vec<WatchedPath> {
        let Some(directory) = &self.0 else { return Vec::new() };
        let path = directory.join(path);
        vec![WatchedPath::File(path.clone()), WatchedPath::RealPath(path), WatchedPath::RealPath(directory.clone())]
    }

    /// Reads a file. A relative path is below the directory.
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
        let content = resolve(&path).and_then(|real| {
            if !real.starts_with(&root) {
                return Ok(outside());
            }
            let file = regular_file::open(&real)?;
            // A symlink may have been replaced since the path was resolved.
            if !fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?.starts_with(&root) {
                return Ok(outside());
            }
            regular_file::read_open_text(&file, MAX_FILE_SIZE).map(FileContent::Text)
        });
        match content {
            Ok(content) => content,
            Err(error) if regular_file::is_absent(&error) => FileContent::Missing,
            Err(error) => FileContent::Refused(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct FileRootTest {
        folder: tempfile::TempDir,
        root: FileRoot,
    }

    impl FileRootTest {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a directory");
            fs::create_dir_all(folder.path().join("files/sub")).expect("a directory");
            fs::create_dir(folder.path().join("files-too")).expect("a directory");
            for (name, text) in [("secret", "s"), ("files-too/b", "b"), ("files/a", "ä"), ("files/sub/c", "c")] {
                fs::write(folder.path().join(name), text).expect("a file");
            }
            let root = FileRoot::new(Some(folder.path().join("files")));
            Self { folder, root }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Reads `path`. In reasons, the temporary directory is replaced by `~`.
        fn read(&self, path: impl AsRef<Path>) -> FileContent {
            match self.root.read(path.as_ref()) {
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
    fn files_in_the_directory_are_read() {
        let test = FileRootTest::new();
        symlink("../a", test.path("files/sub/link")).expect("a link");
        symlink(test.path("files"), test.path("other")).expect("a link");
        assert_eq!(test.read("a"), text("ä"));
        assert_eq!(test.read(test.path("files/a")), text("ä"));
        assert_eq!(test.read(test.path("other/sub/../sub/link")), text("ä"));
        assert_eq!(test.read("sub/c"), text("c"));
        assert_eq!(test.read("nope/x"), FileContent::Missing);
        assert_eq!(test.read("a/x"), FileContent::Missing);
    }

    #[test]
    fn other_files_are_refused() {
        let test = FileRootTest::new();
        symlink("../../secret", test.path("files/sub/out")).expect("a link");
        symlink("/", test.path("files/root")).expect("a link");
        symlink("../secret-nope", test.path("files/dangling")).expect("a link");
        let outside = refused("it lies outside of ~/files");
        let absolute = ["files/../secret", "files-too/b", "secret", "nope", "files/root/etc/passwd"];
        for path in absolute.map(|path| test.path(path)) {
            assert_eq!(test.read(&path), outside, "{}", path.display());
        }
        for path in ["../secret", "sub/out", "root/etc/passwd", "dangling", "..", "/etc/passwd", "/"] {
            assert_eq!(test.read(path), outside, "{path}");
        }
    }

    #[test]
    fn unsuitable_files_are_refused_with_the_reason() {
        let test = FileRootTest::new();
        let write = |bytes: &[u8]| fs::write(test.path("files/a"), bytes).expect("a file");
        write(&[b'x'; 1024 * 1024]);
        assert_eq!(test.read("a"), text(&"x".repeat(1024 * 1024)));
        write(&[b'x'; 1024 * 1024 + 1]);
        assert_eq!(test.read("a"), refused("it is larger than 1 MiB"));
        write(b"ab\xff");
        assert_eq!(test.read("a"), refused("it is not UTF-8 text, from byte 3 on"));
        assert_eq!(test.read("sub"), refused("it is a directory"));
        assert_eq!(test.read(""), refused("it is a directory"));
        nix::unistd::mkfifo(&test.path("files/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        assert_eq!(test.read("pipe"), refused("it is not a regular file"));
        symlink("cycle", test.path("files/cycle")).expect("a link");
        assert!(matches!(test.read("cycle"), FileContent::Refused(_)));
    }

    #[test]
    fn without_a_directory_no_file_is_read() {
        let test = FileRootTest::new();
        let FileContent::Refused(reason) = FileRoot::new(None).read(&test.path("files/a")) else { panic!("refused") };
        assert!(reason.contains("--files"), "{reason}");
        fs::remove_dir_all(test.path("files")).expect("ours");
        let FileContent::Refused(reason) = test.read("a") else { panic!("refused") };
        assert!(reason.starts_with("the directory ~/files: No such file"), "{reason}");
    }
}
