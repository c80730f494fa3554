//! What one pass may look at, and the note of what it looked at.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::Escape;
use crate::registry::{Answer, Query};

/// The answers that are known.
pub type Answers = BTreeMap<Query, Arc<Answer>>;

/// Everything that a render depends on besides the template.
#[derive(Clone, Copy, Debug)]
pub struct RenderInputs<'a> {
    /// The answers that are known.
    pub answers: &'a Answers,
    /// The environment that `env` and `envOr` see.
    pub env: &'a BTreeMap<String, String>,
    /// What `this` is at the top of the template: the member of a list that a file is made for, else nothing.
    pub item: &'a Value,
}

/// Why a template cannot be rendered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingInput {
    /// The query has not been answered once.
    Answer,
    /// The answer is that there is no such key, and the template cannot do without.
    Key,
    /// There is no such file, and the template cannot do without.
    File,
    /// There are too few instances or keys.
    TooFew {
        /// How many there are.
        found: usize,
        /// How many the template asks for at least.
        wanted: usize,
    },
}

impl fmt::Display for MissingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("not answered yet"),
            Self::Key => f.write_str("there is no such key"),
            Self::File => f.write_str("there is no such file"),
            Self::TooFew { found, wanted } => {
                write!(f, "found {found}, and at least {wanted} are asked for")
            }
        }
    }
}

/// The pass as the helpers see it.
pub(super) struct QueryRecorder<'a> {
    inputs: RenderInputs<'a>,
    pub(super) escape: Escape,
    record: Mutex<RenderRecord>,
}

/// What a pass asked, what of it cannot be had, and what the author may have meant otherwise.
#[derive(Default)]
pub(super) struct RenderRecord {
    pub(super) queries: BTreeSet<Query>,
    pub(super) missing: BTreeMap<Query, MissingInput>,
    /// What the render has left out, and what its author may have meant otherwise.
    pub(super) warnings: BTreeSet<String>,
    /// Who has claimed a name first, by kind and name.
    claims: BTreeMap<(String, String), String>,
}

impl<'a> QueryRecorder<'a> {
    pub(super) fn new(inputs: RenderInputs<'a>, escape: Escape) -> Self {
        Self { inputs, escape, record: Mutex::default() }
    }

    /// The answer to `query`. `None`: not yet, so this pass is for finding out what to ask, and writes nothing.
    pub(super) fn ask(&self, query: Query) -> Option<&'a Answer> {
        let answer = self.inputs.answers.get(&query);
        let mut notes = self.lock();
        if answer.is_none() {
            notes.missing.insert(query.clone(), MissingInput::Answer);
        }
        notes.queries.insert(query);
        answer.map(Arc::as_ref)
    }

    /// The template must not be written before `query` is answered otherwise.
    pub(super) fn add_missing(&self, query: Query, why: MissingInput) {
        self.lock().missing.entry(query).or_insert(why);
    }

    /// Notes what the log is to tell: something that is left out, or that the author may have meant otherwise.
    pub(super) fn warn(&self, text: String) {
        self.lock().warnings.insert(text);
    }

    /// Claims a name for `owner`; the error is who has claimed it before.
    pub(super) fn claim(&self, kind: String, name: String, owner: String) -> Result<(), String> {
        match self.lock().claims.entry((kind, name)) {
            Entry::Vacant(free) => {
                free.insert(owner);
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.get().clone()),
        }
    }

    /// What `this` is at the top of the template.
    pub(super) fn item(&self) -> &'a Value {
        self.inputs.item
    }

    /// A variable of the environment.
    pub(super) fn env_var(&self, name: &str) -> Option<&'a str> {
        self.inputs.env.get(name).map(String::as_str)
    }

    pub(super) fn into_record(self) -> RenderRecord {
        self.record.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, RenderRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
