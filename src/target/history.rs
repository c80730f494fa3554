//! Rollbacks by an operator: the generations of a target's files, the versions of its templates, and which of them it
//! is pinned to. Shared by the target and the control socket.

use std::{collections::BTreeSet, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    desired_file::{DesiredFileStore, DesiredFiles, DesiredSnapshot, Digest},
    diff::unified_diff,
    files::{self, FileError},
    generations::{Generation, GenerationStore},
    settings::SymlinkPolicy,
};
use crate::{
    core::store::Store,
    sys::state_dir::{StateDir, StateError, StateFolder},
};

/// The name of the pin in the state directory.
const PIN_FILE: &str = "held";

/// What was in effect at one target, and its rollback pin.
#[derive(Clone, Debug)]
pub struct History {
    pub(super) folder: StateFolder,
    /// The rendered files.
    pub(super) generations: GenerationStore,
    /// The versions of the templates, each with one content.
    pub(super) versions: GenerationStore,
    /// Rings the bell of the desired files.
    pin: Store<(), PinState>,
}

/// What a target is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RollbackPin {
    /// The files of the generation with this number.
    Data(u64),
    /// A version of the templates, rendered with current data.
    Templates {
        /// The number of the version.
        templates: u64,
    },
}

/// The pin, and what is known of its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PinState {
    /// `None` after a release.
    pin: Option<RollbackPin>,
    /// The version of the templates that is pinned, or that was pinned until the release.
    template_version: Option<Digest>,
}

/// A numbered version of a target's templates that was in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedVersion {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect, by the clock of this host (RFC 3339).
    pub since: String,
    /// The digest of its content.
    pub digest: Digest,
    /// Its content: see [`DesiredFile::templates`](super::DesiredFile::templates).
    pub bytes: Vec<u8>,
}

