//! Errors of a destination.

use std::{
    io,
    path::{Path, PathBuf},
};

use nix::{errno::Errno, unistd::geteuid};

use crate::sys::state_dir::StateError;

/// Why a file cannot be read or replaced.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The directory is missing.
    #[error(
        "{}: the directory is missing; make it, with the owner and mode that it is to have, or set `create_dirs = true`",
        .0.display()
    )]
    NoDirectory(PathBuf),
    /// The destination is a symlink, and the settings refuse symlinks.
    #[error("{}: is a symlink, and `symlinks = \"refuse\"` is set for it", .0.display())]
    Symlink(PathBuf),
    /// Two destinations are one file.
    #[error("{} and {} are the same file", one.display(), other.display())]
    SameFile {
        /// One destination.
        one: PathBuf,
        /// The other destination.
        other: PathBuf,
    },
    /// It is a directory or a special file, such as a device.
    #[error("{}: it is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It cannot be restored: its former content is missing in the state directory.
    #[error("{}: its former content is lost", .0.display())]
    FormerLost(PathBuf),
    /// It cannot be restored: its former content cannot be read.
    #[error("{}: its former content cannot be read", path.display())]
    FormerUnreadable {
        /// The destination.
        path: PathBuf,
        /// The cause.
        source: StateError,
    },
    /// The file system is full, or a quota is used up.
    #[error("{}: no space left for it", path.display())]
    Full {
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The user of this process has no permission.
    #[error(
        "{}: may not be {action} by user {}; its directory has to be writable, since new content is written beside a file \
         and renamed over it",
        path.display(),
        geteuid()
    )]
    PermissionDenied {
        /// The operation that failed, as a participle.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file or its directory has an attribute that forbids the change, or the sticky bit does.
    #[error(
        "{}: may not be {action} by user {}; it or its directory is immutable or append-only (`lsattr` shows that), or it \
         belongs to another user in a directory with the sticky bit",
        path.display(),
        geteuid()
    )]
    Immutable {
        /// The operation that failed, as a participle.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("{}: cannot be {action}; its file system is mounted read-only", path.display())]
    ReadOnly {
        /// The operation that failed, as a participle.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another error.
    #[error("{}: cannot be {action}", path.display())]
    Io {
        /// The operation that failed, as a participle.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The only action that needs no permission to write.
pub(super) const READ_ACTION: &str = "read";

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path, source },
            _ if source.raw_os_error() == Some(Errno::EPERM as i32) => Self::Immutable { action, path, source },
            // Reading does not need a writable directory.
            io::ErrorKind::PermissionDenied if action != READ_ACTION => Self::PermissionDenied { action, path, source },
            io::ErrorKind::NotFound => Self::NoDirectory(path),
            _ => Self::Io { action, path, source },
        }
    }
}
