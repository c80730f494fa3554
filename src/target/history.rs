//! The way back by hand: which version of a target's templates, or which generation of its files, is held on to. Shared by
//! the target and by who gives orders.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    diff::unified,
    files::{self, FileError},
    generations::{self, Generation, Generations},
    rendered::{Desired, Digest, Wanted},
    settings::Symlinks,
};
use crate::{
    core::store::Store,
    sys::state_dir::{Folder, StateDir, StateError},
};

/// What is held on to.
const HELD: &str = "held";

/// What was in effect before at one target.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) folder: Folder,
    /// Files, byte for byte.
    pub(super) generations: Generations,
    /// Versions of the templates, each as one file.
    pub(super) versions: Generations,
    /// What is held on to, if anything; a change rings for the target.
    held: Store<(), Hold>,
}

/// What a target is held on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Held {
    /// The files of a generation, byte for byte.
    Data(u64),
    /// A version of the templates, rendered with present data.
    Templates {
        /// Its number.
        templates: u64,
    },
}

/// The last order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hold {
    /// `None`: the target was released.
    held: Option<Held>,
    /// Names the version of the templates that is held, or that was until the release.
    version: Option<Digest>,
}

/// A version of a target's templates that was in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect, by our clock, RFC 3339.
    pub since: String,
    /// Names it.
    pub digest: Digest,
    /// What was written down: see [`Product::version`].
    pub bytes: Vec<u8>,
}

/// Why there is no way back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is nothing to go back to.
    #[error("there is no earlier generation")]
    Nothing,
    /// There are no other templates to go back to.
    #[error("there is no earlier version of its templates and configuration; `--data` goes back to earlier data")]
    NoVersion,
    /// It was never there, or is not kept any more.
    #[error("there is no {what} {number}; there are {}", list(known))]
    Unknown {
        /// A generation, or a version.
        what: &'static str,
        /// The one that was asked for.
        number: u64,
        /// Those that are kept.
        known: Vec<u64>,
    },
    /// A part of it cannot be read.
    #[error("generation {0} is incomplete: one of its files is missing in the state directory")]
    Lost(u64),
    /// What lies there now cannot be compared.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read, or written down.
    #[error(transparent)]
    State(#[from] StateError),
}

fn list(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(number) => write!(f, "generation {number} of its data"),
            Self::Templates { templates } => write!(f, "version {templates} of its templates and configuration"),
        }
    }
}

impl History {
    pub(super) fn new(state: &StateDir, target: &str, keep: usize, desired: &Desired) -> Result<Self, StateError> {
        let folder = state.folder("generations", target);
        let generations = Generations::new(folder.clone(), keep);
        let versions = Generations::new(state.folder("versions", target), keep);
        let history = Self { folder, generations, versions, held: Store::beside(desired) };
        history.held.set((), history.hold_of(history.folder.read(HELD)?)?);
        Ok(history)
    }

