//! What each long-running task is doing.
//!
//! ```text
//! reconcile: a pass begins, ends ──┐
//!                                  ├─► current() ──► TaskTable ──snapshot()──► [TaskStatus]
//! Condition: a problem, recovery ──┘
//! ```

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The tasks of one run, in the order in which they were started. Clones share the table.
#[derive(Clone, Debug, Default)]
pub struct TaskTable(Arc<Mutex<Vec<TaskEntry>>>);

/// The status of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskStatus {
    /// For instance `target edge`.
    pub name: String,
    /// What it is doing.
    #[serde(flatten)]
    pub state: TaskState,
    /// When this state began.
    #[serde(serialize_with = "serialize_time")]
    pub since: Timestamp,
    /// When it runs next, unless something wakes it before. `None` if it is running or only waits for an event.
    #[serde(serialize_with = "serialize_optional_time")]
    pub next_run: Option<Timestamp>,
    /// The last problem; it may be over.
    pub last_error: Option<TaskError>,
    /// When it last completed its work without a problem.
    #[serde(serialize_with = "serialize_optional_time")]
    pub last_success: Option<Timestamp>,
}

/// What a task is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "waiting_for", rename_all = "snake_case")]
pub enum TaskState {
    /// It is working.
    Running,
    /// There is nothing to do.
    Idle,
    /// These do not work: `Consul at http://127.0.0.1:8500`.
    Waiting(BTreeSet<String>),
    /// It has returned or panicked.
    Ended,
}

/// A problem that a task had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskError {
    /// When it occurred.
    #[serde(serialize_with = "serialize_time")]
    pub at: Timestamp,
    /// What does not work, and why.
    pub message: String,
}

#[derive(Debug)]
struct TaskEntry {
    status: TaskStatus,
    problems: BTreeSet<String>,
}

/// Reports for one task. The default reports nowhere.
#[derive(Clone, Debug, Default)]
pub(super) struct TaskHandle(Option<(TaskTable, usize)>);

impl TaskTable {
    /// The status of every task, also of those that have ended.
    pub fn snapshot(&self) -> Vec<TaskStatus> {
        self.with(|tasks| tasks.iter().map(|task| task.status.clone()).collect())
    }

    /// Adds a task that is running.
    pub(super) fn add(&self, name: &str) -> TaskHandle {
        let status = TaskStatus {
            name: name.to_owned(),
            state: TaskState::Running,
            since: Timestamp::now(),
            next_run: None,
            last_error: None,
            last_success: None,
        };
        self.with(|tasks| {
            tasks.push(TaskEntry { status, problems: BTreeSet::new() });
            TaskHandle(Some((self.clone(), tasks.len() - 1)))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<TaskEntry>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TaskHandle {
    /// The task is running.
    pub(super) fn report_running(&self) {
        self.update(|task| task.set_state(TaskState::Running, None));
    }

    /// One run is over; the next one is due after `wait`. A run that is not complete is not a success.
    pub(super) fn report_run(&self, is_complete: bool, wait: Duration) {
        self.update(|task| {
            let next_run = Timestamp::now().checked_add(wait).ok();
            if is_complete && task.problems.is_empty() {
                task.status.last_success = Some(Timestamp::now());
                task.set_state(TaskState::Idle, next_run);
            } else {
                task.set_state(TaskState::Waiting(task.problems.clone()), next_run);
            }
        });
    }

    /// `subject`, which the task depends on, does not work.
    pub(super) fn report_problem(&self, subject: &str, reason: &str) {
        self.update(|task| {
            let error = TaskError { at: Timestamp::now(), message: format!("{subject}: {reason}") };
            task.status.last_error = Some(error);
            task.problems.insert(subject.to_owned());
            task.set_state(TaskState::Waiting(task.problems.clone()), task.status.next_run);
        });
    }

    /// `subject` works.
    pub(super) fn report_ok(&self, subject: &str) {
        self.update(|task| {
            task.problems.remove(subject);
            if task.problems.is_empty() {
                task.status.last_success = Some(Timestamp::now());
            }
            if matches!(task.status.state, TaskState::Waiting(_)) {
                let is_waiting = !task.problems.is_empty();
                let state = if is_waiting { TaskState::Waiting(task.problems.clone()) } else { TaskState::Running };
                task.set_state(state, task.status.next_run);
            }
        });
    }

    /// The task has ended.
    pub(super) fn report_end(&self) {
        self.update(|task| task.set_state(TaskState::Ended, None));
    }

    fn update(&self, change: impl FnOnce(&mut TaskEntry)) {
        if let Some((table, index)) = &self.0 {
            table.with(|tasks| tasks.get_mut(*index).map(change));
        }
    }
}

impl TaskEntry {
    fn set_state(&mut self, state: TaskState, next_run: Option<Timestamp>) {
        if self.status.state != state {
            self.status.since = Timestamp::now();
        }
        (self.status.state, self.status.next_run) = (state, next_run);
    }
}

fn serialize_time<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

fn serialize_optional_time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize_time(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(table: &TaskTable) -> TaskStatus {
        table.snapshot().remove(0)
    }

    #[test]
    fn a_task_waits_for_what_does_not_work_and_succeeds_when_all_of_it_works() {
        let table = TaskTable::default();
        let task = table.add("registrar");
        assert_eq!((status(&table).state, status(&table).last_success), (TaskState::Running, None));
        task.report_problem("Consul", "connection refused");
        task.report_problem("Docker", "no such socket");
        task.report_run(false, Duration::from_secs(5));
        let waiting = status(&table);
        assert_eq!(waiting.state, TaskState::Waiting(["Consul".to_owned(), "Docker".to_owned()].into()));
        assert_eq!(waiting.last_error.map(|error| error.message).as_deref(), Some("Docker: no such socket"));
        assert!(waiting.next_run > Some(waiting.since) && waiting.last_success.is_none());
        task.report_running();
        task.report_ok("Docker");
        task.report_run(true, Duration::from_secs(5));
        assert_eq!(status(&table).state, TaskState::Waiting(["Consul".to_owned()].into()));
        task.report_ok("Consul");
        assert_eq!(status(&table).state, TaskState::Running);
        task.report_run(true, Duration::from_secs(5));
        let idle = status(&table);
        assert_eq!(idle.state, TaskState::Idle);
        assert!(idle.last_success.is_some() && idle.last_error.is_some(), "the last problem stays visible");
        task.report_end();
        assert_eq!((status(&table).state, status(&table).next_run), (TaskState::Ended, None));
    }

    #[test]
    fn a_status_is_json_for_other_programs() {
        let table = TaskTable::default();
        let task = table.add("target edge");
        let mut status = status(&table);
        let time = Timestamp::UNIX_EPOCH;
        status.since = time;
        assert_eq!(
            serde_json::json!(status),
            serde_json::json!({
                "name": "target edge", "state": "running", "since": "1970-01-01T00:00:00Z", "next_run": null,
                "last_error": null, "last_success": null,
            })
        );
        task.report_problem("target edge", "the check failed");
        let json = serde_json::json!(table.snapshot());
        assert_eq!((&json[0]["state"], &json[0]["waiting_for"][0]), (&"waiting".into(), &"target edge".into()));
        assert_eq!(json[0]["last_error"]["message"], "target edge: the check failed");
        // A handle without a table reports nowhere.
        TaskHandle::default().report_end();
    }
}
