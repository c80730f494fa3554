//! What can go wrong with a destination.

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
    /// A symlink where the settings want none.
    #[error("{}: is a symlink, and `symlinks = \"refuse\"` is set for it", .0.display())]
    Symlink(PathBuf),
    /// Two destinations are one file.
    #[error("{} and {} are the same file", one.display(), other.display())]
    SameFile {
        /// A destination.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
    /// It is a directory, a device or the like.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It was to be put back, but what was saved is not there.
    #[error("{}: its former content is lost", .0.display())]
    FormerLost(PathBuf),
    /// It was to be put back, but what was saved cannot be read now.
    #[error("{}: its former content cannot be read", path.display())]
    FormerUnreadable {
        /// The destination.
        path: PathBuf,
        /// Why not.
        source: StateError,
    },
    /// The file system is full, or a quota is used up.
    #[error("{}: no space left for it", path.display())]
    Full {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// We may not do that there.
    #[error(
        "{}: may not be {action} by user {}; its directory has to be writable, since new content is written beside a file \
         and renamed over it",
        path.display(),
        geteuid()
    )]
    PermissionDenied {
        /// What was tried.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that nobody may replace, or not we.
    #[error(
        "{}: may not be {action} by user {}; it or its directory is immutable or append-only (`lsattr` shows that), or it \
         belongs to another user in a directory with the sticky bit",
        path.display(),
        geteuid()
    )]
    Immutable {
        /// What was tried.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody can write there.
    #[error("{}: cannot be {action}; its file system is mounted read-only", path.display())]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{}: cannot be {action}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The action that needs no permission to write.
pub(super) const READ_ACTION: &str = "read";

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { action, path, source },
            _ if source.raw_os_error() == Some(Errno::EPERM as i32) => Self::Immutable { action, path, source },
            // To read asks for nothing of the directory but to be let in.
            io::ErrorKind::PermissionDenied if action != READ_ACTION => Self::PermissionDenied { action, path, source },
            io::ErrorKind::NotFound => Self::NoDirectory(path),
            _ => Self::Io { action, path, source },
        }
    }
}
