//! A template's last render: with which answers it was made, so that it is made again only when one of them changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{CompiledTemplate, RenderInputs, RenderOutcome};
use crate::registry::{Answer, Query, ServiceRecord};

/// What a render looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct RenderCache {
    /// The queries that it asked, each with the answer that it got, if it got one.
    answers: BTreeMap<Query, Option<Arc<Answer>>>,
    item: Value,
    /// What the log is to tell of it; empty unless it came to a text.
    warnings: BTreeSet<String>,
    /// Whether it came to a text.
    is_complete: bool,
    /// While it does not: the queries of the last render that did. Their watches stay, so that it can go on at once.
    previous_queries: BTreeSet<Query>,
    /// Whether it was made at all, and with the template as it is now.
    is_current: bool,
}

impl RenderCache {
    /// Renders, if something that concerns it has changed.
    pub(super) fn render(&mut self, template: &CompiledTemplate, inputs: RenderInputs<'_>) -> Option<RenderOutcome> {
        let unchanged = |(query, seen): (&Query, &Option<_>)| is_same_answer(inputs.answers.get(query), seen.as_ref());
        if self.is_current && self.item == *inputs.item && self.answers.iter().all(unchanged) {
            return None;
        }
        let pass = template.render(inputs);
        let complete = matches!(pass.outcome, RenderOutcome::Text(_));
        let former = match std::mem::take(self) {
            _ if complete => BTreeSet::new(),
            Self { is_complete: true, answers: seen, .. } => seen.into_keys().collect(),
            Self { previous_queries: former, .. } => former,
        };
        let answer = |query: Query| (query.clone(), inputs.answers.get(&query).cloned());
        let seen = pass.queries.into_iter().map(answer).collect();
        let remarks = if complete { pass.warnings } else { BTreeSet::new() };
        *self = Self {
            answers: seen,
            item: inputs.item.clone(),
            warnings: remarks,
            is_complete: complete,
            previous_queries: former,
            is_current: true,
        };
        Some(pass.outcome)
    }

    /// The template is another one now.
    pub(super) fn invalidate(&mut self) {
        self.is_current = false;
    }

    /// The queries of the last render, and of the last one that came to a text.
    pub(super) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.answers.keys().chain(&self.previous_queries)
    }

    /// What the last render has left out, and why.
    pub(super) fn warnings(&self) -> impl Iterator<Item = &String> {
        self.warnings.iter()
    }

    /// The healthy instances that it was rendered with.
    pub(super) fn healthy_instances(&self) -> BTreeSet<String> {
        let records = self.answers.values().filter_map(Option::as_deref).flat_map(|answer| match answer {
            Answer::Service(records) => &records[..],
            _ => &[],
        });
        let member = |record: &ServiceRecord| {
            let ServiceRecord { name, node, id, address, port, .. } = record;
            format!("{name} {node} {id} {address} {port}")
        };
        records.filter(|record| record.healthy).map(member).collect()
    }
}

/// The store keeps an answer's place in memory until the answer differs.
fn is_same_answer(now: Option<&Arc<Answer>>, seen: Option<&Arc<Answer>>) -> bool {
    match (now, seen) {
        (Some(now), Some(seen)) => Arc::ptr_eq(now, seen),
        (None, None) => true,
        _ => false,
    }
}
