//! The state directory: what must survive a restart.
//!
//! One process at a time writes it. Each file is replaced as a whole and carries a version and a checksum. A file whose
//! content is wrong is set aside with a warning and counts as absent. A file that the system does not let us read is an
//! error: it may be as it should, and will be read at the next try.

use std::{
    env, fs,
    io::{self, Read, Write},
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
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::sys::{regular_file, temp_file};

/// The first line of each file: this, the version of the format, the checksum of what follows.
const MAGIC: &str = "portreeve-state 1";

/// The end of the name of what is there for a short time only.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// How long somebody else may hold the lock before that is an error.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A locked state directory; the lock lasts as long as it or one of its folders.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: Option<Arc<Flock<fs::File>>>,
}

/// One subject's files in the state directory.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
    lock: Option<Arc<Flock<fs::File>>>,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is no place that could be guessed.
    #[error("no state directory: neither XDG_STATE_HOME nor HOME is an absolute path; name one with --state-dir")]
    NoDefaultPath,
    /// Somebody else writes it.
    #[error(
        "state directory {}: in use by process {holder}; stop that one, or name another with --state-dir",
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The pid that the other process left there.
        holder: String,
    },
    /// It was opened with [`StateDir::peek`].
    #[error("{}: the state directory was opened to look only", .0.display())]
    ReadOnly(PathBuf),
    /// A value that cannot be written down.
    #[error("{}: cannot be written down", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What cannot.
        source: serde_json::Error,
    },
    /// The file system says no.
    #[error("state directory: cannot {action} {}{}", path.display(), advice(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
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

    /// Makes the directory if need be (readable for its owner only) and locks it.
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
        // Only for the error message of another process.
        if let Err(error) = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())) {
            tracing::warn!("state directory: cannot write {}{}: {error}", lock_path.display(), advice(&error));
        }
        Ok(Self { path: path.to_owned(), lock: Some(Arc::new(lock)) })
    }

    /// Opens it for who takes over from `held` in this process: the same directory shares its lock.
    pub fn open_sharing_lock(path: &Path, held: &Self) -> Result<Self, StateError> {
        let real = |path| fs::canonicalize(path).ok();
        let same = held.lock.is_some() && real(path).is_some() && real(path) == real(&held.path);
        if same { Ok(Self { path: path.to_owned(), lock: held.lock.clone() }) } else { Self::open(path) }
    }

    /// Opens it without a lock, to look only; it need not exist.
    pub fn open_read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of one subject: `folder("targets", "edge")`. Both are single path components.
    pub fn folder(&self, kind: &str, name: &str) -> StateFolder {
        StateFolder { path: self.path.join(kind).join(name), lock: self.lock.clone() }
    }
}

impl StateFolder {
    /// A value; `None` if there is none, or its content is wrong.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read_bytes(name)? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes).map_err(|error| self.set_aside(name, &error.to_string())).ok())
    }

    /// Bytes; `None` if there are none, or they are not those that were written.
    pub fn read_bytes(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path.join(name);
        let read = || {
            let mut file = Vec::new();
            regular_file::open(&path)?.read_to_end(&mut file).map(|_| file)
        };
        match read() {
            Ok(file) => {
                let payload = unseal(&file).map(<[u8]>::to_vec);
                if payload.is_none() {
                    self.set_aside(name, "neither its version nor its checksum is right");
                }
                Ok(payload)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { action: "read", path, source }),
        }
    }

    /// Replaces a value. It is on the disk when this returns.
    pub fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let encoded = serde_json::to_vec(value);
        self.write_bytes(name, &encoded.map_err(|source| StateError::Encode { path: self.path.join(name), source })?)
    }

    /// Replaces bytes. They are on the disk when this returns.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        self.require_lock(&path)?;
        create_directory(&self.path)?;
        let write = || {
            let temp = temp_file::create(&temporary_builder(), &self.path)?;
            temp.as_file().write_all(&seal(bytes))?;
            temp.as_file().sync_all()?;
            temp.persist(&path).map_err(|failed| failed.error)?;
            sync_directory(&self.path)
        };
        write().map_err(|source| StateError::Io { action: "write", path: path.clone(), source })
    }

    /// Forgets a value or bytes. One that does not exist is fine.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join(name);
        self.require_lock(&path)?;
        match fs::remove_file(&path).and_then(|()| sync_directory(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { action: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// A directory of our own for a short time; after a crash it is gone when the state directory is next opened. Who
    /// only looks gets one elsewhere.
    pub fn scratch_dir(&self) -> Result<tempfile::TempDir, StateError> {
        let place = if self.lock.is_some() { self.path.clone() } else { env::temp_dir() };
        let made = if self.lock.is_some() { create_directory(&place) } else { Ok(()) };
        let failed = |source| StateError::Io { action: "make a directory in", path: place.clone(), source };
        made.and_then(|()| temporary_builder().tempdir_in(&place).map_err(failed))
    }

    /// What there is, leaving out what was set aside or never completed.
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let failed = |source| StateError::Io { action: "list", path: self.path.clone(), source };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let names = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter(|name| !name.starts_with('.') && !name.ends_with(".unreadable")).collect())
    }

    fn require_lock(&self, path: &Path) -> Result<(), StateError> {
        self.lock.as_ref().map(|_| ()).ok_or_else(|| StateError::ReadOnly(path.to_owned()))
    }

    fn set_aside(&self, name: &str, reason: &str) {
        let path = self.path.join(name);
        let aside = self.path.join(format!("{name}.unreadable"));
        if self.lock.is_none() {
            tracing::warn!("{}: {reason}; goes on without it", path.display());
        } else if let Err(error) = fs::rename(&path, &aside) {
            tracing::warn!("{}: {reason}; goes on without it (cannot set it aside: {error})", path.display());
        } else {
            tracing::warn!("{}: {reason}; goes on without it, kept as {}", path.display(), aside.display());
        }
    }
}

