//! `portreeve record`: the answers with which all templates render.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Answers, Setup, Unrendered, query_watches, renderer::Renderer};
use crate::{
    core::{
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
};

/// What was seen until all was rendered, or the deadline came.
#[derive(Debug)]
pub struct RecordOutcome {
    /// What the templates asked, as far as it was answered.
    pub answers: Answers,
    /// What is not rendered, and why.
    pub unrendered: Vec<Unrendered>,
}

/// Watches what the templates ask, until one look at the answers is enough for all of them.
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
    tasks.spawn(query_watches::run(source, answers.clone(), renderer.wanted_queries.subscribe(), stop.clone()));
    let mut bell = answers.bell();
    let late = tokio::time::sleep(deadline);
    tokio::pin!(late);
    let ended = tasks.join();
    tokio::pin!(ended);
    loop {
        bell.mark_unchanged();
        let seen = answers.snapshot().entries;
        renderer.render(&seen);
        let open = renderer.unrendered.borrow().clone();
        let recorded = |open| {
            let asked = renderer.wanted_queries.borrow();
            let answer = |query| seen.get_key_value(query).map(|(query, answer)| (query.clone(), Arc::clone(answer)));
            RecordOutcome { answers: asked.iter().filter_map(answer).collect(), unrendered: open }
        };
        if open.is_empty() {
            return Ok(recorded(open));
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = &mut late => return Ok(recorded(open)),
            ended = &mut ended => return ended.map(|()| recorded(open)),
        }
    }
}
