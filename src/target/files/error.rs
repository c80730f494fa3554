//! What can go wrong with a destination.

use std::{
    io,
    path::{Path, PathBuf},
};

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
    Twice {
        /// A destination.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
    },
    /// It is a directory, a device or the like.
    #[error("{}: not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// It was to be put back, but what was saved cannot be read.
    #[error("{}: its former content is lost", .0.display())]
    Lost(PathBuf),
    /// The file system is full, or a quota is used up.
    #[error("{}: no space left for it", path.display())]
    Full {
        /// The destination.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// We may not write there.
    #[error("{}: may not be written", path.display())]
    Denied {
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

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied { path, source },
            io::ErrorKind::NotFound => Self::NoDirectory(path),
            _ => Self::Io { action, path, source },
        }
    }
}
