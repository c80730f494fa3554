//! The files of one subject in the state directory.

use std::{
    env, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::Flock;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{StateError, create_directory, temporary_builder};
use crate::sys::{hex, regular_file, temp_file};

/// The first line of each file: this (with the version of the format), then the checksum of the rest.
const MAGIC: &str = "portreeve-state 1";

/// The files of one subject, such as a target.
#[derive(Clone, Debug)]
pub struct StateFolder {
    pub(super) path: PathBuf,
    pub(super) lock: Option<Arc<Flock<fs::File>>>,
}

impl StateFolder {
    /// A value. `None` if there is none, or its content is corrupt.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.read_bytes(name)? else { return Ok(None) };
        Ok(serde_json::from_slice(&bytes).map_err(|error| self.set_aside(name, &error.to_string())).ok())
    }

    /// Bytes. `None` if there are none, or they are corrupt.
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
                    self.set_aside(name, "its version or its checksum is wrong");
                }
                Ok(payload)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError::Io { action: "read", path, source }),
        }
    }

    /// Replaces a value. Returns when it is on the disk.
    pub fn write(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let encoded = serde_json::to_vec(value);
        self.write_bytes(name, &encoded.map_err(|source| StateError::Encode { path: self.path.join(name), source })?)
    }

    /// Replaces bytes. Returns when they are on the disk.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.path.join(name);
        self.require_lock(&path)?;
        create_directory(&self.path)?;
        let write = || {
            let temp = temp_file::create(&temporary_builder(), &self.path)?;
            temp.as_file().write_all(&seal(bytes))?;
            temp.as_file().sync_all()?;
            temp.persist(&path).map_err(|failed| failed.error)?;
            temp_file::sync_directory(&self.path)
        };
        write().map_err(|source| StateError::Io { action: "write", path: path.clone(), source })
    }

    /// Removes a value or bytes, if they exist.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path.join(name);
        self.require_lock(&path)?;
        match fs::remove_file(&path).and_then(|()| temp_file::sync_directory(&self.path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { action: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// A temporary directory. After a crash it is removed when the state directory is opened again. If the state
    /// directory is open read-only, it is created elsewhere.
    pub fn scratch_dir(&self) -> Result<tempfile::TempDir, StateError> {
        let parent = if self.lock.is_some() { self.path.clone() } else { env::temp_dir() };
        if self.lock.is_some() {
            create_directory(&parent)?;
        }
        let failed = |source| StateError::Io { action: "make a directory in", path: parent.clone(), source };
        temporary_builder().tempdir_in(&parent).map_err(failed)
    }

    /// The names of the files, without those that were set aside or never completed.
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
            tracing::warn!("{}: {reason}; continuing without it", path.display());
        } else if let Err(error) = fs::rename(&path, &aside) {
            tracing::warn!("{}: {reason}; continuing without it (cannot set it aside: {error})", path.display());
        } else {
            tracing::warn!("{}: {reason}; continuing without it, kept as {}", path.display(), aside.display());
        }
    }
}

fn header(payload: &[u8]) -> String {
    format!("{MAGIC} {}\n", hex::encode(&Sha256::digest(payload)))
}

/// Adds the first line.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    [header(payload).as_bytes(), payload].concat()
}

/// Removes the first line. `None` if it is wrong.
fn unseal(file: &[u8]) -> Option<&[u8]> {
    let end = file.iter().position(|byte| *byte == b'\n')? + 1;
    let (head, payload) = file.split_at(end);
    (head == header(payload).as_bytes()).then_some(payload)
}