/// What to do about an error of the file system.
fn advice(error: &io::Error) -> &'static str {
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

fn create_directory(path: &Path) -> Result<(), StateError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StateError::Io { action: "make", path: path.to_owned(), source })
}

/// Takes the lock, with some patience: when a process is killed while it starts a program, that one holds the lock too,
/// until it has begun to run.
fn lock(mut file: fs::File) -> Result<Flock<fs::File>, Errno> {
    let end = Instant::now() + LOCK_TIMEOUT;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((again, Errno::EWOULDBLOCK)) if Instant::now() < end => file = again,
            locked => return locked.map_err(|(_, errno)| errno),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn temporary_builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".portreeve-").suffix(TEMPORARY_SUFFIX);
    builder
}

/// Removes what an earlier process was at when it was killed. Only for who holds the lock.
fn remove_leftovers(path: &Path) {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    for entry in below(path.to_owned()).flat_map(below).flat_map(below) {
        let name = entry.file_name().unwrap_or_default().as_encoded_bytes();
        if name.starts_with(b".") && name.ends_with(TEMPORARY_SUFFIX.as_bytes()) {
            // Twice: a program that was to check something may still be at it, and add a file at the wrong moment.
            let remove = || if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
            let removed = remove().or_else(|_| remove());
            if let Err(error) = removed {
                tracing::warn!("{}: a leftover that cannot be removed: {error}", entry.display());
            }
        }
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn header(payload: &[u8]) -> String {
    let sum = Sha256::digest(payload).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("{MAGIC} {sum}\n")
}

fn seal(payload: &[u8]) -> Vec<u8> {
    [header(payload).as_bytes(), payload].concat()
}

fn unseal(file: &[u8]) -> Option<&[u8]> {
    let end = file.iter().position(|byte| *byte == b'\n')? + 1;
    let (head, payload) = file.split_at(end);
    (head == header(payload).as_bytes()).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> (tempfile::TempDir, StateDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let state = StateDir::open(&directory.path().join("state")).expect("nobody holds it");
        (directory, state)
    }

    #[test]
    fn what_is_written_is_read_back_by_the_next_process() {
        let (directory, state) = open();
        let folder = state.folder("targets", "edge");
        assert_eq!(folder.read::<Vec<u8>>("owed").expect("nothing is wrong"), None);
        folder.write("owed", &vec![1, 2]).expect("it is ours");
        folder.write_bytes("former", b"\xff\n\0").expect("it is ours");
        drop((folder, state));
        let folder = StateDir::open(&directory.path().join("state")).expect("free again").folder("targets", "edge");
        assert_eq!(folder.read("owed").expect("it can be read"), Some(vec![1, 2]));
        assert_eq!(folder.read_bytes("former").expect("it can be read").as_deref(), Some(&b"\xff\n\0"[..]));
        let mut names = folder.names().expect("it can be listed");
        names.sort();
        assert_eq!(names, ["former", "owed"]);
        folder.remove("owed").expect("it is ours");
        folder.remove("owed").expect("nothing to do");
        assert_eq!(folder.names().expect("it can be listed"), ["former"]);
    }

    #[test]
    fn what_a_killed_process_was_writing_is_swept() {
        let (directory, state) = open();
        state.folder("targets", "edge").write("owed", &7).expect("it is ours");
        let path = directory.path().join("state/targets/edge");
        fs::write(path.join(".x1.tmp"), "half").expect("a file");
        let scratch = state.folder("targets", "edge").scratch_dir().expect("it is ours");
        fs::write(scratch.path().join("a"), "").expect("a file");
        // Without its end, as after a crash.
        std::mem::forget(scratch);
        drop(state);
        StateDir::open(&directory.path().join("state")).expect("free again");
        let left: Vec<_> = fs::read_dir(path).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["owed"]);
    }

    #[test]
    fn a_second_writer_is_told_who_holds_it() {
        let (directory, state) = open();
        let folder = state.folder("targets", "edge");
        drop(state);
        let error = StateDir::open(&directory.path().join("state")).expect_err("a folder holds the lock");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(folder);
        StateDir::open(&directory.path().join("state")).expect("free again");
    }

    #[test]
    fn who_takes_over_shares_the_lock_of_the_same_directory_only() {
        let (directory, state) = open();
        std::os::unix::fs::symlink("state", directory.path().join("link")).expect("a link");
        let next = StateDir::open_sharing_lock(&directory.path().join("link"), &state).expect("it is ours");
        drop(state);
        StateDir::open(&directory.path().join("state")).expect_err("the next one holds it");
        let other = StateDir::open(&directory.path().join("other")).expect("free");
        StateDir::open_sharing_lock(&directory.path().join("other"), &next).expect_err("somebody else holds it");
        drop(other);
        StateDir::open_sharing_lock(&directory.path().join("other"), &next).expect("free again");
    }

    #[test]
    fn who_only_looks_needs_no_lock_and_writes_nothing() {
        let (directory, state) = open();
        state.folder("targets", "edge").write("owed", &7).expect("it is ours");
        let looking = StateDir::open_read_only(&directory.path().join("state")).folder("targets", "edge");
        assert_eq!(looking.read("owed").expect("it can be read"), Some(7));
        assert!(matches!(looking.write("owed", &8), Err(StateError::ReadOnly(_))));
        assert!(matches!(looking.remove("owed"), Err(StateError::ReadOnly(_))));
        let nothing = StateDir::open_read_only(Path::new("/nonexistent")).folder("a", "b");
        assert_eq!(nothing.read::<u8>("owed").expect("nothing is wrong"), None);
    }

    #[test]
    fn what_has_a_wrong_content_is_set_aside() {
        let (directory, state) = open();
        let folder = state.folder("targets", "edge");
        let path = directory.path().join("state/targets/edge/owed");
        let broken = [
            b"".to_vec(),
            b"7".to_vec(),
            seal(b"7")[..70].to_vec(),
            [seal(b"7"), b" ".to_vec()].concat(),
            seal(b"seven"),
            seal(b"7").iter().map(|byte| if *byte == b'1' { b'2' } else { *byte }).collect(),
        ];
        for bytes in broken {
            folder.write("owed", &7).expect("it is ours");
            fs::write(&path, bytes).expect("a file");
            assert_eq!(folder.read::<u8>("owed").expect("it can be read"), None);
            assert!(!path.exists() && path.with_extension("unreadable").exists());
            assert_eq!(folder.names().expect("it can be listed"), [""; 0]);
        }
    }

    #[test]
    fn what_the_system_does_not_let_us_read_is_an_error_and_stays() {
        let (directory, state) = open();
        let folder = state.folder("targets", "edge");
        folder.write("owed", &7).expect("it is ours");
        let path = directory.path().join("state/targets/edge/owed");
        // Reading it fails with an error other than that there is none.
        fs::remove_file(&path).expect("it is there");
        fs::create_dir(&path).expect("a directory");
        assert!(matches!(folder.read::<u8>("owed"), Err(StateError::Io { action: "read", .. })));
        assert!(path.exists() && !path.with_extension("unreadable").exists());
    }
}