/// Why a rollback is not possible.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No generation precedes the one in effect.
    #[error("there is no earlier generation")]
    NoEarlierGeneration,
    /// No version precedes the one in effect.
    #[error("there is no earlier version of its templates and configuration; `--data` goes back to earlier data")]
    NoEarlierVersion,
    /// It never existed, or is no longer kept.
    #[error("there is no {what} {number}; there are {}", join_numbers(known))]
    Unknown {
        /// `generation` or `version`.
        what: &'static str,
        /// The requested number.
        number: u64,
        /// The numbers that are kept.
        known: Vec<u64>,
    },
    /// A content is missing.
    #[error("generation {0} is incomplete: one of its files is missing in the state directory")]
    Incomplete(u64),
    /// A file on the disk cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The state directory cannot be read or written.
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
        max_kept: usize,
        desired: &DesiredFileStore,
    ) -> Result<Self, StateError> {
        let folder = state.folder("generations", target);
        let generations = GenerationStore::new(folder.clone(), max_kept);
        let versions = GenerationStore::new(state.folder("versions", target), max_kept);
        let history = Self { folder, generations, versions, pin: Store::with_bell_of(desired) };
        history.pin.set((), history.pin_state(history.folder.read(PIN_FILE)?)?);
        Ok(history)
    }

    /// The pin of a target that another process may be managing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_pin(state: &StateDir, target: &str) -> Result<Option<RollbackPin>, StateError> {
        state.folder("generations", target).read(PIN_FILE)
    }

    /// The generations that are kept, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, StateError> {
        self.generations.list()
    }

    /// The versions that are kept, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn versions(&self) -> Result<Vec<SavedVersion>, StateError> {
        let mut versions = Vec::new();
        for generation in self.versions.list()? {
            let Some(files) = self.versions.files(&generation)? else { continue };
            let Generation { number, since, .. } = generation;
            versions.extend(files.values().map(|file| {
                let (digest, bytes) = (file.content.digest(), file.content.bytes().to_vec());
                SavedVersion { number, since: since.clone(), digest, bytes }
            }));
        }
        Ok(versions)
    }

    /// The current pin.
    pub fn pin(&self) -> Option<RollbackPin> {
        self.pin.snapshot().entries.get(&())?.pin
    }

    /// Ignores the pin, because it does not fit the configuration. It stays in the state directory: a later
    /// configuration may fit again.
    pub(crate) fn suspend_pin(&self) {
        self.pin.set((), None);
    }

    /// Pins the target to a generation until [`release`](Self::release). Without a number, to the one before the one in
    /// effect. Returns its number.
    ///
    /// # Errors
    /// The generation does not exist, or the state directory cannot be read or written.
    pub fn pin_generation(&self, number: Option<u64>) -> Result<u64, HistoryError> {
        let found = self.find_generation(number)?;
        self.generations.files(&found)?.ok_or(HistoryError::Incomplete(found.number))?;
        self.set_pin(Some(RollbackPin::Data(found.number)))?;
        Ok(found.number)
    }

    /// A generation; without a number, the one before the one in effect.
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

    /// A version of the templates; without a number, the one before the one in effect.
    ///
    /// # Errors
    /// The version does not exist, or cannot be read.
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

    /// The diff from the files on the disk to those of a generation. Without a number, it is the generation before the
    /// one in effect. Also returns its number.
    ///
    /// # Errors
    /// The generation does not exist, or a file cannot be read.
    pub fn diff(&self, number: Option<u64>) -> Result<(u64, String), HistoryError> {
        let found = self.find_generation(number)?;
        let files = self.generations.files(&found)?.ok_or(HistoryError::Incomplete(found.number))?;
        let newest = self.generations()?.pop();
        let paths = newest.iter().flat_map(|newest| newest.files.keys()).chain(found.files.keys());
        let paths: BTreeSet<&PathBuf> = paths.collect();
        let mut diff = String::new();
        for path in paths {
            let name = path.display().to_string();
            let present = files::read(path, SymlinkPolicy::Follow)?.map(|present| present.bytes);
            let former = files.get(path).map(|file| file.content.bytes());
            if present.as_deref() != former {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let header = |exists: bool| if exists { name.as_str() } else { "/dev/null" };
                let (old, new) = (text(present.as_deref()), text(former));
                diff += &unified_diff(&old, &new, header(present.is_some()), header(former.is_some()));
            }
        }
        Ok((found.number, diff))
    }

    /// Removes the pin, so that the target follows its templates again.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn release(&self) -> Result<(), HistoryError> {
        self.set_pin(None)
    }

    /// Sets or removes the pin.
    pub(crate) fn set_pin(&self, pin: Option<RollbackPin>) -> Result<(), HistoryError> {
        let state = match pin {
            Some(_) => self.pin_state(pin)?,
            None => self.pin.snapshot().entries.get(&()).map(|state| PinState { pin: None, ..*state }),
        };
        match pin {
            Some(pin) => self.folder.write(PIN_FILE, &pin)?,
            None => self.folder.remove(PIN_FILE)?,
        }
        self.pin.set((), state);
        Ok(())
    }

    fn pin_state(&self, pin: Option<RollbackPin>) -> Result<Option<PinState>, StateError> {
        Ok(match pin {
            None => None,
            Some(RollbackPin::Data(_)) => Some(PinState { pin, template_version: None }),
            Some(RollbackPin::Templates { templates }) => {
                let version = self.versions()?.into_iter().find(|version| version.number == templates);
                Some(PinState { pin, template_version: version.map(|version| version.digest) })
            }
        })
    }

    /// The files of the pinned generation; `None` if no generation is pinned.
    pub(super) fn pinned_files(&self) -> Result<Option<DesiredFiles>, StateError> {
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

    /// Whether these files were rendered from the pinned version of the templates; after a release, from another
    /// version than the one that was pinned.
    pub(super) fn is_rendered_as_pinned(&self, files: &DesiredSnapshot) -> bool {
        let rendered_from = files.template_version();
        match self.pin.snapshot().entries.get(&()) {
            Some(PinState { pin: Some(RollbackPin::Data(_)), .. }) => false,
            // Without a file the version is unknown.
            _ if files.files.is_empty() => true,
            Some(PinState { pin: Some(_), template_version: version }) => {
                version.is_some() && rendered_from == *version
            }
            Some(PinState { pin: None, template_version: version }) => version.is_none() || rendered_from != *version,
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
    fn rollbacks_go_back_one_generation_each_and_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = DesiredFileStore::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert!(matches!(history.pin_generation(None), Err(HistoryError::NoEarlierGeneration)));
        for text in ["1", "2", "3"] {
            desired.replace([("/a".into(), Arc::new(DesiredFile::new(0, text)))].into());
            history.record_in_effect(&desired.snapshot().into(), None).expect("there is room");
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
        let files = again.pinned_files().expect("it can be read").expect("it is pinned");
        assert_eq!(files.values().next().expect("a file").content.bytes(), b"1");
        again.release().expect("it can be removed");
        assert!(again.pinned_files().expect("it can be read").is_none());
    }

    #[test]
    fn a_version_is_recorded_for_each_change_of_the_templates_and_none_while_one_is_pinned() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = DesiredFileStore::default();
        let history = History::new(&state, "edge", 5, &desired).expect("it can be read");
        let rendered = |set: &str, text: &str| {
            let templates = Some(Arc::new(HashedContent::new(set)));
            let file = DesiredFile { templates, ..DesiredFile::new(0, text) };
            desired.replace([("/a".into(), Arc::new(file))].into());
            DesiredSnapshot::from(desired.snapshot())
        };
        for (set, text) in [("A", "1"), ("A", "2"), ("B", "2"), ("B", "3")] {
            history.record_in_effect(&rendered(set, text), None).expect("there is room");
        }
        let versions = || {
            let versions = history.versions().expect("they can be read").into_iter();
            versions.map(|version| (version.number, version.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(versions(), [(1, b"A".to_vec()), (2, b"B".to_vec())]);
        assert_eq!(history.version(None).expect("there is one").number, 1);
        history.set_pin(Some(RollbackPin::Templates { templates: 1 })).expect("there is room");
        assert!(
            !history.is_rendered_as_pinned(&rendered("B", "3")) && history.is_rendered_as_pinned(&rendered("A", "4"))
        );
        history.record_in_effect(&rendered("A", "4"), history.pin()).expect("there is room");
        assert_eq!(versions().len(), 2);
        assert_eq!(history.in_effect().expect("it can be read"), InEffect { version: Some(1), generation: Some(4) });
        history.release().expect("it can be removed");
        assert_eq!(history.in_effect().expect("it can be read").version, Some(1), "until the next pass");
        history.set_pin(Some(RollbackPin::Templates { templates: 1 })).expect("there is room");
        assert!(matches!(history.version(None), Err(HistoryError::NoEarlierVersion)));
        let again = History::new(&state, "edge", 5, &desired).expect("it can be read");
        assert_eq!(again.pin(), Some(RollbackPin::Templates { templates: 1 }));
        assert!(again.is_rendered_as_pinned(&rendered("A", "5")));
    }
}
