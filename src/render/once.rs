//! `--once`: runs the loops of `render` until every target is in sync, or until the deadline.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Setup, Unrendered, narrowing::Narrowing, spawn_renderer, spawn_target_workers, unrendered};
use crate::{
    core::supervise::{TaskPanicked, TaskSet},
    registry::Source,
    target::{Target, TargetStatuses},
};

/// Why a target without a reported problem is not in sync.
const BUSY_REASON: &str = "its check or its reload has not come to an end";

/// Why not every target is in sync.
#[derive(Debug, thiserror::Error)]
pub enum RenderOnceError {
    /// The deadline has passed.
    #[error("not in sync within {} s:{reasons}", within.as_secs_f64())]
    DeadlineExceeded {
        /// The deadline.
        within: Duration,
        /// What is not in sync.
        reasons: Reasons,
    },
    /// The process was asked to stop.
    #[error("stopped before it was done:{0}")]
    Stopped(Reasons),
    /// A template fails with the present answers; waiting does not help.
    #[error("this cannot be rendered:{0}")]
    Failed(Reasons),
    /// The files are in effect, without the bad entries.
    #[error("in sync, except for bad entries:{0}")]
    EntriesHeld(Reasons),
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
}

/// What could not be done and why, each on its own lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(pub Vec<String>);

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|reason| write!(f, "\n  {}", reason.replace('\n', "\n  ")))
    }
}

/// Brings every target in sync once. A swap of files that has begun when the deadline comes, or when `stop` is cancelled,
/// is completed.
///
/// # Errors
/// The targets that are not in sync, with the reasons, and the entries that are left out. If a template fails, this ends
/// as soon as the other targets are in sync.
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
    let statuses = setup.statuses();
    let targets: Vec<_> = setup.targets.iter().map(|target| target.name().to_owned()).collect();
    // A missing status means that the target has not made a pass; its first pass adds the status again.
    targets.iter().for_each(|target| statuses.remove(target));
    let narrowings = setup.target_renderers.iter().map(|target| target.narrowing.clone()).collect();
    let workers = setup.targets.into_iter().map(Target::without_debounce);
    spawn_target_workers(&mut tasks, workers, &setup.target_renderers, &end);
    let unrendered =
        spawn_renderer(&mut tasks, setup.template_store, setup.pinned_store, setup.target_renderers, source, &end);
    let mut progress = Progress { targets, statuses, unrendered, narrowings };
    let mut tasks = pin!(tasks.join());
    let interrupt: Option<fn(Duration, Reasons) -> RenderOnceError> = tokio::select! {
        () = progress.until_settled() => None,
        ended = &mut tasks => return ended.map_err(RenderOnceError::from),
        () = tokio::time::sleep(deadline) => Some(|within, reasons| RenderOnceError::DeadlineExceeded { within, reasons }),
        () = stop.cancelled() => Some(|_, reasons| RenderOnceError::Stopped(reasons)),
    };
    end.cancel();
    tasks.await?;
    if !progress.is_in_sync() {
        let reasons = progress.reasons();
        return Err(match interrupt {
            None => RenderOnceError::Failed(reasons),
            Some(error) => error(deadline, reasons),
        });
    }
    let held: Vec<_> = progress.narrowings.iter().flat_map(Narrowing::hold_reasons).collect();
    if held.is_empty() { Ok(()) } else { Err(RenderOnceError::EntriesHeld(Reasons(held))) }
}

/// What the targets and the renderer report.
struct Progress {
    targets: Vec<String>,
    /// A target without an entry has not made a pass.
    statuses: TargetStatuses,
    unrendered: watch::Receiver<Vec<Unrendered>>,
    narrowings: Vec<Narrowing>,
}

impl Progress {
    /// Waits until each target is in sync, or cannot become so because one of its templates fails.
    async fn until_settled(&mut self) {
        let mut bell = self.statuses.bell();
        loop {
            bell.mark_unchanged();
            self.unrendered.mark_unchanged();
            if self.targets.iter().all(|target| self.is_settled(target)) {
                return;
            }
            tokio::select! {
                Ok(()) = bell.changed() => {}
                Ok(()) = self.unrendered.changed() => {}
                // The renderer has panicked; the caller reports that.
                else => std::future::pending().await,
            }
        }
    }

    fn is_settled(&self, target: &str) -> bool {
        self.statuses.snapshot().entries.get(target).is_some_and(|status| {
            let has_failure = || unrendered::has_failure(&self.unrendered.borrow(), target);
            status.in_sync_files.is_some() || status.error.is_none() && has_failure()
        })
    }

    fn is_in_sync(&self) -> bool {
        let statuses = self.statuses.snapshot().entries;
        let is_in_sync = |target| statuses.get(target).is_some_and(|status| status.in_sync_files.is_some());
        self.targets.iter().all(is_in_sync)
    }

    /// Why targets are not in sync.
    fn reasons(&self) -> Reasons {
        let (statuses, unrendered) = (self.statuses.snapshot().entries, self.unrendered.borrow());
        let problem = |target: &String| {
            let status = statuses.get(target).cloned().unwrap_or_default();
            let is_explained = status.in_sync_files.is_some() || unrendered.iter().any(|other| other.target == *target);
            let reason = status.error.or_else(|| (!is_explained).then(|| BUSY_REASON.to_owned()))?;
            Some(format!("target {target}: {reason}"))
        };
        let templates = unrendered.iter().map(ToString::to_string);
        Reasons(templates.chain(self.targets.iter().filter_map(problem)).collect())
    }
}
