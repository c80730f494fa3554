//! Watches with their store.

use std::sync::Arc;

use portreeve::{
    consul::{Client, ConsulSource},
    core::store::Store,
    registry::{Answer, Query, ServiceRecord, Source},
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::dev_agent::PATIENCE;

/// A source, and the store of its watches.
pub(crate) struct Watched {
    source: ConsulSource,
    store: Store<Query, Arc<Answer>>,
    bell: watch::Receiver<u64>,
}

/// A running watch. Dropping it stops the watch.
pub(crate) struct Running {
    task: JoinHandle<()>,
    stop: DropGuard,
}

impl Running {
    /// Stops the watch and waits for its end.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        timeout(PATIENCE, self.task).await.expect("a watch that is stopped ends").expect("no panic");
    }
}

impl Watched {
    pub(crate) fn new(client: Client) -> Self {
        let store = Store::default();
        Self { source: ConsulSource::new(client), bell: store.bell(), store }
    }

    /// Starts a watch.
    pub(crate) fn watch(&self, query: &Query) -> Running {
        let (source, query, store) = (self.source.clone(), query.clone(), self.store.clone());
        let stop = CancellationToken::new();
        let token = stop.clone();
        Running { task: tokio::spawn(async move { source.watch(query, store, token).await }), stop: stop.drop_guard() }
    }

    /// The current answer.
    pub(crate) fn known(&self, query: &Query) -> Option<Arc<Answer>> {
        self.store.snapshot().entries.get(query).cloned()
    }

    /// Waits until `wanted` accepts the answer.
    pub(crate) async fn until(&mut self, query: &Query, wanted: impl Fn(&Answer) -> bool) -> Arc<Answer> {
        let wait = async {
            loop {
                if let Some(answer) = self.known(query)
                    && wanted(&answer)
                {
                    return answer;
                }
                self.bell.changed().await.expect("the store exists");
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(answer) => answer,
            Err(_) => panic!("{query}: still {:?}", self.store.snapshot().entries.get(query)),
        }
    }

    /// Waits until the answer has exactly these instances.
    pub(crate) async fn until_ids(&mut self, query: &Query, ids: &[&str]) -> Vec<ServiceRecord> {
        let found = |answer: &Answer| records(answer).iter().map(|record| record.id.as_str()).eq(ids.iter().copied());
        records(&*self.until(query, found).await).to_vec()
    }

    /// Waits until the key has this value.
    pub(crate) async fn until_key(&mut self, query: &Query, value: Option<&str>) {
        self.until(query, |answer| *answer == Answer::Key(value.map(ToOwned::to_owned))).await;
    }
}

pub(crate) fn records(answer: &Answer) -> &[ServiceRecord] {
    match answer {
        Answer::Service(records) => records,
        _ => panic!("not an answer about a service: {answer:?}"),
    }
}

/// A query for the instances in traffic.
pub(crate) fn service(name: &str) -> Query {
    Query::service(name)
}

pub(crate) fn key(path: &str) -> Query {
    Query::key(path)
}
