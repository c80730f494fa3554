//! What a target's last successful pass brought into effect, and its place among the generations and versions.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    desired_file::{DesiredFile, DesiredSnapshot, HashedContent},
    generations::Generation,
    history::{History, RollbackPin},
};
use crate::sys::state_dir::StateError;

/// What is in effect.
const IN_EFFECT_FILE: &str = "in-effect";
/// The name of the one content of a version.
const TEMPLATES_FILE: &str = "templates";

/// What a target's last successful pass brought into effect, as far as it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InEffect {
    /// The version of the templates that made the files.
    pub version: Option<u64>,
    /// The generation of the files.
    pub generation: Option<u64>,
}

impl History {
    /// What the last successful pass brought into effect. After a rollback was ordered or released, that is the former
    /// files until the next pass.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn in_effect(&self) -> Result<InEffect, StateError> {
        if let Some(known) = self.folder.read(IN_EFFECT_FILE)? {
            return Ok(known);
        }
        // Written by a Portreeve that did not keep it yet.
        let (versions, generations) = (self.versions.list()?, self.generations.list()?);
        let number = |list: Vec<Generation>| list.last().map(|newest| newest.number);
        Ok(match self.pin() {
            Some(RollbackPin::Data(number)) => InEffect { version: None, generation: Some(number) },
            Some(RollbackPin::Templates { templates }) => {
                InEffect { version: Some(templates), generation: number(generations) }
            }
            None => InEffect { version: number(versions), generation: number(generations) },
        })
    }

    /// Takes down what is in effect: the files, and the templates that made them. `followed`: the rollback that they come
    /// from, if any.
    pub(super) fn record_in_effect(
        &self,
        now: &DesiredSnapshot,
        followed: Option<RollbackPin>,
    ) -> Result<(), StateError> {
        let made_by = now.entries.values().find_map(|product| product.templates.clone());
        let in_effect = match followed {
            Some(RollbackPin::Data(number)) => InEffect { version: None, generation: Some(number) },
            Some(RollbackPin::Templates { templates }) => {
                InEffect { version: Some(templates), generation: self.generations.record(now)? }
            }
            None => InEffect {
                generation: self.generations.record(now)?,
                version: made_by.map(|set| self.versions.record(&as_snapshot(set))).transpose()?.flatten(),
            },
        };
        if self.folder.read(IN_EFFECT_FILE)? != Some(in_effect) {
            self.folder.write(IN_EFFECT_FILE, &in_effect)?;
        }
        Ok(())
    }
}

/// A version is kept as a generation of one file.
fn as_snapshot(set: Arc<HashedContent>) -> DesiredSnapshot {
    let product = DesiredFile::with_content(0, set);
    DesiredSnapshot {
        entries: Arc::new([(TEMPLATES_FILE.into(), Arc::new(product))].into()),
        complete: true,
        complete_count: 0,
    }
}
