//! The state directory: what must survive a restart.
//!
//! ```text
//! StateDir::open ──lock──► StateDir ──folder("targets", "edge")──► StateFolder: read, write, remove
//! ```
//!
//! One process at a time writes it. Each file is replaced as a whole, and has a version and a checksum. A file whose
//! content is corrupt is set aside with a warning and counts as absent. A file that cannot be read is an error: it may
//! be intact, and is read again at the next attempt.

mod error;
mod folder;

use std::{
    env, fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use self::error::advice;
pub use self::{error::StateError, folder::StateFolder};
use crate::sys::temp_file;

/// The prefix and suffix of the names of temporary files and directories.
const TEMPORARY_AFFIXES: (&str, &str) = (".portreeve-", ".tmp");

/// How long to wait for the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A state directory. It stays locked as long as this value or one of its folders exists.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    /// `None` if it was opened read-only.
    lock: Option<Arc<Flock<fs::File>>>,
}

impl StateDir {
    /// `/var/lib/portreeve` for root, else `$XDG_STATE_HOME/portreeve` or `~/.local/state/portreeve`.
    pub fn default_path() -> Result<PathBuf, StateError> {
        if nix::unistd::geteuid().is_root() {
            return Ok("/var/lib/portreeve".into());
        }
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        Ok(absolute("XDG_STATE_HOME").or_else(home).ok_or(StateError::NoDefaultPath)?.join("portreeve"))
    }

    /// Creates the directory if it is missing (only its owner can read it), and locks it.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        create_directory(path)?;
        let lock_path = path.join("lock");
        let failed = |source| StateError::Io { action: "lock", path: lock_path.clone(), source };
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed)?;
        let mut lock = match lock(file) {
            Ok(lock) => lock,
            Err(Errno::EWOULDBLOCK) => {
                let holder = fs::read_to_string(&lock_path).unwrap_or_default();
                let holder = Some(holder.trim()).filter(|pid| !pid.is_empty()).unwrap_or("unknown").to_owned();
                return Err(StateError::Locked { path: path.to_owned(), holder });
            }
            Err(errno) => return Err(failed(errno.into())),
        };
        remove_leftovers(path);
        // The pid is used only in the error message of another process.
        if let Err(error) = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())) {
            tracing::warn!("state directory: cannot write {}{}: {error}", lock_path.display(), advice(&error));
        }
        Ok(Self { path: path.to_owned(), lock: Some(Arc::new(lock)) })
    }

    /// Opens the directory for the successor of `other` in the same process. If it is the same directory, both share
    /// the lock.
    pub fn open_sharing_lock(path: &Path, other: &Self) -> Result<Self, StateError> {
        let real = |path| fs::canonicalize(path).ok();
        let is_same = other.lock.is_some() && real(path).is_some() && real(path) == real(&other.path);
        if is_same { Ok(Self { path: path.to_owned(), lock: other.lock.clone() }) } else { Self::open(path) }
    }

    /// Opens it without a lock. It need not exist.
    pub fn open_read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of one subject: `folder("targets", "edge")`. Both are single path components.
    pub fn folder(&self, kind: &str, name: &str) -> StateFolder {
        StateFolder { path: self.path.join(kind).join(name), lock: self.lock.clone() }
    }
}

fn create_directory(path: &Path) -> Result<(), StateError> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| StateError::Io { action: "make", path: path.to_owned(), source })
}

/// Takes the lock. Waits up to [`LOCK_TIMEOUT`]: if a process is killed while it starts a program, the forked child
/// keeps the lock until it executes the program.
fn lock(mut file: fs::File) -> Result<Flock<fs::File>, Errno> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((unlocked, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file = unlocked,
            locked => return locked.map_err(|(_, errno)| errno),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Removes the temporary files of a process that was killed. Only the holder of the lock may call this.
fn remove_leftovers(path: &Path) {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for entry in entries(path.to_owned()).flat_map(entries).flat_map(entries) {
        let name = entry.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(TEMPORARY_AFFIXES.1.as_bytes()) {
            temp_file::remove_leftover(&entry);
        }
    }
}

fn temporary_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_AFFIXES.0).suffix(TEMPORARY_AFFIXES.1);
    builder
}

#[cfg(test)]
mod tests;
