//! One watch: repeats a query and puts each new answer into the store.
//!
//! ```text
//! rate limiter --> permit --> query with the last index --+--> accepted -----------> Store<Query, Answer>
//!      ^                                                  +--> stale, index backward     |
//!      |                                                  '--> error: back off           |
//!      '-----------------------------------------------------------'---------------------'
//! ```

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Client, Error, QueryOptions, Reply,
    connection_limiter::RegisteredWatch,
    fetch::fetch,
    index::{Index, IndexChange},
    rate_limiter::RateLimiter,
    watch_failures::WatchFailures,
};
use crate::{
    core::store::Store,
    registry::{Answer, Query},
};

/// The first delay after an error. Jitter adds up to the same time, here and below.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest delay after an error.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The state of one watch. Dropping it returns the permit and cancels an open query.
pub(super) struct Watch<'a> {
    client: &'a Client,
    query: &'a Query,
    failures: &'a WatchFailures,
    registration: RegisteredWatch<'a>,
    index: Index,
    rate_limiter: RateLimiter,
    backoff: ExponentialBackoff,
    /// Whether any server may answer the next query.
    stale: bool,
    /// Whether ACLs removed a part of the last answer.
    is_acl_filtered: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, query: &'a Query, failures: &'a WatchFailures) -> Self {
        Self {
            client,
            query,
            failures,
            registration: client.limiter().register_watch(),
            index: Index::default(),
            rate_limiter: RateLimiter::default(),
            backoff: backoff(),
            stale: client.settings().max_stale.is_some(),
            is_acl_filtered: false,
        }
    }

    /// Never returns. Dropping the future stops the watch.
    pub(super) async fn run(mut self, answers: &Store<Query, Arc<Answer>>) {
        loop {
            let now = Instant::now();
            let send_at = self.rate_limiter.reserve(now);
            if send_at > now {
                sleep_until(send_at).await;
            }
            match self.query_agent().await {
                Ok(reply) => {
                    let can_wait = reply.meta.index.is_some();
                    let accepted = self.accept(reply);
                    self.failures.record_success(self.query);
                    self.backoff = backoff();
                    if let Some(answer) = accepted {
                        answers.put(self.query.clone(), Arc::new(answer));
                        if !can_wait {
                            sleep(self.client.settings().poll).await;
                        }
                    }
                }
                Err(error) => self.back_off(&error).await,
            }
        }
    }

    async fn query_agent(&self) -> Result<Reply<Answer>, Error> {
        let permit = match self.index.last_seen() {
            Some(_) => self.registration.acquire_blocking().await,
            None => self.registration.acquire_immediate().await,
        };
        let read = QueryOptions { scope: None, newer_than: self.index.last_seen().zip(permit.wait), stale: self.stale };
        fetch(self.client, self.query, read).await
    }

    /// The answer; `None` if it is too old or its index went backward. An answer with the same index is accepted, since
    /// a change of the token's permissions does not change the index.
    fn accept(&mut self, reply: Reply<Answer>) -> Option<Answer> {
        let max_stale = self.client.settings().max_stale;
        if self.stale && max_stale.is_some_and(|max| reply.meta.last_contact > max) {
            tracing::debug!("{}: the answer is {:?} old: the leader is queried", self.query, reply.meta.last_contact);
            self.stale = false;
            return None;
        }
        self.stale = max_stale.is_some();
        if self.index.advance(reply.meta.index) == IndexChange::Backward {
            tracing::info!("{}: the index went backward: the answer is fetched again without an index", self.query);
            return None;
        }
        if reply.meta.filtered && !self.is_acl_filtered {
            tracing::warn!("{}: ACLs hide a part of the answer: the token may not read everything", self.query);
        }
        self.is_acl_filtered = reply.meta.filtered;
        Some(reply.value)
    }

    /// Waits for the back-off, or until another watch recovers. Resets the index.
    async fn back_off(&mut self, error: &Error) {
        self.index.reset();
        let recovery = self.failures.recovery();
        self.failures.record_failure(self.query, error);
        tokio::select! {
            () = sleep(self.backoff.next().unwrap_or(RETRY_MAX)) => {}
            () = recovery => {}
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.failures.forget(self.query);
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(RETRY_MIN)
        .with_max_delay(RETRY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
