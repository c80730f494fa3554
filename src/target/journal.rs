//! What a target has to remember over a crash: its files, what is owed, and the former contents.
//!
//! The notes are one file, so they change as one: a file is at no moment both settled and owed, or neither.

use std::{collections::BTreeSet, path::PathBuf};

use tempfile::TempDir;

use super::{
    desired_file::Digest,
    plan::{CommittedFiles, JournalRecord, PendingReload},
};
use crate::sys::state_dir::{StateError, StateFolder};

/// The notes.
const RECORD: &str = "journal";

/// The target's folder in the state directory.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    folder: StateFolder,
}

impl Journal {
    pub(super) fn new(folder: StateFolder) -> Self {
        Self { folder }
    }

    /// What is written down. A file that is owed and whose former content is lost is left out: it cannot be brought
    /// back.
    pub(super) fn record(&self) -> Result<JournalRecord, StateError> {
        let mut notes = self.read_record()?;
        for (path, digest) in notes.former_contents() {
            if self.former_content(digest)?.is_none() {
                tracing::warn!("{}: its former content is lost, so it could not be restored", path.display());
                if let Some(owed) = &mut notes.pending_reload {
                    owed.changes.remove(&path);
                }
            }
        }
        Ok(notes)
    }

    /// Files with these names are about to be made for the first time.
    pub(super) fn announce(&self, announced: BTreeSet<PathBuf>) -> Result<(), StateError> {
        self.folder.write(RECORD, &JournalRecord { announced, ..self.read_record()? })
    }

    pub(super) fn record_pending_reload(&self, owed: PendingReload) -> Result<(), StateError> {
        // It names all that was announced.
        self.folder.write(
            RECORD,
            &JournalRecord { pending_reload: Some(owed), announced: BTreeSet::new(), ..self.read_record()? },
        )
    }

    /// Nothing is owed any more. The note goes first: without it the former contents mean nothing.
    pub(super) fn commit(&self, settled: CommittedFiles) -> Result<(), StateError> {
        self.folder.write(RECORD, &JournalRecord { committed: settled, ..JournalRecord::default() })?;
        let former = |name: &String| name.starts_with(FORMER_PREFIX);
        self.folder.names()?.iter().filter(|name| former(name)).try_for_each(|name| self.folder.remove(name))
    }

    /// Keeps a content for a way back.
    pub(super) fn save_content(&self, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        self.folder.write_bytes(&former_name(digest), bytes)
    }

    pub(super) fn former_content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StateError> {
        self.folder.read_bytes(&former_name(digest))
    }

    /// A place for the copies that a check looks at.
    pub(super) fn scratch_dir(&self) -> Result<TempDir, StateError> {
        self.folder.scratch_dir()
    }

    fn read_record(&self) -> Result<JournalRecord, StateError> {
        Ok(self.folder.read(RECORD)?.unwrap_or_default())
    }
}

/// The beginning of the names of saved contents.
const FORMER_PREFIX: &str = "former-";

fn former_name(digest: Digest) -> String {
    format!("{FORMER_PREFIX}{digest}")
}
