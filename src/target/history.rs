//! The way back by hand: which version of a target's templates, or which generation of its files, is held on to. Shared by
//! the target and by who gives orders.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    desired_file::{DesiredFileStore, DesiredSnapshot, Digest},
    diff::unified_diff,
    files::{self, FileError},
    generations::{self, Generation, GenerationStore},
    settings::SymlinkPolicy,
};
use crate::{
    core::store::Store,
    sys::state_dir::{StateDir, StateError, StateFolder},
};

/// What is held on to.
const PIN_FILE: &str = "held";

/// What was in effect before at one target.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) folder: StateFolder,
    /// Files, byte for byte.
    pub(super) generations: GenerationStore,
    /// Versions of the templates, each as one file.
    pub(super) versions: GenerationStore,
    /// What is held on to, if anything; a change rings for the target.
    pin: Store<(), PinState>,
}

/// What a target is held on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RollbackPin {
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
struct PinState {
    /// `None`: the target was released.
    pin: Option<RollbackPin>,
    /// Names the version of the templates that is held, or that was until the release.
    template_version: Option<Digest>,
}

/// A version of a target's templates that was in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedVersion {
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
    NoEarlierGeneration,
    /// There are no other templates to go back to.
    #[error("there is no earlier version of its templates and configuration; `--data` goes back to earlier data")]
    NoEarlierVersion,
    /// It was never there, or is not kept any more.
    #[error("there is no {what} {number}; there are {}", join_numbers(known))]
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
    Incomplete(u64),
    /// What lies there now cannot be compared.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be read, or written down.
    #[error(transparent)]
    State(#[from] StateError),
}

fn join_numbers(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for RollbackPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Data(number) => write!(f, "generation {number} of its data"),
            Self::Templates { templates } => write!(f, "version {templates} of its templates and configuration"),
        }
    }
}

impl History {
    pub(super) fn new(
        state: &StateDir,
        target: &str,
        keep: usize,
        desired: &DesiredFileStore,
    ) -> Result<Self, StateError> {
        let folder = state.folder("generations", target);
        let generations = GenerationStore::new(folder.clone(), keep);
        let versions = GenerationStore::new(state.folder("versions", target), keep);
        let history = Self { folder, generations, versions, pin: Store::with_bell_of(desired) };
        history.pin.set((), history.pin_state(history.folder.read(PIN_FILE)?)?);
        Ok(history)
    }

    /// What a target is held on to, for who only looks.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_pin(state: &StateDir, target: &str) -> Result<Option<RollbackPin>, StateError> {
        state.folder("generations", target).read(PIN_FILE)
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
    pub fn versions(&self) -> Result<Vec<SavedVersion>, StateError> {
        let mut versions = Vec::new();
        for generation in self.versions.list()? {
            let Some(files) = self.versions.files(&generation)? else { continue };
            let Generation { number, since, .. } = generation;
            versions.extend(files.entries.values().map(|product| {
                let (digest, bytes) = (product.content.digest(), product.content.bytes().to_vec());
                SavedVersion { number, since: since.clone(), digest, bytes }
            }));
        }
        Ok(versions)
    }

    /// What is held on to.
    pub fn pin(&self) -> Option<RollbackPin> {
        self.pin.snapshot().entries.get(&())?.pin
    }

    /// Goes on with the templates although something is held on to, since that does not fit the configuration. A later
    /// configuration may fit again.
    pub(crate) fn suspend_pin(&self) {
        self.pin.set((), None);
    }

    /// Holds on to a generation of files until [`release`](Self::release), whatever the templates become. Without a
    /// number: to the one before the one that is in effect. Says which one it is.
    ///
    /// # Errors
    /// There is none such, or it cannot be written down.
    pub fn pin_generation(&self, number: Option<u64>) -> Result<u64, HistoryError> {
        let found = self.find_generation(number)?;
        self.generations.files(&found)?.ok_or(HistoryError::Incomplete(found.number))?;
        self.set_pin(Some(RollbackPin::Data(found.number)))?;
        Ok(found.number)
    }

