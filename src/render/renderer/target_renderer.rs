//! The templates of one target, and the desired files that they make together or not at all.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use serde_json::Value;
use tokio::time::Instant;

use super::template_state::{TemplateState, all_desired_files};
use crate::{
    core::store::Store,
    registry::Query,
    render::{
        Answers, MissingInput, RenderInputs,
        narrowing::{Narrowing, SearchOutcome, TrialRunner},
        template_set::TargetTemplates,
        unrendered::{Unrendered, UnrenderedReason},
    },
    target::{DesiredFileStore, Digest},
};

/// Renders the templates of one target.
#[derive(Debug)]
pub(in crate::render) struct TargetRenderer {
    target: String,
    current: RenderedTemplates,
    /// The templates that `current` replaced. Their files are the desired ones until `current` is complete.
    previous: Option<RenderedTemplates>,
    /// Whether the target is pinned to `current`.
    is_pinned: bool,
    pub(in crate::render) desired: DesiredFileStore,
    /// The warnings of the templates that were logged.
    pub(super) logged_warnings: BTreeSet<String>,
    /// Shared with the worker of the target.
    pub(in crate::render) narrowing: Narrowing,
    /// The answers of the last render, with the last good values of held items.
    used_answers: Answers,
    /// The failures that no change of the answers explains, and whether the templates were proven.
    unexplained_failures: (Vec<Unrendered>, bool),
    /// The queries that the search for the cause of a failure needs, and that are not answered yet.
    awaited_queries: BTreeSet<Query>,
}

/// Templates, and what they were rendered to.
#[derive(Clone, Debug)]
struct RenderedTemplates {
    templates: Arc<TargetTemplates>,
    states: Vec<TemplateState>,
}

impl TargetRenderer {
    pub(in crate::render) fn new(target: impl Into<String>, templates: &TargetTemplates) -> Self {
        let target = target.into();
        Self {
            narrowing: Narrowing::new(target.clone()),
            target,
            current: RenderedTemplates { templates: Arc::new(templates.clone()), states: new_states(templates) },
            previous: None,
            is_pinned: false,
            desired: Store::default(),
            logged_warnings: BTreeSet::new(),
            used_answers: Answers::new(),
            unexplained_failures: Default::default(),
            awaited_queries: BTreeSet::new(),
        }
    }

    pub(super) fn templates(&self) -> &TargetTemplates {
        &self.current.templates
    }

    /// Replaces the templates by others with the same outputs. `is_pinned`: a rollback asked for them.
    pub(in crate::render) fn replace_templates(&mut self, templates: &TargetTemplates, is_pinned: bool) {
        self.is_pinned = is_pinned;
        if *self.current.templates == *templates {
            return;
        }
        if all_desired_files(&self.current.states).is_some() {
            self.previous = Some(self.current.clone());
        }
        self.current.templates = Arc::new(templates.clone());
        let states = self.current.states.iter_mut().zip(templates);
        states.for_each(|(state, spec)| state.replace_template(&spec.template));
    }

    /// Renders the templates whose answers have changed, without held items. Returns when the next retry of a held item
    /// is due.
    pub(super) fn render(&mut self, newest: &Answers, env: &BTreeMap<String, String>, now: Instant) -> Option<Instant> {
        let (held, retry_at) = self.narrowing.held_items(newest, now.into_std());
        let restored = (!held.is_empty()).then(|| self.narrowing.restore_held(newest, &held));
        let answers = restored.as_ref().unwrap_or(newest);
        let inputs = RenderInputs { answers, env, item: &Value::Null };
        self.all_states_mut().for_each(|state| state.render(inputs));
        let used = self.all_states().flat_map(TemplateState::queries).filter_map(|query| answers.get_key_value(query));
        self.used_answers = used.map(|(query, answer)| (query.clone(), Arc::clone(answer))).collect();
        if self.narrow(answers, env, now) { self.render(newest, env, now) } else { retry_at.map(Instant::from_std) }
    }

