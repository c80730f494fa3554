//! `portreeve render`: keeps files, and who reads them, in line with what a registry knows.
//!
//! ```text
//!   wanted queries  <----------------------+
//!        |                                 |
//!    watches --> Store<Query, Answer> --bell--> pass --> Store<destination, text> --bell--> target, applies by
//!        |                                          templates    one for each target                itself, at its pace
//!     Source
//! ```
//!
//! What is compiled is a [`Book`]; another one may take its place while the watches go on.
//!
//! All but the tasks is pure: a render is a function of a template and answers.

mod call_text;
mod check;
mod compile;
mod compiled_file;
mod compiled_template;
mod control_handler;
mod dry_run;
mod error;
mod escape;
mod file_root;
mod file_source;
mod go_template_hints;
mod helpers;
mod inclusions;
mod narrowing;
mod nesting;
mod offline;
mod once;
mod output_file;
mod output_files;
mod partials;
mod query_watches;
mod record;
mod recorder;
mod render_cache;
mod renderer;
mod setup;
mod syntax;
mod target_worker;
pub mod template_argument;
mod template_file;
mod template_reload;
mod template_set;
mod template_sources;
mod template_state;
#[cfg(test)]
mod tests;
mod unanswered;
mod unrendered;
mod whitespace;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::control_handler::ControlHandler;
use self::renderer::{Renderer, TargetRenderer};
use self::target_worker::TargetWorker;
use self::template_set::PinnedTemplatesStore;
pub use self::{
    check::{TargetOutline, TemplateCheckReport, TemplateOutline, check},
    compiled_template::{CompiledTemplate, RenderOutcome, RenderReport},
    control_handler::{ControlRequest, TargetHistory, TemplateVersion, execute_request},
    dry_run::{DryRunError, dry_run},
    error::{TemplateError, TemplateLocation},
    offline::{OfflineRender, render_offline},
    once::{Reasons, RenderOnceError, run_once},
    partials::{Partials, PartialsError},
    record::{RecordOutcome, record},
    recorder::{Answers, MissingInput, RenderInputs},
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
};

/// Time between two looks at a target that nobody rang for: files may have been changed by another hand.
const RESYNC_INTERVAL: Duration = Duration::from_secs(30);

/// Runs until `stop` is cancelled. Trouble is waited out: with the registry, with a template's data, with a target.
///
/// # Errors
/// A task panicked.
pub async fn run<S: Source>(setup: Setup, source: Arc<S>, stop: CancellationToken) -> Result<(), TaskPanicked> {
    setup.log_warnings();
    let source = setup.source_with_files(source);
    let mut tasks = TaskSet::new(stop.clone());
    match ControlServer::bind(&control::socket_path(setup.state_dir().path())) {
        Ok(server) => tasks.spawn(server.run(Arc::new(ControlHandler::new(&setup)), stop.clone())),
        // All else works without it.
        Err(error) => {
            tracing::warn!("{}; `portreeve render rollback` cannot connect to this process", error_chain(&error))
        }
    }
    if let Some(settings) = setup.watched_settings {
        tasks.spawn(template_reload::run(settings, setup.template_store.clone(), stop.clone()));
    }
    for (set, target) in setup.target_renderers.iter().zip(setup.targets) {
        let (bell, stop) = (set.desired.bell(), stop.clone());
        let mut worker = TargetWorker::new(target.stop_with(stop.clone()), set);
        tasks.spawn(
            async move { reconcile::run(&mut worker, bell, LoopTimings::with_resync(RESYNC_INTERVAL), stop).await },
        );
    }
    spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &stop);
    tasks.join().await
}

/// Starts what fills the desired files, and tells what is not rendered yet.
fn spawn_renderer<S: Source>(
    tasks: &mut TaskSet,
    books: TemplateStore,
    held: PinnedTemplatesStore,
    sets: Vec<TargetRenderer>,
    source: Arc<S>,
    stop: &CancellationToken,
) -> watch::Receiver<Vec<Unrendered>> {
    let answers = Store::with_bell_of(&books);
    let mut renderer = Renderer::new(answers.clone(), environment::variables().collect(), books, held, sets);
    let (bell, unrendered) = (answers.bell(), renderer.unrendered.subscribe());
    tasks.spawn(query_watches::run(source, answers, renderer.wanted_queries.subscribe(), stop.clone()));
    let stop = stop.clone();
    tasks.spawn(
        async move { reconcile::run(&mut renderer, bell, LoopTimings::with_resync(RESYNC_INTERVAL), stop).await },
    );
    unrendered
}
