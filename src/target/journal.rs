//! The journal of a target in the state directory, which survives a crash: its files, the pending reload, and the
//! former contents.
//!
//! The record is one file and so changes atomically.

use std::{collections::BTreeSet, path::PathBuf};

use tempfile::TempDir;

use super::{
    desired_file::Digest,
    plan::{CommittedFiles, JournalRecord, PendingReload},
};
use crate::sys::state_dir::{StateError, StateFolder};

/// The name of the record.
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

    /// The record, without the changes of a pending reload whose former content is lost: such a file cannot be
    /// restored.
    pub(super) fn record(&self) -> Result<JournalRecord, StateError> {
        let mut record = self.read_record()?;
        for (path, digest) in record.former_contents() {
            if self.former_content(digest)?.is_none() {
                tracing::warn!("{}: its former content is lost, so it could not be restored", path.display());
                if let Some(pending) = &mut record.pending_reload {
                    pending.changes.remove(&path);
                }
            }
        }
        Ok(record)
    }

    /// Records that files at these paths are about to be created for the first time.
    pub(super) fn announce(&self, announced: BTreeSet<PathBuf>) -> Result<(), StateError> {
        self.folder.write(RECORD, &JournalRecord { announced, ..self.read_record()? })
    }

    pub(super) fn record_pending_reload(&self, pending: PendingReload) -> Result<(), StateError> {
        // `pending` contains all announced paths.
        let announced = BTreeSet::new();
        self.folder.write(RECORD, &JournalRecord { pending_reload: Some(pending), announced, ..self.read_record()? })
    }

    /// Records that no reload is pending. The record is written first, since it refers to the former contents.
    pub(super) fn commit(&self, committed: CommittedFiles) -> Result<(), StateError> {
        self.folder.write(RECORD, &JournalRecord { committed, ..JournalRecord::default() })?;
        let former = |name: &String| name.starts_with(FORMER_PREFIX);
        self.folder.names()?.iter().filter(|name| former(name)).try_for_each(|name| self.folder.remove(name))
    }

    /// Saves a former content for a rollback.
    pub(super) fn save_content(&self, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        self.folder.write_bytes(&former_name(digest), bytes)
    }

    pub(super) fn former_content(&self, digest: Digest) -> Result<Option<Vec<u8>>, StateError> {
        self.folder.read_bytes(&former_name(digest))
    }

    /// A directory for the copies that a check reads.
    pub(super) fn scratch_dir(&self) -> Result<TempDir, StateError> {
        self.folder.scratch_dir()
    }

    fn read_record(&self) -> Result<JournalRecord, StateError> {
        Ok(self.folder.read(RECORD)?.unwrap_or_default())
    }
}

/// The prefix of the names of former contents.
const FORMER_PREFIX: &str = "former-";

fn former_name(digest: Digest) -> String {
    format!("{FORMER_PREFIX}{digest}")
}
