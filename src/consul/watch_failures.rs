//! The failing watches of a source, reported to one [`Condition`], so that a problem is not logged for each watch.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    core::condition::{Condition, error_chain},
    registry::Query,
};

/// The failing watches of a source.
///
/// When an agent is unavailable, every watch fails with an error of its own. The errors of one watch are reported until
/// it recovers; those of the others are logged at level debug. The condition is ok when no watch fails.
#[derive(Debug)]
pub(super) struct WatchFailures {
    condition: Condition,
    state: Mutex<FailureState>,
    recovered: Notify,
}

#[derive(Debug, Default)]
struct FailureState {
    logged: Option<Query>,
    unlogged: BTreeSet<Query>,
}

impl WatchFailures {
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, state: Mutex::default(), recovered: Notify::new() }
    }

    /// A call of `query` failed.
    pub(super) fn record_failure(&self, query: &Query, error: &(dyn std::error::Error + 'static)) {
        let mut state = self.lock();
        if state.logged.get_or_insert_with(|| query.clone()) == query {
            state.unlogged.remove(query);
            self.condition.report_problem(error);
        } else {
            tracing::debug!("{query}: {}", error_chain(error));
            state.unlogged.insert(query.clone());
        }
    }

    /// A call of `query` succeeded.
    pub(super) fn record_success(&self, query: &Query) {
        let mut state = self.lock();
        let recovered = state.remove(query);
        if state.logged.is_none() && state.unlogged.is_empty() {
            self.condition.report_ok();
        }
        if recovered {
            // The others may succeed too, so they do not wait for the end of their delays.
            self.recovered.notify_waiters();
        }
    }

    /// The watch of `query` ended. This does not report a recovery.
    pub(super) fn forget(&self, query: &Query) {
        self.lock().remove(query);
    }

    /// Resolves when a watch recovers after this call.
    pub(super) fn recovery(&self) -> Notified<'_> {
        self.recovered.notified()
    }

    /// Ignores poisoning: a panic inside a method leaves at worst one query too many in the sets.
    fn lock(&self) -> MutexGuard<'_, FailureState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureState {
    /// Returns whether `query` was failing.
    fn remove(&mut self, query: &Query) -> bool {
        let was_logged = self.logged.take_if(|logged| logged == query).is_some();
        self.unlogged.remove(query) || was_logged
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Error, io, sync::Arc};

    use futures_util::FutureExt;

    use super::*;

    #[derive(Clone, Default)]
    struct LogBuffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for LogBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The log lines at level info and above.
    fn logged_lines(act: impl FnOnce()) -> Vec<String> {
        let log = LogBuffer::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
        tracing::subscriber::with_default(subscriber.with_target(false).finish(), act);
        let bytes = log.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text").lines().map(|line| line.trim().to_owned()).collect()
    }

    fn watch_failures() -> WatchFailures {
        WatchFailures::new(Condition::new("Consul"))
    }

    fn queries() -> Vec<Query> {
        (0..100).map(|number| Query::key(format!("k{number}"))).collect()
    }

    #[test]
    fn an_outage_is_logged_once_for_all_queries() {
        let (failures, queries) = (watch_failures(), queries());
        let outage_lines = logged_lines(|| {
            (0..3).for_each(|_| queries.iter().for_each(|query| failures.record_failure(query, &Error)))
        });
        assert!(matches!(&outage_lines[..], [line] if line.starts_with("WARN Consul: ")), "{outage_lines:?}");
        let recovery_lines = logged_lines(|| queries.iter().for_each(|query| failures.record_success(query)));
        assert!(
            matches!(&recovery_lines[..], [line] if line.starts_with("INFO Consul: recovered after ")),
            "{recovery_lines:?}"
        );
        assert!(logged_lines(|| queries.iter().for_each(|query| failures.record_success(query))).is_empty());
    }

    #[test]
    fn a_problem_of_one_query_is_logged_once_while_others_succeed() {
        let (failures, queries) = (watch_failures(), queries());
        let lines = logged_lines(|| {
            for _ in 0..3 {
                failures.record_failure(&queries[0], &Error);
                queries[1..].iter().for_each(|query| failures.record_success(query));
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn the_end_of_a_failing_watch_is_not_a_recovery() {
        let (failures, queries) = (watch_failures(), queries());
        failures.record_failure(&queries[0], &Error);
        assert!(logged_lines(|| failures.forget(&queries[0])).is_empty());
        let recovery_lines = logged_lines(|| failures.record_success(&queries[1]));
        assert!(
            matches!(&recovery_lines[..], [line] if line.starts_with("INFO Consul: recovered after ")),
            "{recovery_lines:?}"
        );
    }

    #[test]
    fn a_recovery_notifies_the_waiting_watches() {
        let (failures, queries) = (watch_failures(), queries());
        queries.iter().for_each(|query| failures.record_failure(query, &Error));
        let recovery = failures.recovery();
        failures.record_success(&queries[7]);
        assert!(recovery.now_or_never().is_some());
        let recovery = failures.recovery();
        failures.record_success(&queries[7]);
        assert!(recovery.now_or_never().is_none(), "a query that did not fail does not recover");
    }
}
