//! Temporary files, and the removal of those that a killed process left behind.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path};

use tempfile::{Builder, NamedTempFile};

/// Creates an empty file that only this user can read. It is removed when the value is dropped. Write to it with
/// `as_file`, whose errors do not contain the random name: the same problem must have the same text at each attempt.
///
/// # Errors
/// Those of `open`.
pub(crate) fn create(builder: &Builder<'_, '_>, directory: &Path) -> io::Result<NamedTempFile> {
    builder
        .make_in(directory, |path| fs::File::options().read(true).write(true).create_new(true).mode(0o600).open(path))
}

/// Removes a temporary file or directory of a process that was killed.
pub(crate) fn remove_leftover(path: &Path) {
    // Twice: a program that the process had started may add a file to the directory in the meantime.
    let remove = || if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match remove().or_else(|_| remove()) {
        Ok(()) => tracing::info!("{}: a leftover of a killed run, removed", path.display()),
        Err(error) => tracing::warn!("{}: a leftover that cannot be removed: {error}", path.display()),
    }
}

/// Returns when all renames and removals in the directory are on the disk.
///
/// # Errors
/// Those of `open` and `fsync`.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_problem_has_the_same_text() {
        let directory = tempfile::tempdir().expect("a directory");
        let problem = |directory: &Path| create(&Builder::new(), directory).expect_err("it fails").to_string();
        let none = directory.path().join("none");
        assert_eq!(problem(&none), problem(&none));
        create(&Builder::new(), directory.path()).expect("it can be made");
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
    }
}
