//! What a target has to remember over a crash: its files, what is owed, and the former contents.
//!
//! The notes are one file, so they change as one: a file is at no moment both settled and owed, or neither.

use std::{collections::BTreeSet, path::PathBuf};

use tempfile::TempDir;

use super::{
    plan::{Notes, Owed, Settled},
    rendered::Digest,
};
use crate::sys::state_dir::{Folder, StateError};

/// The notes.
const NOTES: &str = "journal";

/// The target's folder in the state directory.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    folder: Folder,
}

impl Journal {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// What is written down. A file that is owed and whose former content is lost is left out: it cannot be brought
    /// back.
    pub(super) fn notes(&self) -> Result<Notes, StateError> {
        let mut notes = self.read()?;
        for (path, digest) in notes.former() {
            if self.former(digest)?.is_none() {
                tracing::warn!("{}: its former content is lost, so it could not be restored", path.display());
                if let Some(owed) = &mut notes.owed {
                    owed.changes.remove(&path);
                }
            }
        }
        Ok(notes)
    }

    /// Files with these names are about to be made for the first time.
    pub(super) fn announce(&self, announced: BTreeSet<PathBuf>) -> Result<(), StateError> {
        self.folder.write(NOTES, &Notes { announced, ..self.read()? })
    }

    pub(super) fn owe(&self, owed: Owed) -> Result<(), StateError> {
        // It names all that was announced.
        self.folder.write(NOTES, &Notes { owed: Some(owed), announced: BTreeSet::new(), ..self.read()? })
    }

    /// Nothing is owed any more. The note goes first: without it the former contents mean nothing.
    pub(super) fn settle(&self, settled: Settled) -> Result<(), StateError> {
        self.folder.write(NOTES, &Notes { settled, ..Notes::default() })?;
        let former = |name: &String| name.starts_with(FORMER);
        self.folder.names()?.iter().filter(|name| former(name)).try_for_each(|name| self.folder.remove(name))
    }

    /// Keeps a content for a way back.
    pub(super) fn save(&self, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        self.folder.write_bytes(&former(digest), bytes)
    }

    pub(super) fn former(&self, digest: Digest) -> Result<Option<Vec<u8>>, StateError> {
        self.folder.read_bytes(&former(digest))
    }

    /// A place for the copies that a check looks at.
    pub(super) fn scratch(&self) -> Result<TempDir, StateError> {
        self.folder.scratch()
    }

    fn read(&self) -> Result<Notes, StateError> {
        Ok(self.folder.read(NOTES)?.unwrap_or_default())
    }
}

/// The beginning of the names of saved contents.
const FORMER: &str = "former-";

fn former(digest: Digest) -> String {
    format!("{FORMER}{digest}")
}
