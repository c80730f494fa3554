//! One template of a target, between its renders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Inputs, Missing, Outcome, Template,
    pass::{Open, Why},
};
use crate::{
    registry::{Answer, Query},
    target::Rendered,
};

/// One template, and what became of it with the answers that it has seen.
#[derive(Debug)]
pub(super) struct Sheet {
    template: Template,
    destination: PathBuf,
    state: State,
    /// The queries that it asked, each with the answer that it got, if it got one. `None` until its first render.
    seen: Option<Seen>,
}

type Seen = BTreeMap<Query, Option<Arc<Answer>>>;

#[derive(Debug)]
enum State {
    Rendered(Arc<Rendered>),
    Open(Why),
}

impl Sheet {
    pub(super) fn new(template: Template, destination: PathBuf) -> Self {
        let state = State::Open(Why::Missing(BTreeMap::new()));
        Self { template, destination, state, seen: None }
    }

    /// The file that it becomes.
    pub(super) fn destination(&self) -> &Path {
        &self.destination
    }

    /// The text, unless something keeps it.
    pub(super) fn text(&self) -> Option<Arc<Rendered>> {
        match &self.state {
            State::Rendered(text) => Some(Arc::clone(text)),
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
            Outcome::Text(text) => State::Rendered(Arc::new(Rendered::new(text))),
            Outcome::Missing(missing) => State::Open(Why::Missing(missing)),
            Outcome::Failed(error) => State::Open(Why::Failed(error)),
        };
        self.say(&state);
        self.state = state;
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
                let keys = missing.iter().filter(|(_, why)| **why == Missing::Key);
                for (query, why) in keys.filter(|(query, why)| before.and_then(|known| known.get(query)) != Some(why)) {
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
