//! What a target has to remember over a crash: what is owed, and the former contents.

use tempfile::TempDir;

use super::{plan::Owed, rendered::Digest};
use crate::state::{Folder, StateError};

/// The note itself.
const OWED: &str = "owed";

/// The target's folder in the state directory.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    folder: Folder,
}

impl Journal {
    pub(super) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// What is owed. A file whose former content is lost is left out: it cannot be brought back.
    pub(super) fn owed(&self) -> Option<Owed> {
        let mut owed: Owed = self.folder.read(OWED)?;
        owed.changes.retain(|path, change| {
            let is_there = change.former.is_none_or(|former| self.former(former.digest).is_some());
            if !is_there {
                tracing::warn!("{}: its former content is lost, so it could not be brought back", path.display());
            }
            is_there
        });
        Some(owed)
    }

    pub(super) fn owe(&self, owed: &Owed) -> Result<(), StateError> {
        self.folder.write(OWED, owed)
    }

    /// Keeps a content for a way back.
    pub(super) fn save(&self, digest: Digest, bytes: &[u8]) -> Result<(), StateError> {
        self.folder.write_bytes(&former(digest), bytes)
    }

    pub(super) fn former(&self, digest: Digest) -> Option<Vec<u8>> {
        self.folder.read_bytes(&former(digest))
    }

    /// A place for the copies that a check looks at.
    pub(super) fn scratch(&self) -> Result<TempDir, StateError> {
        self.folder.scratch()
    }

    /// Nothing is owed any more. The note goes first: without it the contents mean nothing.
    pub(super) fn settle(&self) -> Result<(), StateError> {
        self.folder.remove(OWED)?;
        self.folder.names().iter().try_for_each(|name| self.folder.remove(name))
    }
}

fn former(digest: Digest) -> String {
    format!("former-{digest}")
}