    /// What a target is held on to, for who only looks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn held_in(state: &StateDir, target: &str) -> Result<Option<Held>, StateError> {
        state.folder("generations", target).read(HELD)
    }

    /// The generations of files that are kept, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, StateError> {
        self.generations.list()
    }

    /// The versions of the templates that are kept, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn versions(&self) -> Result<Vec<Version>, StateError> {
        let mut versions = Vec::new();
        for generation in self.versions.list()? {
            let Some(files) = self.versions.files(&generation)? else { continue };
            let Generation { number, since, .. } = generation;
            versions.extend(files.entries.values().map(|product| {
                let (digest, bytes) = (product.text.digest(), product.text.bytes().to_vec());
                Version { number, since: since.clone(), digest, bytes }
            }));
        }
        Ok(versions)
    }

    /// What is held on to.
    pub fn held(&self) -> Option<Held> {
        self.held.snapshot().entries.get(&())?.held
    }

    /// Goes on with the templates although something is held on to, since that does not fit the configuration. A later
    /// configuration may fit again.
    pub(crate) fn suspend(&self) {
        self.held.set((), None);
    }

    /// Holds on to a generation of files until [`release`](Self::release), whatever the templates become. Without a
    /// number: to the one before the one that is in effect. Says which one it is.
    ///
    /// # Errors
    /// There is none such, or it cannot be written down.
    pub fn hold(&self, number: Option<u64>) -> Result<u64, HistoryError> {
        let found = self.find(number)?;
        self.generations.files(&found)?.ok_or(HistoryError::Lost(found.number))?;
        self.set(Some(Held::Data(found.number)))?;
        Ok(found.number)
    }

    /// A generation of files; without a number, the one before the one that is in effect.
    fn find(&self, number: Option<u64>) -> Result<Generation, HistoryError> {
        let list = self.generations()?;
        let in_effect = match self.held() {
            Some(Held::Data(number)) => Some(number),
            _ => self.in_effect()?.generation,
        };
        let known = || list.iter().map(|generation| generation.number).collect();
        let found = match number {
            Some(number) => list
                .iter()
                .find(|generation| generation.number == number)
                .ok_or_else(|| HistoryError::Unknown { what: "generation", number, known: known() })?,
            None => {
                let before = list.iter().rev().find(|generation| Some(generation.number) < in_effect);
                before.ok_or(HistoryError::Nothing)?
            }
        };
        Ok(found.clone())
    }

    /// A version of the templates; without a number, the one before the one that is in effect.
    ///
    /// # Errors
    /// There is none such, or it cannot be read.
    pub fn version(&self, number: Option<u64>) -> Result<Version, HistoryError> {
        let list = self.versions()?;
        let in_effect = match self.held() {
            Some(Held::Templates { templates }) => Some(templates),
            _ => self.in_effect()?.version,
        };
        let known = list.iter().map(|version| version.number).collect();
        let found = match number {
            Some(number) => list.into_iter().find(|version| version.number == number),
            None => list.into_iter().rev().find(|version| Some(version.number) < in_effect),
        };
        found.ok_or(match number {
            Some(number) => HistoryError::Unknown { what: "version", number, known },
            None => HistoryError::NoVersion,
        })
    }

    /// What would be different in the files that lie there if a generation came back.
    ///
    /// # Errors
    /// There is none such, or something cannot be read.
    pub fn diff(&self, number: Option<u64>) -> Result<(u64, String), HistoryError> {
        let found = self.find(number)?;
        let files = self.generations.files(&found)?.ok_or(HistoryError::Lost(found.number))?;
        let newest = self.generations()?.pop();
        let paths = newest.iter().flat_map(|newest| newest.files.keys()).chain(found.files.keys());
        let paths: BTreeSet<&PathBuf> = paths.collect();
        let mut diff = String::new();
        for path in paths {
            let (name, nothing) = (path.display().to_string(), "/dev/null");
            let present = files::read(path, Symlinks::Follow)?.map(|present| present.bytes);
            let former = files.entries.get(path).map(|product| product.text.bytes());
            if present.as_deref() != former {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let title = |is_there: bool| if is_there { name.as_str() } else { nothing };
                let (old, new) = (text(present.as_deref()), text(former));
                diff += &unified(&old, &new, title(present.is_some()), title(former.is_some()));
            }
        }
        Ok((found.number, diff))
    }

    /// Lets the templates go on.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn release(&self) -> Result<(), HistoryError> {
        self.set(None)
    }

    /// Sets or forgets what is held on to.
    pub(crate) fn set(&self, held: Option<Held>) -> Result<(), HistoryError> {
        let hold = match held {
            Some(_) => self.hold_of(held)?,
            None => self.held.snapshot().entries.get(&()).map(|hold| Hold { held: None, ..*hold }),
        };
        match held {
            Some(held) => self.folder.write(HELD, &held)?,
            None => self.folder.remove(HELD)?,
        }
        self.held.set((), hold);
        Ok(())
    }

    fn hold_of(&self, held: Option<Held>) -> Result<Option<Hold>, StateError> {
        Ok(match held {
            None => None,
            Some(Held::Data(_)) => Some(Hold { held, version: None }),
            Some(Held::Templates { templates }) => {
                let version = self.versions()?.into_iter().find(|version| version.number == templates);
                Some(Hold { held, version: version.map(|version| version.digest) })
            }
        })
    }

    /// The files of the generation that is held on to.
    pub(super) fn held_files(&self) -> Result<Option<Wanted>, StateError> {
        let Some(Held::Data(number)) = self.held() else { return Ok(None) };
        let generation = self.generations()?.into_iter().find(|generation| generation.number == number);
        let files = generation.map(|generation| self.generations.files(&generation)).transpose()?.flatten();
        if files.is_none() {
            tracing::warn!(
                "generation {number}, to which the target is pinned, is lost: the target follows its templates"
            );
        }
        Ok(files)
    }

    /// Whether these files are rendered from the templates that are held on to; after a release, from others than those
    /// that were.
    pub(super) fn is_followed_by(&self, files: &Wanted) -> bool {
        let made_by = generations::version(files);
        match self.held.snapshot().entries.get(&()) {
            Some(Hold { held: Some(Held::Data(_)), .. }) => false,
            // What makes no file cannot be told from anything else that makes none.
            _ if files.entries.is_empty() => true,
            Some(Hold { held: Some(_), version }) => version.is_some() && made_by == *version,
            Some(Hold { held: None, version }) => version.is_none() || made_by != *version,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        sys::state_dir::StateDir,
        target::{InEffect, Product, Rendered},
    };

    #[test]
    fn the_way_back_goes_step_by_step_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = Desired::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert!(matches!(history.hold(None), Err(HistoryError::Nothing)));
        for text in ["1", "2", "3"] {
            desired.replace([("/a".into(), Arc::new(Product::new(0, text)))].into());
            history.record(&desired.snapshot(), None).expect("there is room");
        }
        let mut bell = desired.bell();
        bell.mark_unchanged();
        assert_eq!(history.hold(None).expect("there is one"), 2);
        assert!(bell.has_changed().expect("the store lives"));
        assert_eq!(history.hold(None).expect("there is one"), 1);
        assert!(matches!(history.hold(None), Err(HistoryError::Nothing)));
        let unknown = history.hold(Some(9)).expect_err("there is none").to_string();
        assert_eq!(unknown, "there is no generation 9; there are 1, 2, 3");
        assert_eq!(history.held(), Some(Held::Data(1)), "an error changes nothing");
        let again = History::new(&state, "edge", 5, &desired).expect("it can be read");
        let files = again.held_files().expect("it can be read").expect("it is held");
        assert_eq!(files.entries.values().next().expect("a file").text.bytes(), b"1");
        again.release().expect("it can be removed");
        assert!(again.held_files().expect("it can be read").is_none());
    }
    #[test]
    fn a_version_is_taken_down_for_each_change_of_the_templates_and_none_while_one_is_held() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = Desired::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        let wanted = |set: &str, text: &str| {
            let product = Product { version: Some(Arc::new(Rendered::new(set))), ..Product::new(0, text) };
            desired.replace([("/a".into(), Arc::new(product))].into());
            desired.snapshot()
        };
        for (set, text) in [("A", "1"), ("A", "2"), ("B", "2"), ("B", "3")] {
            history.record(&wanted(set, text), None).expect("there is room");
        }
        let versions = || {
            let versions = history.versions().expect("they can be read").into_iter();
            versions.map(|version| (version.number, version.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(versions(), [(1, b"A".to_vec()), (2, b"B".to_vec())]);
        assert_eq!(history.version(None).expect("there is one").number, 1);
        history.set(Some(Held::Templates { templates: 1 })).expect("there is room");
        assert!(!history.is_followed_by(&wanted("B", "3")) && history.is_followed_by(&wanted("A", "4")));
        history.record(&wanted("A", "4"), history.held()).expect("there is room");
        assert_eq!(versions().len(), 2);
        assert_eq!(history.in_effect().expect("it can be read"), InEffect { version: Some(1), generation: Some(4) });
        history.release().expect("it can be removed");
        assert_eq!(history.in_effect().expect("it can be read").version, Some(1), "until the next pass");
        history.set(Some(Held::Templates { templates: 1 })).expect("there is room");
        assert!(matches!(history.version(None), Err(HistoryError::NoVersion)));
        let again = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert_eq!(again.held(), Some(Held::Templates { templates: 1 }));
        assert!(again.is_followed_by(&wanted("A", "5")));
    }
}
