//! What was in effect before: the last few sets of a target's files, for the way back by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::desired_file::{DesiredFile, DesiredSnapshot, Digest};
use crate::sys::state_dir::{StateError, StateFolder};

/// The list of generations, newest last.
const INDEX_FILE: &str = "index";
/// How the name of a content begins.
const CONTENT_PREFIX: &str = "content-";

/// A set of files that was in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect, by our clock, RFC 3339.
    pub since: String,
    /// Its files, by destination.
    pub files: BTreeMap<PathBuf, GenerationFile>,
    /// Names the version of the templates that made them. `None`: no template did, or it is not known.
    #[serde(default)]
    pub version: Option<Digest>,
}

/// One file of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFile {
    /// See [`Product::template`].
    pub template: usize,
    /// Names its content.
    pub digest: Digest,
}

/// The generations of one target, in the state directory.
#[derive(Clone, Debug)]
pub(super) struct GenerationStore {
    folder: StateFolder,
    /// How many are kept; 0 keeps none.
    max_kept: usize,
}

impl GenerationStore {
    pub(super) fn new(folder: StateFolder, keep: usize) -> Self {
        Self { folder, max_kept: keep }
    }

    /// Oldest first.
    pub(super) fn list(&self) -> Result<Vec<Generation>, StateError> {
        Ok(self.folder.read(INDEX_FILE)?.unwrap_or_default())
    }

    /// Takes down what is in effect now, unless that is the newest generation already. Returns the number of the newest
    /// generation.
    pub(super) fn record(&self, now: &DesiredSnapshot) -> Result<Option<u64>, StateError> {
        let mut list = self.list()?;
        let kept =
            |product: &DesiredFile| GenerationFile { template: product.template, digest: product.content.digest() };
        let files: BTreeMap<_, _> =
            now.entries.iter().map(|(path, product)| (path.clone(), kept(product.as_ref()))).collect();
        if self.max_kept == 0 || files.is_empty() || list.last().is_some_and(|newest| newest.files == files) {
            return Ok(list.last().map(|newest| newest.number));
        }
        let known: BTreeSet<_> = self.folder.names()?.into_iter().collect();
        for text in now.entries.values().map(|product| &product.content) {
            if !known.contains(&content_name(text.digest())) {
                self.folder.write_bytes(&content_name(text.digest()), text.bytes())?;
            }
        }
        let number = list.last().map_or(1, |newest| newest.number + 1);
        let since = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
        list.push(Generation { number, since, files, version: template_version(now) });
        let too_many = list.len().saturating_sub(self.max_kept);
        list.drain(..too_many);
        self.folder.write(INDEX_FILE, &list)?;
        let used: BTreeSet<_> = list
            .iter()
            .flat_map(|generation| generation.files.values())
            .map(|file| content_name(file.digest))
            .collect();
        let mut unused = known.iter().filter(|name| name.starts_with(CONTENT_PREFIX) && !used.contains(*name));
        unused.try_for_each(|name| self.folder.remove(name))?;
        Ok(Some(number))
    }

    /// The files of a generation; `None` if one of them is lost.
    pub(super) fn files(&self, generation: &Generation) -> Result<Option<DesiredSnapshot>, StateError> {
        let mut entries = BTreeMap::new();
        for (path, kept) in &generation.files {
            let Some(bytes) = self.folder.read_bytes(&content_name(kept.digest))? else { return Ok(None) };
            entries.insert(path.clone(), Arc::new(DesiredFile::new(kept.template, bytes)));
        }
        Ok(Some(DesiredSnapshot { entries: Arc::new(entries), complete: true, complete_count: 0 }))
    }
}

/// Names the version of the templates that made these files.
pub(super) fn template_version(files: &DesiredSnapshot) -> Option<Digest> {
    files.entries.values().find_map(|product| product.templates.as_ref()).map(|version| version.digest())
}

fn content_name(digest: Digest) -> String {
    format!("{CONTENT_PREFIX}{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::state_dir::StateDir;

    fn wanted(text: &str) -> DesiredSnapshot {
        let entries =
            [("/same", "same"), ("/other", text)].map(|(path, text)| (path.into(), DesiredFile::new(0, text)));
        let entries = entries.into_iter().map(|(path, product)| (path, Arc::new(product))).collect();
        DesiredSnapshot { entries: Arc::new(entries), complete: true, complete_count: 1 }
    }

    #[test]
    fn the_last_few_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let generations = GenerationStore::new(state.folder("generations", "edge"), 2);
        for text in ["1", "2", "2", "3"] {
            generations.record(&wanted(text)).expect("there is room");
        }
        let numbers = || {
            generations.list().expect("it can be read").iter().map(|generation| generation.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(), [2, 3]);
        let files = generations.files(&generations.list().expect("it can be read")[0]).expect("it can be read");
        let files = files.expect("nothing is lost");
        assert_eq!(files.entries[&PathBuf::from("/other")].content.bytes(), b"2");
        assert_eq!(generations.record(&wanted("4")).expect("there is room"), Some(4));
        assert_eq!(numbers(), [3, 4]);
        // `same`, `3` and `4` are left.
        let names = state.folder("generations", "edge").names().expect("it can be listed");
        assert_eq!(names.iter().filter(|name| name.starts_with(CONTENT_PREFIX)).count(), 3);
    }

    #[test]
    fn none_are_kept_if_nobody_wants_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let generations = GenerationStore::new(state.folder("generations", "edge"), 0);
        assert_eq!(generations.record(&wanted("1")).expect("nothing to do"), None);
        assert!(generations.list().expect("it can be read").is_empty());
    }
}
