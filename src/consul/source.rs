//! Consul as the [`Source`] of `render`: a blocking query for each watch.
//!
//! The leader answers unless [`Settings::max_stale`](super::Settings) is set. A follower learns of a change with the
//! next message of the leader: measured on three idle servers, it wakes a watch 80 to 100 ms later than the leader.
//! Without a leader no response is accepted, and the store keeps the last answers.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Client, watch::Watch, watch_failures::WatchFailures};
use crate::{
    core::{condition::Condition, store::Store},
    registry::{Answer, Query, Source},
};

/// One agent as a [`Source`]. Clones share the client and the state of failures, so a problem is logged once.
#[derive(Clone, Debug)]
pub struct ConsulSource {
    client: Client,
    failures: Arc<WatchFailures>,
}

impl ConsulSource {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        let failures = WatchFailures::new(Condition::new(format!("reading from Consul at {}", client.address())));
        Self { client, failures: Arc::new(failures) }
    }
}

impl Source for ConsulSource {
    async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
        let watch = Watch::new(&self.client, &query, &self.failures);
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = watch.run(&answers) => {}
        }
    }
}
