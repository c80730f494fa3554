//! Which watches are in trouble, told to a [`Condition`] without repeating it for each of them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    core::condition::{Condition, error_chain},
    registry::Query,
};

/// The trouble of all watches of a source.
///
/// When an agent goes away, every watch fails in its own words. One of them speaks for all, until it is well; the rest
/// is for those who debug. All is well when no watch is in trouble any more.
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

    /// `query` failed.
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

    /// `query` has a good answer.
    pub(super) fn record_success(&self, query: &Query) {
        let mut state = self.lock();
        let troubled = state.remove(query);
        if state.logged.is_none() && state.unlogged.is_empty() {
            self.condition.report_ok();
        }
        if troubled {
            // Whatever it was may be over for the others as well: they need not sit out their delays.
            self.recovered.notify_waiters();
        }
    }

    /// Nobody asks `query` any more. That is no reason to call anything well.
    pub(super) fn forget(&self, query: &Query) {
        self.lock().remove(query);
    }

    /// Resolves when some watch recovers after this call.
    pub(super) fn recovery(&self) -> Notified<'_> {
        self.recovered.notified()
    }

    /// A task that panicked inside a method leaves at worst one query too many in the sets.
    fn lock(&self) -> MutexGuard<'_, FailureState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureState {
    /// Whether `query` was in trouble.
    fn remove(&mut self, query: &Query) -> bool {
        let spoke = self.logged.take_if(|speaker| speaker == query).is_some();
        self.unlogged.remove(query) || spoke
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

    /// The lines that a user sees.
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
    fn one_speaks_for_all() {
        let (trouble, queries) = (watch_failures(), queries());
        let down = logged_lines(|| {
            (0..3).for_each(|_| queries.iter().for_each(|query| trouble.record_failure(query, &Error)))
        });
        assert!(matches!(&down[..], [line] if line.starts_with("WARN Consul: ")), "{down:?}");
        let up = logged_lines(|| queries.iter().for_each(|query| trouble.record_success(query)));
        assert!(matches!(&up[..], [line] if line.starts_with("INFO Consul: well again after ")), "{up:?}");
        assert!(logged_lines(|| queries.iter().for_each(|query| trouble.record_success(query))).is_empty());
    }

    #[test]
    fn a_query_with_a_trouble_of_its_own_does_not_flap_with_the_others() {
        let (trouble, queries) = (watch_failures(), queries());
        let lines = logged_lines(|| {
            for _ in 0..3 {
                trouble.record_failure(&queries[0], &Error);
                queries[1..].iter().for_each(|query| trouble.record_success(query));
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn giving_up_a_query_cures_nothing_but_a_good_answer_of_another_does() {
        let (trouble, queries) = (watch_failures(), queries());
        trouble.record_failure(&queries[0], &Error);
        assert!(logged_lines(|| trouble.forget(&queries[0])).is_empty());
        let up = logged_lines(|| trouble.record_success(&queries[1]));
        assert!(matches!(&up[..], [line] if line.starts_with("INFO Consul: well again after ")), "{up:?}");
    }

    #[test]
    fn a_recovery_is_heard_by_those_who_wait_for_one() {
        let (trouble, queries) = (watch_failures(), queries());
        queries.iter().for_each(|query| trouble.record_failure(query, &Error));
        let heard = trouble.recovery();
        trouble.record_success(&queries[7]);
        assert!(heard.now_or_never().is_some());
        let heard = trouble.recovery();
        trouble.record_success(&queries[7]);
        assert!(heard.now_or_never().is_none(), "one that was well did not recover");
    }
}
