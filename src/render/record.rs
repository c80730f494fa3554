//! `portreeve record`: collects the answers with which all templates render.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Answers, Setup, Unrendered, query_watches, renderer::Renderer};
use crate::{
    core::{
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
};

/// The answers when all templates were rendered, or at the deadline.
#[derive(Debug)]
pub struct RecordOutcome {
    /// The answers to the queries of the templates.
    pub answers: Answers,
    /// The templates that are not rendered, and why.
    pub unrendered: Vec<Unrendered>,
}

/// Watches the queries of the templates until all of them render with the answers of one moment.
///
/// # Errors
/// A task panicked.
pub async fn record<S: Source>(
    setup: Setup,
    env: BTreeMap<String, String>,
    source: Arc<S>,
    deadline: Duration,
) -> Result<RecordOutcome, TaskPanicked> {
    let source = setup.source_with_files(source);
    let stop = CancellationToken::new();
    let mut tasks = TaskSet::new(stop.clone());
    let answers = Store::default();
    let mut renderer =
        Renderer::new(answers.clone(), env, setup.template_store, setup.pinned_store, setup.target_renderers);
    tasks.spawn(
        "query watches",
        query_watches::run(source, answers.clone(), renderer.wanted_queries.subscribe(), stop.clone()),
    );
    let mut bell = answers.bell();
    let mut deadline = pin!(tokio::time::sleep(deadline));
    let mut ended = pin!(tasks.join());
    loop {
        bell.mark_unchanged();
        let known = answers.snapshot().entries;
        renderer.render(&known);
        let unrendered = renderer.unrendered.borrow().clone();
        let answer = |query| known.get_key_value(query).map(|(query, answer)| (query.clone(), Arc::clone(answer)));
        let used = renderer.wanted_queries.borrow().iter().filter_map(answer).collect();
        let outcome = RecordOutcome { answers: used, unrendered };
        if outcome.unrendered.is_empty() {
            return Ok(outcome);
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = &mut deadline => return Ok(outcome),
            ended = &mut ended => return ended.map(|()| outcome),
        }
    }
}
