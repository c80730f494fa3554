//! Keeps one watch running for each wanted query.
//!
//! The renderer sets the wanted queries after each pass; this task starts and ends watches accordingly. The answer of a
//! query that is no longer wanted is removed after its watch has ended, so that a late answer does not stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{store::Store, supervise::part_of_current},
    registry::{Answer, Query, Source},
};

/// Runs until `stop` is cancelled or the sender of `wanted` is dropped. A panic in a watch is passed on.
pub(super) async fn run(
    source: Arc<impl Source>,
    answers: Store<Query, Arc<Answer>>,
    mut wanted: watch::Receiver<BTreeSet<Query>>,
    stop: CancellationToken,
) {
    let mut watches = QueryWatches { source, answers, running: BTreeMap::new(), tasks: JoinSet::new() };
    loop {
        let now = wanted.borrow_and_update().clone();
        watches.update(&now, &stop);
        tokio::select! {
            () = stop.cancelled() => break,
            changed = wanted.changed() => if changed.is_err() { break },
            Some(ended) = watches.tasks.join_next() => watches.remove_ended(ended),
        }
    }
    watches.tasks.shutdown().await;
}

struct QueryWatches<S> {
    source: Arc<S>,
    answers: Store<Query, Arc<Answer>>,
    /// A watch stays here until its task has ended, even if it is cancelled.
    running: BTreeMap<Query, CancellationToken>,
    tasks: JoinSet<Query>,
}

impl<S: Source> QueryWatches<S> {
    fn update(&mut self, wanted: &BTreeSet<Query>, stop: &CancellationToken) {
        for (query, watch) in &self.running {
            if !wanted.contains(query) && !watch.is_cancelled() {
                tracing::debug!("{query}: the watch ends");
                watch.cancel();
            }
        }
        for query in wanted {
            if !self.running.contains_key(query) {
                tracing::debug!("{query}: the watch starts");
                let end = stop.child_token();
                self.running.insert(query.clone(), end.clone());
                let (source, answers, query) = (Arc::clone(&self.source), self.answers.clone(), query.clone());
                self.tasks.spawn(part_of_current(async move {
                    source.watch(query.clone(), answers, end).await;
                    query
                }));
            }
        }
    }

    fn remove_ended(&mut self, ended: Result<Query, JoinError>) {
        match ended {
            Ok(query) => {
                self.running.remove(&query);
                self.answers.remove(&query);
            }
            // Only `shutdown` aborts tasks, and it awaits them itself.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers every query immediately, and records which watches began (`+`) and ended (`-`).
    #[derive(Default)]
    struct EchoSource(Mutex<Vec<String>>);

    impl EchoSource {
        fn note(&self, mark: char, query: &Query) {
            self.0.lock().expect("no test panics with it").push(format!("{mark}{query}"));
        }
    }

    impl Source for EchoSource {
        async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
            self.note('+', &query);
            answers.put(query.clone(), Arc::new(Answer::Key(None)));
            stop.cancelled().await;
            // A late answer.
            tokio::task::yield_now().await;
            answers.put(query.clone(), Arc::new(Answer::Key(Some("late".into()))));
            self.note('-', &query);
        }
    }

    fn keys(paths: &[&str]) -> BTreeSet<Query> {
        paths.iter().map(|path| Query::key(*path)).collect()
    }

    async fn until(answers: &Store<Query, Arc<Answer>>, expected: &BTreeSet<Query>) {
        let mut bell = answers.bell();
        while answers.snapshot().entries.keys().ne(expected) {
            bell.changed().await.expect("the store lives");
        }
    }

    #[tokio::test]
    async fn the_watches_follow_the_wanted_queries() {
        let (source, answers, stop) = (Arc::new(EchoSource::default()), Store::default(), CancellationToken::new());
        let (sender, wanted) = watch::channel(keys(&["a", "b"]));
        let task = tokio::spawn(run(Arc::clone(&source), answers.clone(), wanted, stop.clone()));
        until(&answers, &keys(&["a", "b"])).await;
        sender.send_replace(keys(&["b", "c"]));
        until(&answers, &keys(&["b", "c"])).await;
        stop.cancel();
        task.await.expect("it ends without a panic");
        let mut notes = source.0.lock().expect("no test panics with it").clone();
        notes.retain(|note| note.starts_with('+') || note.contains("\"a\""));
        notes.sort();
        assert_eq!(notes, ["+key \"a\"", "+key \"b\"", "+key \"c\"", "-key \"a\""]);
    }

    #[tokio::test]
    async fn a_query_that_is_wanted_again_while_its_watch_ends_gets_a_new_watch() {
        let (source, answers, stop) = (Arc::new(EchoSource::default()), Store::default(), CancellationToken::new());
        let mut watches =
            QueryWatches { source, answers: answers.clone(), running: BTreeMap::new(), tasks: JoinSet::new() };
        let a = keys(&["a"]);
        watches.update(&a, &stop);
        until(&answers, &a).await;
        watches.update(&keys(&[]), &stop);
        watches.update(&a, &stop);
        assert_eq!(watches.tasks.len(), 1, "the old watch has to end first");
        let ended = watches.tasks.join_next().await.expect("one runs");
        watches.remove_ended(ended);
        assert!(answers.snapshot().entries.is_empty(), "the late answer is dropped");
        watches.update(&a, &stop);
        until(&answers, &a).await;
        assert_eq!(answers.snapshot().entries.values().next(), Some(&Arc::new(Answer::Key(None))));
        watches.tasks.shutdown().await;
    }

    struct PanickingSource;

    impl Source for PanickingSource {
        async fn watch(&self, _: Query, _: Store<Query, Arc<Answer>>, _: CancellationToken) {
            panic!("broken");
        }
    }

    #[tokio::test]
    async fn a_panic_of_a_watch_is_passed_on() {
        let (_sender, wanted) = watch::channel(keys(&["a"]));
        let task = tokio::spawn(run(Arc::new(PanickingSource), Store::default(), wanted, CancellationToken::new()));
        assert!(task.await.expect_err("it panics").is_panic());
    }
}
