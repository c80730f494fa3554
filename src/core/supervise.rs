//! The tasks of one run: each has a name, a span and a status; a panic of one ends all.
//!
//! ```text
//! TaskSet::spawn(name, future) ──► span `task`, TaskTable entry ──► join: all ended, a panic, or 10 s after `stop`
//! ```

use std::{collections::HashMap, future::Future, time::Duration};

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error_span};

use super::task_table::{TaskHandle, TaskState, TaskTable};

/// How long a task may take to end after `stop` is cancelled.
const GRACE: Duration = Duration::from_secs(10);

tokio::task_local! {
    static CURRENT: TaskHandle;
}

/// The handle of the task that calls this. Outside of a [`TaskSet`] it reports nowhere.
pub(super) fn current() -> TaskHandle {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// A part of the current task that is spawned on its own: it has the same span and reports to the same status.
pub(crate) fn part_of_current<T>(part: impl Future<Output = T>) -> impl Future<Output = T> {
    CURRENT.scope(current(), part).in_current_span()
}

/// Continues the panic of a part in the task that awaits it.
pub(crate) fn propagate_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Named tasks that end together.
#[derive(Debug)]
pub struct TaskSet {
    set: JoinSet<()>,
    names: HashMap<Id, String>,
    table: TaskTable,
    stop: CancellationToken,
}

/// A task panicked: a bug in Portreeve.
#[derive(Debug, thiserror::Error)]
#[error("the task `{name}` panicked, which is a bug in portreeve: {panic}")]
pub struct TaskPanicked {
    name: String,
    panic: String,
}

impl TaskSet {
    /// No tasks yet. Cancelling `stop` asks all of them to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), names: HashMap::new(), table: TaskTable::default(), stop }
    }

    /// The status of every task.
    pub fn table(&self) -> TaskTable {
        self.table.clone()
    }

    /// Starts a task. It must end soon after `stop` is cancelled.
    pub fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.into();
        // A span of this level is enabled whenever anything is logged.
        let span = error_span!("task", task = name);
        let handle = self.table.add(&name);
        let end = ReportEnd(handle.clone());
        let task = async move {
            let _end = end;
            task.await;
        };
        self.names.insert(self.set.spawn(CURRENT.scope(handle, task).instrument(span)).id(), name);
    }

    /// Waits until every task has ended. One that has not ended 10 s after `stop` was cancelled is dropped.
    ///
    /// # Errors
    /// A task panicked; the others were asked to end.
    pub async fn join(mut self) -> Result<(), TaskPanicked> {
        let mut panicked = None;
        let overdue = async {
            self.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(overdue);
        loop {
            tokio::select! {
                ended = self.set.join_next() => match ended {
                    None => break,
                    Some(Err(error)) if error.is_panic() => {
                        self.stop.cancel();
                        let name = self.names.remove(&error.id()).unwrap_or_default();
                        panicked = Some(TaskPanicked { name, panic: error.to_string() });
                    }
                    Some(_) => {}
                },
                () = &mut overdue => {
                    self.log_overdue();
                    break;
                }
            }
        }
        panicked.map_or(Ok(()), Err)
    }

    fn log_overdue(&self) {
        let tasks = self.table.snapshot().into_iter().filter(|task| task.state != TaskState::Ended);
        let (names, statuses): (Vec<_>, Vec<_>) = tasks.map(|task| (task.name.clone(), task)).unzip();
        let names = names.join(", ");
        tracing::warn!("not ended within 10 s after the request to stop, and aborted: {names}");
        tracing::debug!("their status: {}", serde_json::json!(statuses));
    }
}

/// Reports the end of a task when it is dropped: also after a panic.
#[derive(Debug)]
struct ReportEnd(TaskHandle);

impl Drop for ReportEnd {
    fn drop(&mut self) {
        self.0.report_end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::condition::Condition;

    #[tokio::test]
    async fn a_panic_ends_the_others_and_is_an_error_that_names_the_task() {
        let stop = CancellationToken::new();
        let mut tasks = TaskSet::new(stop.clone());
        let table = tasks.table();
        tasks.spawn("patient", async move { stop.cancelled().await });
        tasks.spawn("faulty", async { panic!("deliberate") });
        let error = tasks.join().await.expect_err("a panic");
        assert!(error.to_string().contains("deliberate") && error.to_string().contains("`faulty`"), "{error}");
        assert!(table.snapshot().iter().all(|task| task.state == TaskState::Ended), "{table:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_dropped() {
        let stop = CancellationToken::new();
        let mut tasks = TaskSet::new(stop.clone());
        tasks.spawn("stuck", std::future::pending());
        stop.cancel();
        assert!(tasks.join().await.is_ok());
    }

    #[tokio::test]
    async fn a_condition_reports_to_the_task_that_it_is_used_in_and_in_its_parts() {
        let mut tasks = TaskSet::new(CancellationToken::new());
        let table = tasks.table();
        tasks.spawn("watch", async {
            let part = tokio::spawn(part_of_current(async {
                Condition::new("Consul").report_problem(&std::io::Error::other("refused"));
            }));
            part.await.expect("no panic");
            Condition::new("Docker").report_problem(&std::io::Error::other("no such socket"));
            Condition::new("Docker").report_ok();
            std::future::pending().await
        });
        let is_reported = || {
            let status = table.snapshot().remove(0);
            status.last_error.is_some_and(|error| error.message == "Docker: no such socket")
                && status.state == TaskState::Waiting(["Consul".to_owned()].into())
        };
        while !is_reported() {
            tokio::task::yield_now().await;
        }
        Condition::new("Consul").report_problem(&std::io::Error::other("in no task"));
        assert!(is_reported(), "{table:?}");
    }
}
