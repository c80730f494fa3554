//! What a target writes down about its files. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{DesiredContent, DesiredFileState, FileState};
use crate::target::desired_file::Digest;

/// All that survives a crash, besides saved contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalRecord {
    /// The files that the target had when nothing was owed.
    #[serde(rename = "settled", default)]
    pub(crate) committed: CommittedFiles,
    /// What an earlier pass could not bring to its end.
    #[serde(rename = "owed", default)]
    pub(crate) pending_reload: Option<PendingReload>,
    /// Files that were about to be staged for the first time.
    #[serde(default)]
    pub(crate) announced: BTreeSet<PathBuf>,
}

/// A target's files, by destination.
pub(crate) type CommittedFiles = BTreeMap<PathBuf, FileOrigin>;

/// Where a file of ours comes from, which decides what becomes of it when no template makes it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileOrigin {
    /// A template with one destination. The file stays.
    Fixed,
    /// A template that makes a file of each member of a list. The file goes.
    Each,
}

/// Files were, or are about to be, replaced, and a reload is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingReload {
    pub(crate) changes: BTreeMap<PathBuf, FileChange>,
    /// The new contents have failed: only the former ones may become effective.
    #[serde(rename = "back")]
    pub(crate) is_rollback: bool,
}

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileChange {
    /// The content that was last known to be in effect; its bytes are saved. Nothing: there was no file.
    pub(crate) former: Option<FileState>,
    /// Nothing: the file is removed.
    pub(crate) new: Option<DesiredContent>,
}

impl JournalRecord {
    /// The files that may have to be looked at although no template makes them now.
    pub(crate) fn tracked_paths(&self) -> impl Iterator<Item = &PathBuf> {
        let settled = self.committed.iter().filter(|(_, origin)| **origin == FileOrigin::Each).map(|(path, _)| path);
        settled.chain(self.pending_reload.iter().flat_map(|owed| owed.changes.keys()))
    }

    /// The contents that a way back needs.
    pub(crate) fn former_contents(&self) -> Vec<(PathBuf, Digest)> {
        let changes = self.pending_reload.iter().flat_map(|owed| &owed.changes);
        changes.filter_map(|(path, change)| Some((path.clone(), change.former?.digest))).collect()
    }

    /// What is to become of a file that no template makes any more.
    pub(crate) fn desired_without_template(&self, path: &PathBuf) -> DesiredFileState {
        let change = self.pending_reload.as_ref().and_then(|owed| owed.changes.get(path));
        match (self.committed.get(path), change) {
            (Some(FileOrigin::Each), _) => DesiredFileState::Absent,
            (None, Some(FileChange { former, new })) if new.is_none_or(|new| new.origin != Some(FileOrigin::Fixed)) => {
                // It was never in effect as a file of ours: what was there before us is to be there again.
                former.map_or(DesiredFileState::Absent, |former| {
                    DesiredFileState::Content(DesiredContent { digest: former.digest, origin: None })
                })
            }
            _ => DesiredFileState::Unknown,
        }
    }

    /// The target's files once what is owed is proven.
    pub(super) fn files_once_verified(&self) -> CommittedFiles {
        let mut files = self.committed.clone();
        for (path, change) in self.pending_reload.iter().flat_map(|owed| &owed.changes) {
            match change.new.and_then(|new| new.origin) {
                Some(origin) => files.insert(path.clone(), origin),
                None => files.remove(path),
            };
        }
        files
    }
}
