//! One template of a target, between its renders.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Inputs, Missing, Outcome, Template,
    pass::{Open, Why},
};
use crate::{
    registry::{Answer, Query, ServiceRecord},
    target::{Product, Rendered},
};

/// One template, and what became of it with the answers that it has seen.
#[derive(Debug)]
pub(super) struct Sheet {
    template: Template,
    /// Its place among the templates of its target.
    number: usize,
    destination: PathBuf,
    state: State,
    /// The queries that it asked, each with the answer that it got, if it got one. `None` until its first render.
    seen: Option<Seen>,
}

type Seen = BTreeMap<Query, Option<Arc<Answer>>>;

#[derive(Debug)]
enum State {
    Rendered(Arc<Product>),
    Open(Why),
}

impl Sheet {
    pub(super) fn new(template: Template, number: usize, destination: PathBuf) -> Self {
        let state = State::Open(Why::Missing(BTreeMap::new()));
        Self { template, number, destination, state, seen: None }
    }

    /// The file that it becomes.
    pub(super) fn destination(&self) -> &Path {
        &self.destination
    }

    /// The file, unless something keeps it.
    pub(super) fn product(&self) -> Option<Arc<Product>> {
        match &self.state {
            State::Rendered(product) => Some(Arc::clone(product)),
            State::Open(_) => None,
        }
    }

    /// What keeps it.
    pub(super) fn open(&self) -> Option<Open> {
        match &self.state {
            State::Rendered(_) => None,
            State::Open(why) => Some(Open { template: self.template.name().to_owned(), why: why.clone() }),
        }
    }

    /// The queries of its last render.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Query> {
        self.seen.iter().flatten().map(|(query, _)| query)
    }

    /// Renders it, if an answer that concerns it has changed.
    pub(super) fn render(&mut self, inputs: Inputs<'_>) {
        let unchanged = |(query, seen): (&Query, &Option<_>)| same(inputs.answers.get(query), seen.as_ref());
        if self.seen.as_ref().is_some_and(|seen| seen.iter().all(unchanged)) {
            return;
        }
        let pass = self.template.render(inputs);
        // After an error the queries behind it are unknown: those of the pass before keep their watches.
        let mut asked = pass.used;
        if !pass.whole {
            asked.extend(self.seen.take().into_iter().flatten().map(|(query, _)| query));
        }
        let answer = |query: Query| (query.clone(), inputs.answers.get(&query).cloned());
        self.seen = Some(asked.into_iter().map(answer).collect());
        let state = match pass.outcome {
            Outcome::Text(text) => {
                let text = Arc::new(Rendered::new(text));
                State::Rendered(Arc::new(Product { text, template: self.number, members: self.members() }))
            }
            Outcome::Missing(missing) => State::Open(Why::Missing(missing)),
            Outcome::Failed(error) => State::Open(Why::Failed(error)),
        };
        self.say(&state);
        self.state = state;
    }

    /// The healthy instances that it was rendered with.
    fn members(&self) -> BTreeSet<String> {
        let answers = self.seen.iter().flatten().filter_map(|(_, answer)| answer.as_deref());
        let records = answers.flat_map(|answer| match answer {
            Answer::Service(records) => &records[..],
            _ => &[],
        });
        let member = |record: &ServiceRecord| {
            let ServiceRecord { name, node, id, address, port, .. } = record;
            format!("{name} {node} {id} {address} {port}")
        };
        records.filter(|record| record.healthy).map(member).collect()
    }

    /// Says each trouble once, and that it is over.
    fn say(&self, now: &State) {
        match (&self.state, now) {
            (State::Open(Why::Failed(before)), State::Open(Why::Failed(error))) if before == error => {}
            (_, State::Open(Why::Failed(error))) => tracing::error!("{error}"),
            (State::Open(before), State::Rendered(_)) if before.is_trouble() => {
                tracing::info!("{}: renders again", self.template.name());
            }
            (before, State::Open(Why::Missing(missing))) => {
                let before = match before {
                    State::Open(Why::Missing(before)) => Some(before),
                    _ => None,
                };
                let held = missing.iter().filter(|(_, why)| **why != Missing::Answer);
                for (query, why) in held.filter(|(query, why)| before.and_then(|known| known.get(query)) != Some(why)) {
                    tracing::warn!("{}: waits for {query}: {why}", self.template.name());
                }
            }
            _ => {}
        }
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
