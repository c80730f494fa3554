//! `--once`: until every target is in line, or the deadline.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Setup, Unrendered, narrowing::Narrowing, spawn_renderer, target_worker::TargetWorker, unrendered};
use crate::{
    core::{
        condition::{Condition, error_chain},
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    registry::Source,
    target::{ApplyError, ApplyOutcome, DesiredFileStore},
};

/// How soon to try a target again whose trouble may pass by itself.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// What keeps a target while its pass is under way.
const BUSY_REASON: &str = "its check or its reload has not come to an end";

/// Why not everything is as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RenderOnceError {
    /// The deadline came first.
    #[error("not in line within {within:?}:{reasons}")]
    DeadlineExceeded {
        /// The deadline.
        within: Duration,
        /// What is left.
        reasons: Reasons,
    },
    /// It was told to stop.
    #[error("stopped before it was done:{0}")]
    Stopped(Reasons),
    /// A template does not fit the answers: waiting cannot mend that.
    #[error("this cannot be rendered:{0}")]
    Failed(Reasons),
    /// The files are applied, without the bad entries.
    #[error("in line, except for bad entries:{0}")]
    EntriesHeld(Reasons),
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
}

/// What could not be done, and why; each on lines of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(pub Vec<String>);

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|reason| write!(f, "\n  {}", reason.replace('\n', "\n  ")))
    }
}

/// Brings every target in line once. When the deadline comes, or `stop` is cancelled, a swap of files that has begun is
/// completed first.
///
/// # Errors
/// What was not in line by then, or is kept out of the files, with the reasons; a template that fails with all answers at
/// hand ends it as soon as the other targets are in line.
pub async fn run_once<S: Source>(
    setup: Setup,
    source: Arc<S>,
    deadline: Duration,
    stop: &CancellationToken,
) -> Result<(), RenderOnceError> {
    setup.log_warnings();
    let source = setup.source_with_files(source);
    let end = CancellationToken::new();
    let mut tasks = TaskSet::new(end.clone());
    let failures = Store::default();
    let desired: Vec<_> = setup.target_renderers.iter().map(|set| set.desired.clone()).collect();
    let (mut applying, enough) = (JoinSet::new(), CancellationToken::new());
    let workers = setup.target_renderers.iter().zip(setup.targets);
    let workers: Vec<_> =
        workers.map(|(set, target)| TargetWorker::new(target.stop_with(enough.clone()), set)).collect();
    let narrowings: Vec<_> = workers.iter().map(|worker| worker.narrowing.clone()).collect();
    let open =
        spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &end);
    for (desired, worker) in desired.into_iter().zip(workers) {
        applying.spawn(apply_until_in_sync(worker, desired, failures.clone(), open.clone(), enough.clone()));
    }
    let reasons = || {
        let unrendered = open.borrow().iter().map(ToString::to_string).collect::<Vec<_>>();
        let unapplied = failures.snapshot().entries;
        let unapplied = unapplied.iter().map(|(target, reason)| format!("target {target}: {reason}"));
        Reasons(unrendered.into_iter().chain(unapplied).collect())
    };
    let in_line = || {
        let held: Vec<_> = narrowings.iter().flat_map(Narrowing::hold_reasons).collect();
        if held.is_empty() { Ok(()) } else { Err(RenderOnceError::EntriesHeld(Reasons(held))) }
    };
    let mut all = std::pin::pin!(all_in_sync(applying));
    let stopped = tokio::select! {
        done = &mut all => return if done { in_line() } else { Err(RenderOnceError::Failed(reasons())) },
        ended = tasks.join() => return ended.map_err(RenderOnceError::from),
        () = tokio::time::sleep(deadline) => false,
        () = stop.cancelled() => true,
    };
    enough.cancel();
    if all.await {
        return in_line();
    }
    match stopped {
        true => Err(RenderOnceError::Stopped(reasons())),
        false => Err(RenderOnceError::DeadlineExceeded { within: deadline, reasons: reasons() }),
    }
}

/// Returns whether the target is in line; it is not if a template of it fails, and `enough` ends it before. Notes in
/// `failures`, by the target's name, what keeps it.
async fn apply_until_in_sync(
    mut worker: TargetWorker,
    desired: DesiredFileStore,
    failures: Store<String, String>,
    mut open: watch::Receiver<Vec<Unrendered>>,
    enough: CancellationToken,
) -> bool {
    let name = worker.target.name().to_owned();
    let condition = Condition::for_target(&name);
    let mut bell = desired.bell();
    loop {
        bell.mark_unchanged();
        if !failures.snapshot().entries.contains_key(&name) {
            failures.put(name.clone(), BUSY_REASON.to_owned());
        }
        let is_all = worker.target.has_all_files();
        match worker.apply().await {
            // Not even if the reload that an earlier run owed was made good.
            Ok(applied) if !is_all || applied == ApplyOutcome::Incomplete => {
                failures.remove(&name);
                if unrendered::has_failure(&open.borrow_and_update(), &name) {
                    return false;
                }
            }
            Ok(_) => {
                failures.remove(&name);
                return true;
            }
            // What was the trouble before says more.
            Err(ApplyError::Stopped) => return false,
            Err(error) => {
                // Whoever waits is told what for, once.
                condition.report_problem(&error);
                failures.put(name.clone(), error_chain(&error));
            }
        }
        tokio::select! {
            () = enough.cancelled() => return false,
            // An error: the renderer has ended, and its task says why.
            Ok(()) = bell.changed() => {}
            Ok(()) = open.changed() => {}
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
    }
}

/// Waits for all, and returns whether all are in line; a panic of one comes out here.
async fn all_in_sync(mut applying: JoinSet<bool>) -> bool {
    let mut is_done = true;
    while let Some(ended) = applying.join_next().await {
        match ended {
            Ok(done) => is_done &= done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    is_done
}
