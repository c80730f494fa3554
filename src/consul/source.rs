//! The side of Consul that `render` reads: a blocking query for each watch.
//!
//! The leader answers, unless [`Settings::max_stale`](super::Settings) is set. A follower would answer as well, but
//! hears of a change only with the leader's next message: measured on three quiet servers, it wakes a watch 80 to
//! 100 ms after the leader would have. Without a leader neither says anything new, and what is in the store stays.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Client, watch::Watch, watch_failures::WatchFailures};
use crate::{
    core::{condition::Condition, store::Store},
    registry::{Answer, Query, Source},
};

/// One agent as a [`Source`]. Clones share the client, and report trouble once for all.
#[derive(Clone, Debug)]
pub struct ConsulSource {
    client: Client,
    failures: Arc<WatchFailures>,
}

impl ConsulSource {
    /// Reads through `client`.
    pub fn new(client: Client) -> Self {
        let trouble = WatchFailures::new(Condition::new(format!("reading from Consul at {}", client.address())));
        Self { client, failures: Arc::new(trouble) }
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
