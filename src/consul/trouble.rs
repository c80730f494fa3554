//! Which watches are in trouble, told to a [`Condition`] without repeating it for each of them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    core::condition::{Condition, chain},
    registry::Query,
};

/// The trouble of all watches of a source.
///
/// When an agent goes away, every watch fails in its own words. One of them speaks for all, until it is well; the rest
/// is for those who debug. All is well when no watch is in trouble any more.
#[derive(Debug)]
pub(super) struct Trouble {
    condition: Condition,
    state: Mutex<State>,
    recovered: Notify,
}

#[derive(Debug, Default)]
struct State {
    speaker: Option<Query>,
    silent: BTreeSet<Query>,
}

impl Trouble {
    pub(super) fn new(condition: Condition) -> Self {
        Self { condition, state: Mutex::default(), recovered: Notify::new() }
    }

    /// `query` failed.
    pub(super) fn failed(&self, query: &Query, error: &(dyn std::error::Error + 'static)) {
        let mut state = self.lock();
        if state.speaker.get_or_insert_with(|| query.clone()) == query {
            state.silent.remove(query);
            self.condition.trouble(error);
        } else {
            tracing::debug!("{query}: {}", chain(error));
            state.silent.insert(query.clone());
        }
    }

    /// `query` has a good answer.
    pub(super) fn over(&self, query: &Query) {
        let mut state = self.lock();
        let troubled = state.forget(query);
        if state.speaker.is_none() && state.silent.is_empty() {
            self.condition.well();
        }
        if troubled {
            // Whatever it was may be over for the others as well: they need not sit out their delays.
            self.recovered.notify_waiters();
        }
    }

    /// Nobody asks `query` any more. That is no reason to call anything well.
    pub(super) fn dropped(&self, query: &Query) {
        self.lock().forget(query);
    }

    /// Resolves when some watch recovers after this call.
    pub(super) fn recovery(&self) -> Notified<'_> {
        self.recovered.notified()
    }

    /// A task that panicked inside a method leaves at worst one query too many in the sets.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether `query` was in trouble.
    fn forget(&mut self, query: &Query) -> bool {
        let spoke = self.speaker.take_if(|speaker| speaker == query).is_some();
        self.silent.remove(query) || spoke
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Error, io, sync::Arc};

    use futures_util::FutureExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that a user sees.
    fn said(act: impl FnOnce()) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).without_time();
        tracing::subscriber::with_default(subscriber.with_target(false).finish(), act);
        let bytes = log.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text").lines().map(|line| line.trim().to_owned()).collect()
    }

    fn trouble() -> Trouble {
        Trouble::new(Condition::new("Consul"))
    }

    fn queries() -> Vec<Query> {
        (0..100).map(|number| Query::key(format!("k{number}"))).collect()
    }

    #[test]
    fn one_speaks_for_all() {
        let (trouble, queries) = (trouble(), queries());
        let down = said(|| (0..3).for_each(|_| queries.iter().for_each(|query| trouble.failed(query, &Error))));
        assert!(matches!(&down[..], [line] if line.starts_with("WARN Consul: ")), "{down:?}");
        let up = said(|| queries.iter().for_each(|query| trouble.over(query)));
        assert!(matches!(&up[..], [line] if line.starts_with("INFO Consul: well again after ")), "{up:?}");
        assert!(said(|| queries.iter().for_each(|query| trouble.over(query))).is_empty());
    }

    #[test]
    fn a_query_with_a_trouble_of_its_own_does_not_flap_with_the_others() {
        let (trouble, queries) = (trouble(), queries());
        let lines = said(|| {
            for _ in 0..3 {
                trouble.failed(&queries[0], &Error);
                queries[1..].iter().for_each(|query| trouble.over(query));
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn giving_up_a_query_cures_nothing_but_a_good_answer_of_another_does() {
        let (trouble, queries) = (trouble(), queries());
        trouble.failed(&queries[0], &Error);
        assert!(said(|| trouble.dropped(&queries[0])).is_empty());
        let up = said(|| trouble.over(&queries[1]));
        assert!(matches!(&up[..], [line] if line.starts_with("INFO Consul: well again after ")), "{up:?}");
    }

    #[test]
    fn a_recovery_is_heard_by_those_who_wait_for_one() {
        let (trouble, queries) = (trouble(), queries());
        queries.iter().for_each(|query| trouble.failed(query, &Error));
        let heard = trouble.recovery();
        trouble.over(&queries[7]);
        assert!(heard.now_or_never().is_some());
        let heard = trouble.recovery();
        trouble.over(&queries[7]);
        assert!(heard.now_or_never().is_none(), "one that was well did not recover");
    }
}
