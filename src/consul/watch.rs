//! One watch: asks a query again and again, and keeps its answer current.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    Client, Error, Read, Reply,
    fetch::fetch,
    index::{Index, Step},
    permits::Enrolled,
    spacing::Spacing,
    trouble::Trouble,
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
    trouble: &'a Trouble,
    enrolled: Enrolled<'a>,
    index: Index,
    spacing: Spacing,
    delays: ExponentialBackoff,
    /// Whether any server may answer the next time.
    stale: bool,
    /// Whether the last answer was cut by an ACL.
    filtered: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, query: &'a Query, trouble: &'a Trouble) -> Self {
        Self {
            client,
            query,
            trouble,
            enrolled: client.permits().enrol(),
            index: Index::default(),
            spacing: Spacing::default(),
            delays: delays(),
            stale: client.settings().max_stale.is_some(),
            filtered: false,
        }
    }

    /// Never returns; drop it to stop.
    pub(super) async fn run(mut self, answers: &Store<Query, Arc<Answer>>) {
        loop {
            let now = Instant::now();
            let send_at = self.spacing.reserve(now);
            if send_at > now {
                sleep_until(send_at).await;
            }
            match self.ask().await {
                Ok(reply) => {
                    let can_wait = reply.stamp.index.is_some();
                    let believed = self.believe(reply);
                    self.trouble.over(self.query);
                    self.delays = delays();
                    if let Some(answer) = believed {
                        answers.put(self.query.clone(), Arc::new(answer));
                        if !can_wait {
                            sleep(self.client.settings().poll).await;
                        }
                    }
                }
                Err(error) => self.sit_out(&error).await,
            }
        }
    }

    async fn ask(&self) -> Result<Reply<Answer>, Error> {
        let turn = match self.index.seen() {
            Some(_) => self.enrolled.turn_to_wait().await,
            None => self.enrolled.turn_to_look().await,
        };
        let read = Read { scope: None, newer_than: self.index.seen().zip(turn.wait), stale: self.stale };
        fetch(self.client, self.query, read).await
    }

    /// The answer, if its index and age allow to believe it. What is just as old as the last is taken as well: what a
    /// token may see changes without the index.
    fn believe(&mut self, reply: Reply<Answer>) -> Option<Answer> {
        let max_stale = self.client.settings().max_stale;
        if self.stale && max_stale.is_some_and(|max| reply.stamp.last_contact > max) {
            tracing::debug!("{}: the answer is {:?} old, asking the leader", self.query, reply.stamp.last_contact);
            self.stale = false;
            return None;
        }
        self.stale = max_stale.is_some();
        if self.index.advance(reply.stamp.index) == Step::Backward {
            tracing::info!("{}: the index went backwards, fetching everything anew", self.query);
            return None;
        }
        if reply.stamp.filtered && !self.filtered {
            tracing::warn!("{}: ACLs hide a part of the answer from our token", self.query);
        }
        self.filtered = reply.stamp.filtered;
        Some(reply.value)
    }

    /// Waits until it makes sense to ask again, from the start.
    async fn sit_out(&mut self, error: &Error) {
        self.index.forget();
        let recovery = self.trouble.recovery();
        self.trouble.failed(self.query, error);
        tokio::select! {
            () = sleep(self.delays.next().unwrap_or(RETRY_MAX)) => {}
            () = recovery => {}
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.trouble.dropped(self.query);
    }
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(RETRY_MIN)
        .with_max_delay(RETRY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
