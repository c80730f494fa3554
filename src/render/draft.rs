//! A template's last render: with which answers it was made, so that it is made again only when one of them changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Inputs, Outcome, Template};
use crate::registry::{Answer, Query, ServiceRecord};

/// What a render looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    /// The queries that it asked, each with the answer that it got, if it got one.
    seen: BTreeMap<Query, Option<Arc<Answer>>>,
    item: Value,
    /// What the log is to tell of it; empty unless it came to a text.
    remarks: BTreeSet<String>,
    /// Whether it came to a text.
    complete: bool,
    /// While it does not: the queries of the last render that did. Their watches stay, so that it can go on at once.
    former: BTreeSet<Query>,
    /// Whether it was made at all, and with the template as it is now.
    current: bool,
}

impl Draft {
    /// Renders, if something that concerns it has changed.
    pub(super) fn render(&mut self, template: &Template, inputs: Inputs<'_>) -> Option<Outcome> {
        let unchanged = |(query, seen): (&Query, &Option<_>)| same(inputs.answers.get(query), seen.as_ref());
        if self.current && self.item == *inputs.item && self.seen.iter().all(unchanged) {
            return None;
        }
        let pass = template.render(inputs);
        let complete = matches!(pass.outcome, Outcome::Text(_));
        let former = match std::mem::take(self) {
            _ if complete => BTreeSet::new(),
            Self { complete: true, seen, .. } => seen.into_keys().collect(),
            Self { former, .. } => former,
        };
        let answer = |query: Query| (query.clone(), inputs.answers.get(&query).cloned());
        let seen = pass.used.into_iter().map(answer).collect();
        let remarks = if complete { pass.remarks } else { BTreeSet::new() };
        *self = Self { seen, item: inputs.item.clone(), remarks, complete, former, current: true };
        Some(pass.outcome)
    }

    /// The template is another one now.
    pub(super) fn outdate(&mut self) {
        self.current = false;
    }

    /// The queries of the last render, and of the last one that came to a text.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Query> {
        self.seen.keys().chain(&self.former)
    }

    /// What the last render has left out, and why.
    pub(super) fn remarks(&self) -> impl Iterator<Item = &String> {
        self.remarks.iter()
    }

    /// The healthy instances that it was rendered with.
    pub(super) fn members(&self) -> BTreeSet<String> {
        let records = self.seen.values().filter_map(Option::as_deref).flat_map(|answer| match answer {
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
fn same(now: Option<&Arc<Answer>>, seen: Option<&Arc<Answer>>) -> bool {
    match (now, seen) {
        (Some(now), Some(seen)) => Arc::ptr_eq(now, seen),
        (None, None) => true,
        _ => false,
    }
}
