//! One watch: asks a query again and again, and keeps its answer current.

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

/// The first delay after an error; up to as much again is added at random, here and below.
const RETRY_MIN: Duration = Duration::from_millis(250);
/// The longest delay after an error.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The state of one watch. Dropped, it gives its permit back and breaks off what is open.
pub(super) struct Watch<'a> {
    client: &'a Client,
    query: &'a Query,
    failures: &'a WatchFailures,
    registration: RegisteredWatch<'a>,
    index: Index,
    rate_limiter: RateLimiter,
    backoff: ExponentialBackoff,
    /// Whether any server may answer the next time.
    stale: bool,
    /// Whether the last answer was cut by an ACL.
    is_acl_filtered: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, query: &'a Query, trouble: &'a WatchFailures) -> Self {
        Self {
            client,
            query,
            failures: trouble,
            registration: client.limiter().register_watch(),
            index: Index::default(),
            rate_limiter: RateLimiter::default(),
            backoff: backoff(),
            stale: client.settings().max_stale.is_some(),
            is_acl_filtered: false,
        }
    }

    /// Never returns; drop it to stop.
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
                    let believed = self.accept(reply);
                    self.failures.record_success(self.query);
                    self.backoff = backoff();
                    if let Some(answer) = believed {
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
        let turn = match self.index.last_seen() {
            Some(_) => self.registration.acquire_blocking().await,
            None => self.registration.acquire_immediate().await,
        };
        let read = QueryOptions { scope: None, newer_than: self.index.last_seen().zip(turn.wait), stale: self.stale };
        fetch(self.client, self.query, read).await
    }

    /// The answer, if its index and age allow to believe it. What is just as old as the last is taken as well: what a
    /// token may see changes without the index.
    fn accept(&mut self, reply: Reply<Answer>) -> Option<Answer> {
        let max_stale = self.client.settings().max_stale;
        if self.stale && max_stale.is_some_and(|max| reply.meta.last_contact > max) {
            tracing::debug!("{}: the answer is {:?} old, asking the leader", self.query, reply.meta.last_contact);
            self.stale = false;
            return None;
        }
        self.stale = max_stale.is_some();
        if self.index.advance(reply.meta.index) == IndexChange::Backward {
            tracing::info!("{}: the index went backwards, fetching everything anew", self.query);
            return None;
        }
        if reply.meta.filtered && !self.is_acl_filtered {
            tracing::warn!("{}: ACLs hide a part of the answer from our token", self.query);
        }
        self.is_acl_filtered = reply.meta.filtered;
        Some(reply.value)
    }

    /// Waits until it makes sense to ask again, from the start.
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