    /// A generation of files; without a number, the one before the one that is in effect.
    fn find_generation(&self, number: Option<u64>) -> Result<Generation, HistoryError> {
        let list = self.generations()?;
        let in_effect = match self.pin() {
            Some(RollbackPin::Data(number)) => Some(number),
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
                before.ok_or(HistoryError::NoEarlierGeneration)?
            }
        };
        Ok(found.clone())
    }

    /// A version of the templates; without a number, the one before the one that is in effect.
    ///
    /// # Errors
    /// There is none such, or it cannot be read.
    pub fn version(&self, number: Option<u64>) -> Result<SavedVersion, HistoryError> {
        let list = self.versions()?;
        let in_effect = match self.pin() {
            Some(RollbackPin::Templates { templates }) => Some(templates),
            _ => self.in_effect()?.version,
        };
        let known = list.iter().map(|version| version.number).collect();
        let found = match number {
            Some(number) => list.into_iter().find(|version| version.number == number),
            None => list.into_iter().rev().find(|version| Some(version.number) < in_effect),
        };
        found.ok_or(match number {
            Some(number) => HistoryError::Unknown { what: "version", number, known },
            None => HistoryError::NoEarlierVersion,
        })
    }

    /// What would be different in the files that lie there if a generation came back.
    ///
    /// # Errors
    /// There is none such, or something cannot be read.
    pub fn diff(&self, number: Option<u64>) -> Result<(u64, String), HistoryError> {
        let found = self.find_generation(number)?;
        let files = self.generations.files(&found)?.ok_or(HistoryError::Incomplete(found.number))?;
        let newest = self.generations()?.pop();
        let paths = newest.iter().flat_map(|newest| newest.files.keys()).chain(found.files.keys());
        let paths: BTreeSet<&PathBuf> = paths.collect();
        let mut diff = String::new();
        for path in paths {
            let (name, nothing) = (path.display().to_string(), "/dev/null");
            let present = files::read(path, SymlinkPolicy::Follow)?.map(|present| present.bytes);
            let former = files.entries.get(path).map(|product| product.content.bytes());
            if present.as_deref() != former {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let title = |is_there: bool| if is_there { name.as_str() } else { nothing };
                let (old, new) = (text(present.as_deref()), text(former));
                diff += &unified_diff(&old, &new, title(present.is_some()), title(former.is_some()));
            }
        }
        Ok((found.number, diff))
    }

    /// Lets the templates go on.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn release(&self) -> Result<(), HistoryError> {
        self.set_pin(None)
    }

    /// Sets or forgets what is held on to.
    pub(crate) fn set_pin(&self, held: Option<RollbackPin>) -> Result<(), HistoryError> {
        let hold = match held {
            Some(_) => self.pin_state(held)?,
            None => self.pin.snapshot().entries.get(&()).map(|hold| PinState { pin: None, ..*hold }),
        };
        match held {
            Some(held) => self.folder.write(PIN_FILE, &held)?,
            None => self.folder.remove(PIN_FILE)?,
        }
        self.pin.set((), hold);
        Ok(())
    }

    fn pin_state(&self, held: Option<RollbackPin>) -> Result<Option<PinState>, StateError> {
        Ok(match held {
            None => None,
            Some(RollbackPin::Data(_)) => Some(PinState { pin: held, template_version: None }),
            Some(RollbackPin::Templates { templates }) => {
                let version = self.versions()?.into_iter().find(|version| version.number == templates);
                Some(PinState { pin: held, template_version: version.map(|version| version.digest) })
            }
        })
    }

    /// The files of the generation that is held on to.
    pub(super) fn pinned_files(&self) -> Result<Option<DesiredSnapshot>, StateError> {
        let Some(RollbackPin::Data(number)) = self.pin() else { return Ok(None) };
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
    pub(super) fn is_rendered_as_pinned(&self, files: &DesiredSnapshot) -> bool {
        let made_by = generations::template_version(files);
        match self.pin.snapshot().entries.get(&()) {
            Some(PinState { pin: Some(RollbackPin::Data(_)), .. }) => false,
            // What makes no file cannot be told from anything else that makes none.
            _ if files.entries.is_empty() => true,
            Some(PinState { pin: Some(_), template_version: version }) => version.is_some() && made_by == *version,
            Some(PinState { pin: None, template_version: version }) => version.is_none() || made_by != *version,
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
        target::{DesiredFile, HashedContent, InEffect},
    };

    #[test]
    fn the_way_back_goes_step_by_step_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = DesiredFileStore::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert!(matches!(history.pin_generation(None), Err(HistoryError::NoEarlierGeneration)));
        for text in ["1", "2", "3"] {
            desired.replace([("/a".into(), Arc::new(DesiredFile::new(0, text)))].into());
            history.record_in_effect(&desired.snapshot(), None).expect("there is room");
        }
        let mut bell = desired.bell();
        bell.mark_unchanged();
        assert_eq!(history.pin_generation(None).expect("there is one"), 2);
        assert!(bell.has_changed().expect("the store lives"));
        assert_eq!(history.pin_generation(None).expect("there is one"), 1);
        assert!(matches!(history.pin_generation(None), Err(HistoryError::NoEarlierGeneration)));
        let unknown = history.pin_generation(Some(9)).expect_err("there is none").to_string();
        assert_eq!(unknown, "there is no generation 9; there are 1, 2, 3");
        assert_eq!(history.pin(), Some(RollbackPin::Data(1)), "an error changes nothing");
        let again = History::new(&state, "edge", 5, &desired).expect("it can be read");
        let files = again.pinned_files().expect("it can be read").expect("it is held");
        assert_eq!(files.entries.values().next().expect("a file").content.bytes(), b"1");
        again.release().expect("it can be removed");
        assert!(again.pinned_files().expect("it can be read").is_none());
    }
    #[test]
    fn a_version_is_taken_down_for_each_change_of_the_templates_and_none_while_one_is_held() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = DesiredFileStore::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        let wanted = |set: &str, text: &str| {
            let product =
                DesiredFile { templates: Some(Arc::new(HashedContent::new(set))), ..DesiredFile::new(0, text) };
            desired.replace([("/a".into(), Arc::new(product))].into());
            desired.snapshot()
        };
        for (set, text) in [("A", "1"), ("A", "2"), ("B", "2"), ("B", "3")] {
            history.record_in_effect(&wanted(set, text), None).expect("there is room");
        }
        let versions = || {
            let versions = history.versions().expect("they can be read").into_iter();
            versions.map(|version| (version.number, version.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(versions(), [(1, b"A".to_vec()), (2, b"B".to_vec())]);
        assert_eq!(history.version(None).expect("there is one").number, 1);
        history.set_pin(Some(RollbackPin::Templates { templates: 1 })).expect("there is room");
        assert!(!history.is_rendered_as_pinned(&wanted("B", "3")) && history.is_rendered_as_pinned(&wanted("A", "4")));
        history.record_in_effect(&wanted("A", "4"), history.pin()).expect("there is room");
        assert_eq!(versions().len(), 2);
        assert_eq!(history.in_effect().expect("it can be read"), InEffect { version: Some(1), generation: Some(4) });
        history.release().expect("it can be removed");
        assert_eq!(history.in_effect().expect("it can be read").version, Some(1), "until the next pass");
        history.set_pin(Some(RollbackPin::Templates { templates: 1 })).expect("there is room");
        assert!(matches!(history.version(None), Err(HistoryError::NoEarlierVersion)));
        let again = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert_eq!(again.pin(), Some(RollbackPin::Templates { templates: 1 }));
        assert!(again.is_rendered_as_pinned(&wanted("A", "5")));
    }
}
