//! What a target writes down about its files. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::{Draft, Version, Wanted};
use crate::target::rendered::Digest;

/// All that survives a crash, besides saved contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// The files that the target had when nothing was owed.
    #[serde(default)]
    pub(crate) settled: Settled,
    /// What an earlier pass could not bring to its end.
    #[serde(default)]
    pub(crate) owed: Option<Owed>,
    /// Files that were about to be staged for the first time.
    #[serde(default)]
    pub(crate) announced: BTreeSet<PathBuf>,
}

/// A target's files, by destination.
pub(crate) type Settled = BTreeMap<PathBuf, Origin>;

/// Where a file of ours comes from, which decides what becomes of it when no template makes it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// A template with one destination. The file stays.
    Fixed,
    /// A template that makes a file of each member of a list. The file goes.
    Each,
}

/// Files were, or are about to be, replaced, and a reload is owed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owed {
    pub(crate) changes: BTreeMap<PathBuf, Change>,
    /// The new contents have failed: only the former ones may become effective.
    pub(crate) back: bool,
}

/// What happens to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The content that was last known to be in effect; its bytes are saved. Nothing: there was no file.
    pub(crate) former: Option<Version>,
    /// Nothing: the file is removed.
    pub(crate) new: Option<Draft>,
}

impl Notes {
    /// The files that may have to be looked at although no template makes them now.
    pub(crate) fn known(&self) -> impl Iterator<Item = &PathBuf> {
        let settled = self.settled.iter().filter(|(_, origin)| **origin == Origin::Each).map(|(path, _)| path);
        settled.chain(self.owed.iter().flat_map(|owed| owed.changes.keys()))
    }

    /// The contents that a way back needs.
    pub(crate) fn former(&self) -> Vec<(PathBuf, Digest)> {
        let changes = self.owed.iter().flat_map(|owed| &owed.changes);
        changes.filter_map(|(path, change)| Some((path.clone(), change.former?.digest))).collect()
    }

    /// What is to become of a file that no template makes any more.
    pub(crate) fn leftover(&self, path: &PathBuf) -> Wanted {
        let change = self.owed.as_ref().and_then(|owed| owed.changes.get(path));
        match (self.settled.get(path), change) {
            (Some(Origin::Each), _) => Wanted::Absent,
            (None, Some(Change { former, new })) if new.is_none_or(|new| new.origin != Some(Origin::Fixed)) => {
                // It was never in effect as a file of ours: what was there before us is to be there again.
                former.map_or(Wanted::Absent, |former| Wanted::Content(Draft { digest: former.digest, origin: None }))
            }
            _ => Wanted::Unknown,
        }
    }

    /// The target's files once what is owed is proven.
    pub(super) fn proven(&self) -> Settled {
        let mut files = self.settled.clone();
        for (path, change) in self.owed.iter().flat_map(|owed| &owed.changes) {
            match change.new.and_then(|new| new.origin) {
                Some(origin) => files.insert(path.clone(), origin),
                None => files.remove(path),
            };
        }
        files
    }
}
