//! Why the state directory cannot be used.

use std::{io, path::PathBuf};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no default path.
    #[error("no state directory: neither XDG_STATE_HOME nor HOME is an absolute path; name one with --state-dir")]
    NoDefaultPath,
    /// Another process holds the lock.
    #[error(
        "state directory {}: in use by process {holder}; stop that one, or name another with --state-dir",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The pid that the other process wrote into the lock file.
        holder: String,
    },
    /// A write to a directory that was opened with [`super::StateDir::open_read_only`].
    #[error("{}: the state directory was opened read-only", .0.display())]
    ReadOnly(PathBuf),
    /// A value that cannot be encoded.
    #[error("{}: cannot be encoded", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An error of the file system.
    #[error("state directory: cannot {action} {}{}", path.display(), advice(source))]
    Io {
        /// The action that failed, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// What to do about an error of the file system.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room there, or name another with --state-dir"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "; let this user write there, or name another with --state-dir"
        }
        _ => "",
    }
}
