//! The record that a target keeps of its files. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{DesiredContent, DesiredFileState, FileState};
use crate::target::desired_file::Digest;

/// The state that survives a crash, except for former contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JournalRecord {
    /// The files of the target after the last commit.
    #[serde(rename = "settled", default)]
    pub(crate) committed: CommittedFiles,
    /// Set from before the first swap until the commit.
    #[serde(rename = "owed", default)]
    pub(crate) pending_reload: Option<PendingReload>,
    /// Files that are about to be created.
    #[serde(default)]
    pub(crate) announced: BTreeSet<PathBuf>,
}

/// A target's files, by destination.
pub(crate) type CommittedFiles = BTreeMap<PathBuf, FileOrigin>;

/// The kind of template of a file. It decides whether the file is removed when no template produces it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileOrigin {
    /// A template with a fixed destination. The file stays.
    Fixed,
    /// A template with `each`. The file is removed.
    Each,
}

/// Files that were, or are about to be, replaced without a verified reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingReload {
    pub(crate) changes: BTreeMap<PathBuf, FileChange>,
    /// Whether the new contents have failed, so that only the former ones may come into effect.
    #[serde(rename = "back")]
    pub(crate) is_rollback: bool,
}

/// The change of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileChange {
    /// The last state that was in effect, whose content is saved; `None` if there was no file.
    pub(crate) former: Option<FileState>,
    /// `None` if the file is removed.
    pub(crate) new: Option<DesiredContent>,
}

impl JournalRecord {
    /// The files that have to be observed even if no template produces them now.
    pub(crate) fn tracked_paths(&self) -> impl Iterator<Item = &PathBuf> {
        let committed = self.committed.iter().filter(|(_, origin)| **origin == FileOrigin::Each).map(|(path, _)| path);
        committed.chain(self.pending_reload.iter().flat_map(|pending| pending.changes.keys()))
    }

    /// The contents that a rollback needs.
    pub(crate) fn former_contents(&self) -> Vec<(PathBuf, Digest)> {
        let changes = self.pending_reload.iter().flat_map(|pending| &pending.changes);
        changes.filter_map(|(path, change)| Some((path.clone(), change.former?.digest))).collect()
    }

    /// The desired state of a file that no template produces any more.
    pub(crate) fn desired_without_template(&self, path: &PathBuf) -> DesiredFileState {
        let change = self.pending_reload.as_ref().and_then(|pending| pending.changes.get(path));
        match (self.committed.get(path), change) {
            (Some(FileOrigin::Each), _) => DesiredFileState::Absent,
            (None, Some(FileChange { former, new })) if new.is_none_or(|new| new.origin != Some(FileOrigin::Fixed)) => {
                // It was never in effect with a content of Portreeve, so the original state is restored.
                former.map_or(DesiredFileState::Absent, |former| {
                    DesiredFileState::Content(DesiredContent { digest: former.digest, origin: None })
                })
            }
            _ => DesiredFileState::Unknown,
        }
    }

    /// The target's files once the pending reload is verified.
    pub(super) fn files_once_verified(&self) -> CommittedFiles {
        let mut files = self.committed.clone();
        for (path, change) in self.pending_reload.iter().flat_map(|pending| &pending.changes) {
            match change.new.and_then(|new| new.origin) {
                Some(origin) => files.insert(path.clone(), origin),
                None => files.remove(path),
            };
        }
        files
    }
}
