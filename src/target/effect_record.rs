//! Which generation and which version a target's last successful pass brought into effect.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    desired_file::DesiredSnapshot,
    generations::Generation,
    history::{History, RollbackPin},
};
use crate::sys::state_dir::StateError;

/// The name of the record in the state directory.
const IN_EFFECT_FILE: &str = "in-effect";
/// A version has one content; this is its path.
const TEMPLATES_FILE: &str = "templates";

/// The version and the generation in effect; `None` for one that the history does not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InEffect {
    /// The version of the templates that the files were rendered from.
    pub version: Option<u64>,
    /// The generation of the files.
    pub generation: Option<u64>,
}

impl History {
    /// What the last successful pass brought into effect. A rollback or its release changes it only with the next pass.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn in_effect(&self) -> Result<InEffect, StateError> {
        if let Some(known) = self.folder.read(IN_EFFECT_FILE)? {
            return Ok(known);
        }
        // Earlier releases of Portreeve did not record it.
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

    /// Records the files that are in effect, and the templates that they were rendered from. `pin`: the rollback pin
    /// that they are subject to.
    pub(super) fn record_in_effect(
        &self,
        desired: &DesiredSnapshot,
        pin: Option<RollbackPin>,
    ) -> Result<(), StateError> {
        let record_files = || {
            let contents = desired.files.iter().map(|(path, file)| (path.as_path(), file.template, &*file.content));
            self.generations.record(contents, desired.template_version())
        };
        let in_effect = match pin {
            Some(RollbackPin::Data(number)) => InEffect { version: None, generation: Some(number) },
            Some(RollbackPin::Templates { templates }) => {
                InEffect { version: Some(templates), generation: record_files()? }
            }
            None => {
                let generation = record_files()?;
                let contents = |templates| std::iter::once((Path::new(TEMPLATES_FILE), 0, templates));
                let version = desired.templates().map(|templates| self.versions.record(contents(&**templates), None));
                InEffect { generation, version: version.transpose()?.flatten() }
            }
        };
        if self.folder.read(IN_EFFECT_FILE)? != Some(in_effect) {
            self.folder.write(IN_EFFECT_FILE, &in_effect)?;
        }
        Ok(())
    }
}
