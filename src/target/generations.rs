//! The last few sets of contents that were in effect, in the state directory, for rollbacks by an operator.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::desired_file::{DesiredFile, DesiredFiles, Digest, HashedContent};
use crate::sys::state_dir::{StateError, StateFolder};

/// The list of generations, newest last.
const INDEX_FILE: &str = "index";
/// The prefix of the names of contents.
const CONTENT_PREFIX: &str = "content-";

/// A numbered set of files that was in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect, by the clock of this host (RFC 3339).
    pub since: String,
    /// Its files, by destination.
    pub files: BTreeMap<PathBuf, GenerationFile>,
    /// The version of the templates that they were rendered from; `None` if they were not rendered, or if it is
    /// unknown.
    #[serde(default)]
    pub version: Option<Digest>,
}

/// One file of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFile {
    /// See [`DesiredFile::template`].
    pub template: usize,
    /// The digest of its content.
    pub digest: Digest,
}

/// The generations of one target's files, or the versions of its templates.
#[derive(Clone, Debug)]
pub(super) struct GenerationStore {
    folder: StateFolder,
    /// The number of generations to keep; with 0 none is recorded.
    max_kept: usize,
}

impl GenerationStore {
    pub(super) fn new(folder: StateFolder, max_kept: usize) -> Self {
        Self { folder, max_kept }
    }

    /// All generations, oldest first.
    pub(super) fn list(&self) -> Result<Vec<Generation>, StateError> {
        Ok(self.folder.read(INDEX_FILE)?.unwrap_or_default())
    }

    /// Records the contents that are in effect, each with its path and the number of its template, unless the newest
    /// generation has the same ones. Returns the number of the newest generation.
    pub(super) fn record<'a>(
        &self,
        contents: impl Iterator<Item = (&'a Path, usize, &'a HashedContent)> + Clone,
        version: Option<Digest>,
    ) -> Result<Option<u64>, StateError> {
        let mut list = self.list()?;
        let file = |(path, template, content): (&Path, usize, &HashedContent)| {
            (path.to_owned(), GenerationFile { template, digest: content.digest() })
        };
        let files: BTreeMap<_, _> = contents.clone().map(file).collect();
        if self.max_kept == 0 || files.is_empty() || list.last().is_some_and(|newest| newest.files == files) {
            return Ok(list.last().map(|newest| newest.number));
        }
        let known: BTreeSet<_> = self.folder.names()?.into_iter().collect();
        for (_, _, content) in contents {
            let name = content_name(content.digest());
            if !known.contains(&name) {
                self.folder.write_bytes(&name, content.bytes())?;
            }
        }
        let number = list.last().map_or(1, |newest| newest.number + 1);
        let since = jiff::Timestamp::now().strftime("%FT%TZ").to_string();
        list.push(Generation { number, since, files, version });
        let excess = list.len().saturating_sub(self.max_kept);
        list.drain(..excess);
        self.folder.write(INDEX_FILE, &list)?;
        let files = list.iter().flat_map(|generation| generation.files.values());
        let used: BTreeSet<_> = files.map(|file| content_name(file.digest)).collect();
        let mut unused = known.iter().filter(|name| name.starts_with(CONTENT_PREFIX) && !used.contains(*name));
        unused.try_for_each(|name| self.folder.remove(name))?;
        Ok(Some(number))
    }

    /// The files of a generation; `None` if a content is missing.
    pub(super) fn files(&self, generation: &Generation) -> Result<Option<DesiredFiles>, StateError> {
        let mut files = DesiredFiles::new();
        for (path, file) in &generation.files {
            let Some(bytes) = self.folder.read_bytes(&content_name(file.digest))? else { return Ok(None) };
            files.insert(path.clone(), Arc::new(DesiredFile::new(file.template, bytes)));
        }
        Ok(Some(files))
    }
}

fn content_name(digest: Digest) -> String {
    format!("{CONTENT_PREFIX}{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::state_dir::StateDir;

    fn record(generations: &GenerationStore, text: &str) -> Option<u64> {
        let contents = [("/same", "same"), ("/other", text)];
        let contents = contents.map(|(path, text)| (path, HashedContent::new(text)));
        let contents = contents.iter().map(|(path, content)| (Path::new(*path), 0, content));
        generations.record(contents, None).expect("there is room")
    }

    #[test]
    fn the_last_few_are_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let generations = GenerationStore::new(state.folder("generations", "edge"), 2);
        for text in ["1", "2", "2", "3"] {
            record(&generations, text);
        }
        let numbers = || {
            generations.list().expect("it can be read").iter().map(|generation| generation.number).collect::<Vec<_>>()
        };
        assert_eq!(numbers(), [2, 3]);
        let files = generations.files(&generations.list().expect("it can be read")[0]).expect("it can be read");
        let files = files.expect("nothing is lost");
        assert_eq!(files[&PathBuf::from("/other")].content.bytes(), b"2");
        assert_eq!(record(&generations, "4"), Some(4));
        assert_eq!(numbers(), [3, 4]);
        // `same`, `3` and `4` are left.
        let names = state.folder("generations", "edge").names().expect("it can be listed");
        assert_eq!(names.iter().filter(|name| name.starts_with(CONTENT_PREFIX)).count(), 3);
    }

    #[test]
    fn none_is_kept_with_a_limit_of_0() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let generations = GenerationStore::new(state.folder("generations", "edge"), 0);
        assert_eq!(record(&generations, "1"), None);
        assert!(generations.list().expect("it can be read").is_empty());
    }
}
