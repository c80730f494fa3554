//! Trials of a search: candidates in which some items are restored.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tracing::subscriber::{NoSubscriber, with_default};

use super::{
    AnswerItem, guess,
    item::{changed_items, leaves_out_most, restore_items},
    search::{Search, SearchOutcome, TrialOutcome},
};
use crate::{
    registry::Query,
    render::{
        Answers, MissingInput, RenderInputs, UnrenderedReason,
        renderer::{TemplateState, all_desired_files},
    },
    target::DesiredFiles,
};

/// The trials of one search.
#[derive(Debug)]
pub(in crate::render) struct TrialRunner<'a> {
    states: Vec<TemplateState>,
    env: &'a BTreeMap<String, String>,
    last_good: Answers,
    newest: Answers,
    suspects: BTreeSet<AnswerItem>,
    /// Whether these templates made the last accepted candidate.
    is_proven: bool,
    search: Search,
    /// The files of the last trial.
    files: DesiredFiles,
    /// Queries of the trials that have no answer yet.
    unanswered_queries: BTreeSet<Query>,
}

impl<'a> TrialRunner<'a> {
    /// Begins a search: which changes from `last_good` to `newest` make these templates fail?
    pub(in crate::render) fn new(
        states: Vec<TemplateState>,
        env: &'a BTreeMap<String, String>,
        last_good: Answers,
        newest: Answers,
        is_proven: bool,
    ) -> Self {
        let suspects = changed_items(&last_good, &newest);
        Self {
            states,
            env,
            last_good,
            newest,
            search: Search::new(suspects.clone()),
            suspects,
            is_proven,
            files: DesiredFiles::new(),
            unanswered_queries: BTreeSet::new(),
        }
    }

    /// Makes the next candidate. `Err` if it cannot be made, with the result of the search if that ends it.
    pub(in crate::render) fn next_candidate(&mut self) -> Result<&DesiredFiles, Option<SearchOutcome>> {
        let left_out = self.search.left_out();
        let answers = restore_items(&self.last_good, &self.newest, &left_out);
        let inputs = RenderInputs { answers: &answers, env: self.env, item: &Value::Null };
        // Failures of trials are not logged; the result of the search is.
        with_default(NoSubscriber::default(), || self.states.iter_mut().for_each(|state| state.render(inputs)));
        match all_desired_files(&self.states) {
            Some(files) => {
                self.files = files;
                Ok(&self.files)
            }
            None => {
                let trial = self.failure_outcome(&left_out);
                Err(self.record_trial(trial))
            }
        }
    }

    /// Records the result of the check of the last candidate: `None` if it was accepted, otherwise why it was rejected.
    /// A returned result ends the search.
    pub(in crate::render) fn record_check(&mut self, refusal: Option<String>) -> Option<SearchOutcome> {
        self.record_trial(refusal.map_or(TrialOutcome::Passed, TrialOutcome::Refused))
    }

    /// Runs the whole search if only rendering can fail, not a check.
    pub(in crate::render) fn run(&mut self) -> SearchOutcome {
        loop {
            let found = match self.next_candidate() {
                Ok(_) => self.record_check(None),
                Err(found) => found,
            };
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The answers of the rejected candidate.
    pub(in crate::render) fn newest(&self) -> &Answers {
        &self.newest
    }

    /// The queries that must be answered before a new search can find more.
    pub(in crate::render) fn into_unanswered_queries(self) -> BTreeSet<Query> {
        self.unanswered_queries
    }

    fn record_trial(&mut self, trial: TrialOutcome) -> Option<SearchOutcome> {
        let Self { files, suspects, newest, .. } = self;
        match self.search.record_trial(trial, |reason| guess::guess_culprits(reason, files, suspects, newest))? {
            // If the templates are proven, leaving out new items does not empty the files in effect.
            SearchOutcome::Culprits(culprits)
                if !self.is_proven && leaves_out_most(culprits.keys(), &self.last_good, &self.newest) =>
            {
                Some(SearchOutcome::OtherCause)
            }
            found => Some(found),
        }
    }

    /// Why the files cannot be made, as the outcome of a trial.
    fn failure_outcome(&mut self, left_out: &BTreeSet<AnswerItem>) -> TrialOutcome {
        let unrendered: Vec<_> = self.states.iter().flat_map(|state| state.unrendered("")).collect();
        let needed = |(query, why): (&Query, &MissingInput)| match (query, why) {
            (Query::Key { path, .. }, MissingInput::Key) => {
                Some(AnswerItem::Key(path.clone())).filter(|key| left_out.contains(key))
            }
            _ => None,
        };
        let mut keys = BTreeSet::new();
        let mut reason = String::new();
        for template in &unrendered {
            match &template.reason {
                UnrenderedReason::Missing(missing) => {
                    keys.extend(missing.iter().filter_map(needed));
                    let unanswered = missing.iter().filter(|(_, why)| **why == MissingInput::Answer);
                    self.unanswered_queries.extend(unanswered.map(|(query, _)| query.clone()));
                }
                UnrenderedReason::Failed(error) => reason = error.to_string(),
            }
        }
        if keys.is_empty() { TrialOutcome::Refused(reason) } else { TrialOutcome::NeedsItems(keys) }
    }
}
