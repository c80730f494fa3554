//! A template's last render: with which answers it was made, so that it is made again only when one of them changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{Inputs, Outcome, Template};
use crate::registry::{Answer, Query, ServiceRecord};

/// What a render looked at.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The queries that it asked, each with the answer that it got, if it got one.
    seen: BTreeMap<Query, Option<Arc<Answer>>>,
    item: Value,
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
        // After an error the queries behind it are unknown: those of the pass before keep their watches.
        let mut asked = pass.used;
        if !pass.whole {
            asked.extend(std::mem::take(&mut self.seen).into_keys());
        }
        let answer = |query: Query| (query.clone(), inputs.answers.get(&query).cloned());
        let seen = asked.into_iter().map(answer).collect();
        *self = Self { seen, item: inputs.item.clone(), current: true };
        Some(pass.outcome)
    }

    /// The template is another one now.
    pub(super) fn outdate(&mut self) {
        self.current = false;
    }

    /// The queries of the last render.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Query> {
        self.seen.keys()
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
