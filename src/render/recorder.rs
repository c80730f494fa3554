//! The input of one render, and the record of what the render used.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::Escape;
use crate::{
    registry::{Answer, Query},
    target::Upstream,
};

/// The answers that are known.
pub type Answers = BTreeMap<Query, Arc<Answer>>;

/// Everything that a render depends on besides the template.
#[derive(Clone, Copy, Debug)]
pub struct RenderInputs<'a> {
    /// The answers that are known.
    pub answers: &'a Answers,
    /// The environment that `env`, `envOr` and `mustEnv` read.
    pub env: &'a BTreeMap<String, String>,
    /// The value of `this` at the top of the template: with `each`, the item of the file; otherwise `null`.
    pub item: &'a Value,
}

/// Why a query keeps a template from being rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingInput {
    /// The query has not been answered yet.
    Answer,
    /// The key does not exist, and the template requires it.
    Key,
    /// The file does not exist, and the template requires it.
    File,
    /// There are fewer instances or keys than `min=` requires.
    TooFew {
        /// How many there are.
        found: usize,
        /// How many the template requires.
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

/// Gives the helpers the input of one render, and records what they use.
pub(super) struct QueryRecorder<'a> {
    inputs: RenderInputs<'a>,
    pub(super) escape: Escape,
    record: Mutex<RenderRecord>,
}

/// What a render used.
#[derive(Default)]
pub(super) struct RenderRecord {
    pub(super) queries: BTreeSet<Query>,
    pub(super) missing: BTreeMap<Query, MissingInput>,
    /// What was left out, and what is probably a mistake in the template.
    pub(super) warnings: BTreeSet<String>,
    /// In the order of the calls, each once.
    pub(super) upstreams: Vec<Upstream>,
    /// The first owner of each claimed name, by kind and name.
    claims: BTreeMap<(String, String), String>,
}

impl<'a> QueryRecorder<'a> {
    pub(super) fn new(inputs: RenderInputs<'a>, escape: Escape) -> Self {
        Self { inputs, escape, record: Mutex::default() }
    }

    /// The answer to `query`. `None` if it is not answered yet: the render then has no output, and only records
    /// queries.
    pub(super) fn ask(&self, query: Query) -> Option<&'a Answer> {
        let answer = self.inputs.answers.get(&query);
        let mut record = self.lock();
        if answer.is_none() {
            record.missing.insert(query.clone(), MissingInput::Answer);
        }
        record.queries.insert(query);
        answer.map(Arc::as_ref)
    }

    /// Records that the answer to `query` is not sufficient, so this render has no output.
    pub(super) fn add_missing(&self, query: Query, reason: MissingInput) {
        self.lock().missing.entry(query).or_insert(reason);
    }

    /// Records a warning for the log: something was left out, or is probably a mistake in the template.
    pub(super) fn warn(&self, text: String) {
        self.lock().warnings.insert(text);
    }

    /// Records what `upstream` prints.
    pub(super) fn record_upstream(&self, upstream: Upstream) {
        let mut record = self.lock();
        if !record.upstreams.contains(&upstream) {
            record.upstreams.push(upstream);
        }
    }

    /// Claims a name for `owner`.
    ///
    /// # Errors
    /// The owner that has claimed the name before.
    pub(super) fn claim(&self, kind: String, name: String, owner: String) -> Result<(), String> {
        match self.lock().claims.entry((kind, name)) {
            Entry::Vacant(free) => {
                free.insert(owner);
                Ok(())
            }
            Entry::Occupied(taken) => Err(taken.get().clone()),
        }
    }

    /// The value of `this` at the top of the template.
    pub(super) fn item(&self) -> &'a Value {
        self.inputs.item
    }

    /// An environment variable.
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
