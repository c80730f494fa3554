//! The result of a template's last render, and what it depended on: a template is rendered again only if that changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    registry::{Answer, Query},
    render::{CompiledTemplate, RenderInputs, RenderOutcome, UnrenderedReason},
    target::Upstream,
};

/// The queries of a render, each with the answer that was known.
pub(super) type UsedAnswers = BTreeMap<Query, Option<Arc<Answer>>>;

/// The last render of a template whose output is converted to a `T`.
#[derive(Clone, Debug)]
pub(super) struct RenderCache<T> {
    result: Result<T, UnrenderedReason>,
    answers: UsedAnswers,
    item: Value,
    /// What the last render left out; empty if it has no result.
    warnings: BTreeSet<String>,
    /// The queries of the last render that had a result, if the newest one has none. Their watches go on, so that their
    /// answers are known when the template renders again.
    previous_queries: BTreeSet<Query>,
    /// Whether `result` was made with the current template.
    is_current: bool,
}

impl<T> Default for RenderCache<T> {
    fn default() -> Self {
        Self {
            result: Err(UnrenderedReason::UNTRIED),
            answers: UsedAnswers::new(),
            item: Value::Null,
            warnings: BTreeSet::new(),
            previous_queries: BTreeSet::new(),
            is_current: false,
        }
    }
}

impl<T> RenderCache<T> {
    /// Renders if the template, the item or an answer has changed. Returns the replaced result in that case.
    pub(super) fn render(
        &mut self,
        template: &CompiledTemplate,
        inputs: RenderInputs<'_>,
        convert: impl FnOnce(RenderOutcome, Vec<Upstream>, &UsedAnswers) -> Result<T, UnrenderedReason>,
    ) -> Option<Result<T, UnrenderedReason>> {
        let is_unchanged =
            |(query, used): (&Query, &Option<_>)| is_same_answer(inputs.answers.get(query), used.as_ref());
        if self.is_current && self.item == *inputs.item && self.answers.iter().all(is_unchanged) {
            return None;
        }
        let report = template.render(inputs);
        let answer = |query: Query| (query.clone(), inputs.answers.get(&query).cloned());
        let answers = report.queries.into_iter().map(answer).collect();
        let result = convert(report.outcome, report.upstreams, &answers);
        let is_complete = result.is_ok();
        let new = Self {
            result,
            answers,
            item: inputs.item.clone(),
            warnings: if is_complete { report.warnings } else { BTreeSet::new() },
            previous_queries: BTreeSet::new(),
            is_current: true,
        };
        let previous = std::mem::replace(self, new);
        if !is_complete {
            self.previous_queries = if previous.result.is_ok() {
                previous.answers.into_keys().collect()
            } else {
                previous.previous_queries
            };
        }
        Some(previous.result)
    }

    /// Makes the next call of [`render`](Self::render) render, because the template was replaced.
    pub(super) fn invalidate(&mut self) {
        self.is_current = false;
    }

    pub(super) fn result(&self) -> Result<&T, &UnrenderedReason> {
        self.result.as_ref()
    }

    /// The queries of the last render, and of the last one that had a result.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.answers.keys().chain(&self.previous_queries)
    }

    /// What the last render left out, and why.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter()
    }
}

/// Compares pointers: the store keeps the `Arc` of an answer until the answer changes.
fn is_same_answer(now: Option<&Arc<Answer>>, used: Option<&Arc<Answer>>) -> bool {
    match (now, used) {
        (Some(now), Some(used)) => Arc::ptr_eq(now, used),
        (None, None) => true,
        _ => false,
    }
}
