//! The way back by hand: which generation of a target's files is held on to. Shared by the target and by who gives orders.

use super::{
    generations::{Generation, Generations},
    rendered::{Desired, Wanted},
};
use crate::{
    state::{Folder, StateError},
    store::Store,
};

/// What was in effect before at one target.
#[derive(Clone, Debug)]
pub struct History {
    generations: Generations,
    /// The generation that is held on to, if any; a change rings for the target.
    held: Store<(), u64>,
}

/// Why there is no way back.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is nothing to go back to.
    #[error("there is no earlier generation")]
    Nothing,
    /// It was never there, or is not kept any more.
    #[error("there is no generation {number}; there are {}", list(known))]
    Unknown {
        /// The one that was asked for.
        number: u64,
        /// Those that are kept.
        known: Vec<u64>,
    },
    /// A part of it cannot be read.
    #[error("generation {0} is not whole: one of its files is lost in the state directory")]
    Lost(u64),
    /// It cannot be written down.
    #[error(transparent)]
    State(#[from] StateError),
}

fn list(numbers: &[u64]) -> String {
    if numbers.is_empty() {
        return "none".to_owned();
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

impl History {
    pub(super) fn new(folder: Folder, keep: usize, desired: &Desired) -> Result<Self, StateError> {
        let generations = Generations::new(folder, keep);
        let held = Store::beside(desired);
        held.set((), generations.held()?);
        Ok(Self { generations, held })
    }

    /// What is kept, oldest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, StateError> {
        self.generations.list()
    }

    /// The number of the generation that is held on to.
    pub fn held(&self) -> Option<u64> {
        self.held.snapshot().entries.get(&()).copied()
    }

    /// Holds on to a generation until [`release`](Self::release), whatever the templates become. Without a number: to the
    /// one before the one that is in effect. Says which one it is.
    ///
    /// # Errors
    /// There is none such, or it cannot be written down.
    pub fn hold(&self, number: Option<u64>) -> Result<u64, HistoryError> {
        let list = self.generations()?;
        let in_effect = self.held().or_else(|| list.last().map(|newest| newest.number));
        let found = match number {
            Some(number) => list.iter().find(|generation| generation.number == number).ok_or_else(|| {
                HistoryError::Unknown { number, known: list.iter().map(|generation| generation.number).collect() }
            })?,
            None => {
                let before = list.iter().rev().find(|generation| Some(generation.number) < in_effect);
                before.ok_or(HistoryError::Nothing)?
            }
        };
        self.generations.files(found)?.ok_or(HistoryError::Lost(found.number))?;
        self.set(Some(found.number))?;
        Ok(found.number)
    }

    /// Lets the templates go on.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn release(&self) -> Result<(), HistoryError> {
        self.set(None)
    }

    /// Sets or forgets what is held on to.
    pub(crate) fn set(&self, number: Option<u64>) -> Result<(), HistoryError> {
        self.generations.hold(number)?;
        self.held.set((), number);
        Ok(())
    }

    /// The generation that is held on to.
    pub(super) fn held_files(&self) -> Result<Option<(u64, Wanted)>, StateError> {
        let Some(number) = self.held() else { return Ok(None) };
        let generation = self.generations()?.into_iter().find(|generation| generation.number == number);
        let files = generation.map(|generation| self.generations.files(&generation)).transpose()?.flatten();
        if files.is_none() {
            tracing::warn!("generation {number} is held on to, but is lost: the templates go on");
        }
        Ok(files.map(|files| (number, files)))
    }

    /// Takes down what is in effect.
    pub(super) fn record(&self, now: &Wanted) -> Result<(), StateError> {
        self.generations.record(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{state::StateDir, target::Product};

    #[test]
    fn the_way_back_goes_step_by_step_and_survives_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let state = StateDir::open(folder.path()).expect("it is ours");
        let desired = Desired::default();
        let history = History::new(state.folder("generations", "edge"), 5, &desired).expect("it can be read");
        assert!(matches!(history.hold(None), Err(HistoryError::Nothing)));
        for text in ["1", "2", "3"] {
            desired.replace([("/a".into(), Arc::new(Product::new(0, text)))].into());
            history.record(&desired.snapshot()).expect("there is room");
        }
        let mut bell = desired.bell();
        bell.mark_unchanged();
        assert_eq!(history.hold(None).expect("there is one"), 2);
        assert!(bell.has_changed().expect("the store lives"));
        assert_eq!(history.hold(None).expect("there is one"), 1);
        assert!(matches!(history.hold(None), Err(HistoryError::Nothing)));
        let unknown = history.hold(Some(9)).expect_err("there is none").to_string();
        assert_eq!(unknown, "there is no generation 9; there are 1, 2, 3");
        assert_eq!(history.held(), Some(1), "an error changes nothing");
        let again = History::new(state.folder("generations", "edge"), 5, &desired).expect("it can be read");
        let (number, files) = again.held_files().expect("it can be read").expect("it is held");
        assert_eq!((number, files.entries.values().next().expect("a file").text.bytes()), (1, &b"1"[..]));
        again.release().expect("it can be removed");
        assert!(again.held_files().expect("it can be read").is_none());
    }
}
