//! `portreeve render`: writes files from templates and a registry's data, and reloads the programs that read them.
//!
//! ```text
//! Source --watches--> Store<Query, Answer> --bell--> renderer --> DesiredFileStore --bell--> target worker
//!             ^                                         |         (one per target)        (checks, swaps, reloads)
//!             '-------------- wanted queries -----------'
//! ```
//!
//! The renderer renders the templates of a [`TemplateSet`], which can be replaced while the watches go on. A render is a
//! pure function of a template and the answers; the queries that it made are the ones to watch. If a target rejects a
//! candidate because of a few entries, `narrowing` finds and holds them.

mod ast;
mod call_text;
mod check;
mod compile;
mod compiled_file;
mod compiled_template;
mod dry_run;
mod error;
mod escape;
mod file_root;
mod file_source;
mod go_template_hints;
mod helpers;
mod inclusions;
mod members;
mod narrowing;
mod nesting;
mod offline;
mod once;
mod partials;
mod query_watches;
mod record;
mod recorder;
mod renderer;
mod rollback;
mod setup;
mod syntax;
mod target_worker;
pub mod template_argument;
mod template_file;
mod template_reload;
mod template_set;
mod template_sources;
#[cfg(test)]
mod tests;
mod unanswered;
mod unrendered;
mod whitespace;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::renderer::{Renderer, TargetRenderer};
use self::rollback::ControlHandler;
use self::target_worker::TargetWorker;
use self::template_set::PinnedTemplatesStore;
pub use self::{
    check::{TargetOutline, TemplateCheckReport, TemplateOutline, check},
    compiled_template::{CompiledTemplate, RenderOutcome, RenderReport},
    dry_run::{DryRunError, dry_run},
    error::{TemplateError, TemplateLocation},
    offline::{OfflineRender, render_offline},
    once::{Reasons, RenderOnceError, run_once},
    partials::{Partials, PartialsError},
    record::{RecordOutcome, record},
    recorder::{Answers, MissingInput, RenderInputs},
    rollback::{ControlRequest, TargetHistory, TemplateVersion, execute_request},
    setup::{RenderSection, RenderSetupError, Settings, Setup},
    template_set::{TemplateSet, TemplateStore},
    unrendered::{Unrendered, UnrenderedReason},
};
pub use crate::target::Escape;
use crate::{
    control::{self, ControlServer},
    core::{
        condition::error_chain,
        reconcile::{self, LoopTimings},
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
    sys::environment,
    target::Target,
};

/// Time between two passes without changes. Other programs may have changed the files of a target.
const RESYNC_INTERVAL: Duration = Duration::from_secs(30);

/// Runs until `stop` is cancelled. Problems with the registry, the data or a target are logged and retried.
///
/// # Errors
/// A task panicked.
pub async fn run<S: Source>(setup: Setup, source: Arc<S>, stop: CancellationToken) -> Result<(), TaskPanicked> {
    setup.log_warnings();
    let source = setup.source_with_files(source);
    let mut tasks = TaskSet::new(stop.clone());
    match ControlServer::bind(&control::socket_path(setup.state_dir().path())) {
        Ok(server) => tasks.spawn("control server", server.run(Arc::new(ControlHandler::new(&setup)), stop.clone())),
        // Everything else works without it.
        Err(error) => {
            tracing::warn!("{}; `portreeve render rollback` cannot connect to this process", error_chain(&error))
        }
    }
    if let Some(settings) = setup.watched_settings {
        tasks.spawn("template reload", template_reload::run(settings, setup.template_store.clone(), stop.clone()));
    }
    spawn_target_workers(&mut tasks, setup.targets.into_iter(), &setup.target_renderers, &stop);
    spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &stop);
    tasks.join().await
}

/// Starts a worker for each target. `renderers` are in the same order.
fn spawn_target_workers(
    tasks: &mut TaskSet,
    targets: impl Iterator<Item = Target>,
    renderers: &[TargetRenderer],
    stop: &CancellationToken,
) {
    for (target, renderer) in targets.zip(renderers) {
        let (bell, stop) = (renderer.desired.bell(), stop.clone());
        let mut worker = TargetWorker::new(target.stop_with(stop.clone()), renderer);
        tasks.spawn(format!("target {}", worker.target.name()), async move {
            reconcile::run(&mut worker, bell, LoopTimings::with_resync(RESYNC_INTERVAL), stop).await;
        });
    }
}

/// Starts the renderer and the watches. Returns the templates that are not rendered.
fn spawn_renderer<S: Source>(
    tasks: &mut TaskSet,
    template_store: TemplateStore,
    pinned_store: PinnedTemplatesStore,
    targets: Vec<TargetRenderer>,
    source: Arc<S>,
    stop: &CancellationToken,
) -> watch::Receiver<Vec<Unrendered>> {
    let answers = Store::with_bell_of(&template_store);
    let env = environment::variables().collect();
    let mut renderer = Renderer::new(answers.clone(), env, template_store, pinned_store, targets);
    let (bell, unrendered) = (answers.bell(), renderer.unrendered.subscribe());
    let watches = query_watches::run(source, answers, renderer.wanted_queries.subscribe(), stop.clone());
    tasks.spawn("query watches", watches);
    let stop = stop.clone();
    tasks.spawn("renderer", async move {
        reconcile::run(&mut renderer, bell, LoopTimings::with_resync(RESYNC_INTERVAL), stop).await;
    });
    unrendered
}