    /// Holds the items because of which a template fails. Returns whether a new item is held.
    fn narrow(&mut self, answers: &Answers, env: &BTreeMap<String, String>, now: Instant) -> bool {
        let unrendered = self.all_states().flat_map(|state| state.unrendered(&self.target));
        let failures: Vec<_> = unrendered.filter(Unrendered::is_failure).collect();
        self.awaited_queries.clear();
        let is_proven = self.narrowing.is_proven(&self.current.templates);
        let (known, was_proven) = &self.unexplained_failures;
        if failures.is_empty() || (&failures, is_proven) == (known, *was_proven) {
            return false;
        }
        for RenderedTemplates { templates, states } in
            [Some(&self.current), self.previous.as_ref()].into_iter().flatten()
        {
            if !states.iter().flat_map(|state| state.unrendered(&self.target)).any(|template| template.is_failure()) {
                continue;
            }
            let is_proven = self.narrowing.is_proven(templates);
            // All known answers, since an error hides the queries behind it.
            let mut trials =
                TrialRunner::new(states.clone(), env, self.narrowing.last_good_answers(), answers.clone(), is_proven);
            match trials.run() {
                SearchOutcome::Culprits(culprits) => {
                    self.narrowing.hold(culprits, answers, None, now.into_std());
                    return true;
                }
                SearchOutcome::Accepted | SearchOutcome::OtherCause => {
                    self.awaited_queries.extend(trials.into_unanswered_queries())
                }
            }
        }
        self.unexplained_failures =
            if self.awaited_queries.is_empty() { (failures, is_proven) } else { Default::default() };
        false
    }

    fn all_states(&self) -> impl Iterator<Item = &TemplateState> {
        self.current.states.iter().chain(self.previous.iter().flat_map(|previous| &previous.states))
    }

    fn all_states_mut(&mut self) -> impl Iterator<Item = &mut TemplateState> {
        let previous = self.previous.iter_mut().flat_map(|previous| &mut previous.states);
        self.current.states.iter_mut().chain(previous)
    }

    /// The queries whose answers the templates and narrowing need.
    pub(super) fn wanted_queries(&self) -> impl Iterator<Item = Cow<'_, Query>> {
        let rendered = self.all_states().flat_map(TemplateState::queries).chain(&self.awaited_queries);
        rendered.map(Cow::Borrowed).chain(self.narrowing.held_queries().into_iter().map(Cow::Owned))
    }

    /// The templates that are not rendered. A failure counts as missing answers while the search for its cause waits for
    /// them.
    pub(super) fn unrendered(&self) -> impl Iterator<Item = Unrendered> {
        let awaited: BTreeMap<_, _> =
            self.awaited_queries.iter().map(|query| (query.clone(), MissingInput::Answer)).collect();
        self.current.states.iter().flat_map(|state| state.unrendered(&self.target)).map(move |template| {
            if template.is_failure() && !awaited.is_empty() {
                Unrendered { reason: UnrenderedReason::Missing(awaited.clone()), ..template }
            } else {
                template
            }
        })
    }

    /// The files that the settings name, each with the name of its template.
    pub(super) fn fixed_destinations(&self) -> impl Iterator<Item = (PathBuf, String)> {
        self.current.states.iter().filter_map(TemplateState::fixed_destination)
    }

    /// Adds the files of the templates in effect to `claimed`, each with its template's name; see
    /// [`TemplateState::claim_paths`].
    pub(super) fn claim_paths(&mut self, claimed: &mut BTreeMap<PathBuf, String>) {
        let before = self.previous.is_some().then(|| claimed.clone());
        self.current.states.iter_mut().for_each(|state| state.claim_paths(claimed));
        if let Some(before) = before.filter(|_| all_desired_files(&self.current.states).is_none()) {
            *claimed = before;
            let previous = self.previous.iter_mut().flat_map(|previous| &mut previous.states);
            previous.for_each(|state| state.claim_paths(claimed));
        }
    }

    /// Replaces the desired files with those of the current templates, or else with those of the previous ones. They
    /// stay as they are if neither are all rendered.
    pub(super) fn publish(&mut self) {
        let files = all_desired_files(&self.current.states);
        if files.is_some() {
            self.previous = None;
        }
        let source = self.previous.as_ref().unwrap_or(&self.current);
        let Some(files) = files.or_else(|| all_desired_files(&source.states)) else { return };
        let is_pinned = self.is_pinned && self.previous.is_none();
        let (templates, answers) = (Arc::clone(&source.templates), self.used_answers.clone());
        self.narrowing.record_candidate(Digest::of_files(&files), templates, answers, is_pinned);
        self.desired.replace(files);
        self.log_warnings();
    }

    /// Logs each new warning once.
    fn log_warnings(&mut self) {
        let warnings: BTreeSet<_> = self.all_states().flat_map(TemplateState::warnings).collect();
        for warning in warnings.difference(&self.logged_warnings) {
            tracing::warn!(target_name = self.target, "target {}: {warning}", self.target);
        }
        self.logged_warnings = warnings;
    }
}

/// The states of templates that are not rendered yet.
pub(in crate::render) fn new_states(templates: &TargetTemplates) -> Vec<TemplateState> {
    templates.iter().enumerate().map(|(number, spec)| TemplateState::new(number, spec.clone())).collect()
}
