//! Trials of a search: candidates in which some items are put back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tracing::subscriber::{NoSubscriber, with_default};

use super::{
    Item, guess,
    item::{changed, is_most, put_back},
    search::{Found, Search, Trial},
};
use crate::{
    registry::Query,
    render::{
        Answers, Inputs, Missing, Why,
        sheet::{Sheet, products},
    },
    target::Files,
};

/// The trials of one search.
#[derive(Debug)]
pub(in crate::render) struct Trials<'a> {
    sheets: Vec<Sheet>,
    env: &'a BTreeMap<String, String>,
    good: Answers,
    newest: Answers,
    suspects: BTreeSet<Item>,
    /// Whether these templates made the last accepted candidate.
    proven: bool,
    search: Search,
    /// The files of the last trial.
    files: Files,
    /// Queries of the trials that have no answer yet.
    unanswered: BTreeSet<Query>,
}

impl<'a> Trials<'a> {
    /// Begins a search: which changes from `good` to `newest` make these templates fail?
    pub(in crate::render) fn new(
        sheets: Vec<Sheet>,
        env: &'a BTreeMap<String, String>,
        good: Answers,
        newest: Answers,
        proven: bool,
    ) -> Self {
        let suspects = changed(&good, &newest);
        Self {
            sheets,
            env,
            good,
            newest,
            search: Search::new(suspects.clone()),
            suspects,
            proven,
            files: Files::new(),
            unanswered: BTreeSet::new(),
        }
    }

    /// Makes the next candidate. `Err` if it cannot be made, with the result of the search if that ends it.
    pub(in crate::render) fn next(&mut self) -> Result<&Files, Option<Found>> {
        let left_out = self.search.left_out();
        let answers = put_back(&self.good, &self.newest, &left_out);
        let inputs = Inputs { answers: &answers, env: self.env, item: &Value::Null };
        // Failures of trials are not logged; the result of the search is.
        with_default(NoSubscriber::default(), || self.sheets.iter_mut().for_each(|sheet| sheet.render(inputs)));
        match products(&self.sheets) {
            Some(files) => {
                self.files = files;
                Ok(&self.files)
            }
            None => {
                let trial = self.failure(&left_out);
                Err(self.note(trial))
            }
        }
    }

    /// Takes the result of the check of the last candidate: `None`, or why it was refused. A returned result ends the
    /// search.
    pub(in crate::render) fn judge(&mut self, refusal: Option<String>) -> Option<Found> {
        self.note(refusal.map_or(Trial::Passed, Trial::Refused))
    }

    /// Runs the whole search if only rendering can fail, not a check.
    pub(in crate::render) fn run(&mut self) -> Found {
        loop {
            let found = match self.next() {
                Ok(_) => self.judge(None),
                Err(found) => found,
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The answers that are searched.
    pub(in crate::render) fn newest(&self) -> &Answers {
        &self.newest
    }

    /// The queries that need an answer before a search can find more.
    pub(in crate::render) fn into_unanswered(self) -> BTreeSet<Query> {
        self.unanswered
    }

    fn note(&mut self, trial: Trial) -> Option<Found> {
        let Self { files, suspects, newest, .. } = self;
        match self.search.note(trial, |reason| guess::guess(reason, files, suspects, newest))? {
            // If the templates are proven, leaving out new items does not empty the files in effect.
            Found::Culprits(culprits) if !self.proven && is_most(culprits.keys(), &self.good, &self.newest) => {
                Some(Found::NotTheAnswers)
            }
            found => Some(found),
        }
    }

    /// The reason why the files cannot be made.
    fn failure(&mut self, left_out: &BTreeSet<Item>) -> Trial {
        let open: Vec<_> = self.sheets.iter().flat_map(|sheet| sheet.open("")).collect();
        let needed = |(query, why): (&Query, &Missing)| match (query, why) {
            (Query::Key { path, .. }, Missing::Key) => {
                Some(Item::Key(path.clone())).filter(|key| left_out.contains(key))
            }
            _ => None,
        };
        let mut keys = BTreeSet::new();
        let mut reason = String::new();
        for open in &open {
            match &open.why {
                Why::Missing(missing) => {
                    keys.extend(missing.iter().filter_map(needed));
                    let unanswered = missing.iter().filter(|(_, why)| **why == Missing::Answer);
                    self.unanswered.extend(unanswered.map(|(query, _)| query.clone()));
                }
                Why::Failed(error) => reason = error.to_string(),
            }
        }
        if keys.is_empty() { Trial::Refused(reason) } else { Trial::Needs(keys) }
    }
}
