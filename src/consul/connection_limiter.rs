//! Limits the number of queries that are open at the same time, and shares that number among the watches.
//!
//! ```text
//! watch --acquire_blocking--> [blocking permits] --permit: wait for a change----> agent
//!   |          | none within 5 s                                                    |
//!   |          v                                                                    |
//!   '--acquire_immediate----> [immediate permits] --permit: answer now----------> agent
//!                                    capacity <--fewer: 429, closed connection------'
//! ```
//!
//! With at most as many watches as permits, each query waits as long as the settings allow. With more watches, they
//! take turns in order, and the waits are shortened so that each watch has its turn about every [`MAX_TURN_INTERVAL`].
//! A watch that has no permit after that time (because other watches have started long waits before) sends a query that
//! is answered immediately. These queries, and the first one of each watch, have permits of their own.
//!
//! An agent that has too many connections refuses new ones and keeps the others. Some versions answer 429, others close
//! the connection without an answer. The capacity is reduced then, and grows again when that has not happened for a
//! while. An agent that restarts breaks all connections or refuses new ones, which is not a sign of a limit.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// The longest time without an open query of a watch, unless the agent is too slow.
const MAX_TURN_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest wait, with any number of watches. Shorter waits would only keep the agent busy.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// The permits of queries that are answered immediately. Few are enough, because each is held for a short time.
const IMMEDIATE_PERMITS: usize = 8;

/// Connections that are closed without an answer within this time count as one sign. A second sign confirms a limit, if
/// the agent was available all the time.
const SIGN_MERGE_WINDOW: Duration = Duration::from_secs(1);
/// Signs further apart than this are unrelated. A closed connection within this time after the agent was unavailable is
/// not a sign.
const SIGN_EXPIRY: Duration = Duration::from_secs(10);
/// After this time without a sign the capacity doubles. The time doubles with each reduction that follows.
const GROW_AFTER: Duration = Duration::from_secs(15);
/// The upper limit of that time.
const GROW_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// Permits that all watches of a client share.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    blocking: Semaphore,
    immediate: Semaphore,
    max_permits: NonZeroUsize,
    capacity: Mutex<Capacity>,
    wait: Duration,
    watches: AtomicUsize,
}

/// The number of permits for queries that wait, at most `max_permits`.
#[derive(Debug)]
struct Capacity {
    permits: usize,
    /// The number of permits in use that are removed when they are returned.
    to_revoke: usize,
    reduced_at: Option<Instant>,
    grow_after: Duration,
    /// The time of the first sign that is not confirmed yet.
    suspected_at: Option<Instant>,
    /// When the agent was unavailable for the last time.
    unavailable_at: Option<Instant>,
}

/// Counts a watch until it is dropped.
#[derive(Debug)]
pub(super) struct RegisteredWatch<'a> {
    limiter: &'a ConnectionLimiter,
}

/// The permission to have one query open, until it is dropped.
#[derive(Debug)]
pub(super) struct QueryPermit<'a> {
    limiter: &'a ConnectionLimiter,
    permit: Option<SemaphorePermit<'a>>,
    /// How long the query may wait for a change. `None`: it must be answered immediately.
    pub(super) wait: Option<Duration>,
}

impl ConnectionLimiter {
    pub(super) fn new(max_permits: NonZeroUsize, wait: Duration) -> Self {
        let blocking = Semaphore::new(max_permits.get().min(Semaphore::MAX_PERMITS));
        let capacity = Capacity {
            permits: max_permits.get(),
            to_revoke: 0,
            reduced_at: None,
            grow_after: GROW_AFTER,
            suspected_at: None,
            unavailable_at: None,
        };
        let capacity = Mutex::new(capacity);
        Self {
            blocking,
            immediate: Semaphore::new(IMMEDIATE_PERMITS),
            max_permits,
            capacity,
            wait,
            watches: AtomicUsize::new(0),
        }
    }

    /// The agent does not listen, or it closed a connection that was open for a while.
    pub(super) fn record_agent_unavailable(&self) {
        let mut capacity = self.lock_capacity();
        (capacity.unavailable_at, capacity.suspected_at) = (Some(Instant::now()), None);
    }

    /// A new connection was closed without an answer while `open` others stayed open. Returns whether a limit of the
    /// agent may be the reason.
    pub(super) fn record_closed_connection(&self, open: usize) -> bool {
        let (mut capacity, now) = (self.lock_capacity(), Instant::now());
        if open == 0 || capacity.unavailable_at.is_some_and(|unavailable| now - unavailable < SIGN_EXPIRY) {
            return false;
        }
        match capacity.suspected_at.map(|first| now - first) {
            Some(since) if since < SIGN_MERGE_WINDOW => {}
            Some(since) if since < SIGN_EXPIRY => {
                drop(capacity);
                self.reduce_capacity(open);
            }
            _ => capacity.suspected_at = Some(now),
        }
        true
    }

    /// The agent accepts no more connections than the `open` ones.
    pub(super) fn reduce_capacity(&self, open: usize) {
        let (mut capacity, now) = (self.lock_capacity(), Instant::now());
        if capacity.reduced_at.is_some_and(|reduced| now - reduced < SIGN_MERGE_WINDOW) {
            return;
        }
        if capacity.reduced_at.is_some() {
            capacity.grow_after = (capacity.grow_after * 2).min(GROW_AFTER_MAX);
        }
        (capacity.reduced_at, capacity.suspected_at) = (Some(now), Some(now));
        let permits = (capacity.permits.min(open) * 3 / 4).max(1);
        let fewer = capacity.permits.saturating_sub(permits);
        capacity.to_revoke += fewer - self.blocking.forget_permits(fewer);
        capacity.permits -= fewer;
        tracing::debug!("the agent accepts fewer connections: at most {} are used now", capacity.permits);
    }

    /// Doubles the capacity if there was no sign for a while.
    fn grow_capacity(&self) {
        let mut capacity = self.lock_capacity();
        if capacity.reduced_at.is_none_or(|reduced| reduced.elapsed() < capacity.grow_after) {
            return;
        }
        let permits = (capacity.permits * 2).min(self.max_permits.get());
        let more = permits - capacity.permits;
        // Permits that would have been removed on their return are kept.
        let kept = more.min(capacity.to_revoke);
        capacity.to_revoke -= kept;
        self.blocking.add_permits(more - kept);
        capacity.permits = permits;
        // At full capacity without a sign, the back-off is reset.
        capacity.reduced_at = (more > 0).then(Instant::now);
        if more == 0 {
            capacity.grow_after = GROW_AFTER;
        }
    }

    /// Ignores poisoning: a panic inside a method leaves at worst one permit too few.
    fn lock_capacity(&self) -> MutexGuard<'_, Capacity> {
        self.capacity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register_watch(&self) -> RegisteredWatch<'_> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        RegisteredWatch { limiter: self }
    }
}

impl<'a> RegisteredWatch<'a> {
    /// Waits for a permit of a query that may wait. Falls back to one that is answered immediately.
    pub(super) async fn acquire_blocking(&self) -> QueryPermit<'a> {
        let limiter = self.limiter;
        limiter.grow_capacity();
        match timeout(MAX_TURN_INTERVAL, limiter.blocking.acquire()).await {
            Ok(permit) => {
                let permits = limiter.lock_capacity().permits;
                let wait = wait_share(limiter.wait, limiter.watches.load(Ordering::Relaxed), permits);
                QueryPermit { limiter, permit: Some(permit.expect("never closed")), wait: Some(wait) }
            }
            Err(_) => self.acquire_immediate().await,
        }
    }

    /// Waits for a permit of a query that is answered immediately.
    pub(super) async fn acquire_immediate(&self) -> QueryPermit<'a> {
        let permit = self.limiter.immediate.acquire().await.expect("never closed");
        QueryPermit { limiter: self.limiter, permit: Some(permit), wait: None }
    }
}

impl Drop for QueryPermit<'_> {
    fn drop(&mut self) {
        let mut capacity = self.limiter.lock_capacity();
        if self.wait.is_some()
            && capacity.to_revoke > 0
            && let Some(permit) = self.permit.take()
        {
            capacity.to_revoke -= 1;
            permit.forget();
        }
    }
}

impl Drop for RegisteredWatch<'_> {
    fn drop(&mut self) {
        self.limiter.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long one query may wait, so that each watch has its turn within [`MAX_TURN_INTERVAL`].
fn wait_share(wait: Duration, watches: usize, permits: usize) -> Duration {
    if watches <= permits {
        return wait;
    }
    MAX_TURN_INTERVAL.mul_f64(permits as f64 / watches as f64).max(MIN_WAIT).min(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn limiter(size: usize) -> ConnectionLimiter {
        ConnectionLimiter::new(NonZeroUsize::new(size).expect("not 0"), Duration::from_secs(30))
    }

    #[test]
    fn waits_are_shortened_only_with_more_watches_than_permits() {
        let full = Duration::from_secs(30);
        assert_eq!(wait_share(full, 64, 64), full);
        assert_eq!(wait_share(full, 128, 64), Duration::from_millis(2500));
        assert_eq!(wait_share(full, 1_000_000, 64), MIN_WAIT);
        assert_eq!(wait_share(Duration::from_secs(1), 65, 64), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn turns_come_in_time_down_to_the_shortest_wait(watches in 1..100_000usize, permits in 1..500usize) {
            let wait = wait_share(Duration::from_secs(600), watches, permits);
            let interval = wait.mul_f64(watches as f64 / permits as f64);
            let in_time = interval <= MAX_TURN_INTERVAL + Duration::from_millis(1);
            prop_assert!(watches <= permits || wait == MIN_WAIT || in_time);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_watch_has_its_turn_in_time() {
        let limiter = Arc::new(limiter(4));
        let begin = Instant::now();
        let watches = (0..20).map(|_| {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move {
                let watch = limiter.register_watch();
                let (mut longest, mut since) = (Duration::ZERO, begin);
                while begin.elapsed() < Duration::from_secs(120) {
                    let permit = watch.acquire_blocking().await;
                    longest = longest.max(since.elapsed());
                    sleep(permit.wait.unwrap_or_default()).await;
                    since = Instant::now();
                }
                longest
            })
        });
        for watch in watches.collect::<Vec<_>>() {
            let longest = watch.await.expect("no panic");
            assert!(longest <= MAX_TURN_INTERVAL + Duration::from_millis(100), "{longest:?} without a query");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_the_agent_reduces_the_capacity_for_a_while() {
        let limiter = limiter(16);
        let watches: Vec<_> = (0..40).map(|_| limiter.register_watch()).collect();
        let mut permits = Vec::new();
        for watch in &watches[..12] {
            permits.push(watch.acquire_blocking().await);
        }
        (0..5).for_each(|_| limiter.reduce_capacity(12));
        assert_eq!(limiter.lock_capacity().permits, 9, "one sign");
        assert!(watches[12].acquire_blocking().await.wait.is_none(), "12 are in use, and 9 are left");
        permits.truncate(8);
        assert_eq!(limiter.lock_capacity().to_revoke, 0);
        let ninth = watches[13].acquire_blocking().await;
        assert_eq!(ninth.wait, Some(wait_share(Duration::from_secs(30), 40, 9)));
        assert!(watches[14].acquire_blocking().await.wait.is_none());
        drop((permits, ninth));
        for expected in [16, 16] {
            sleep(GROW_AFTER).await;
            drop(watches[0].acquire_blocking().await);
            assert_eq!((limiter.lock_capacity().permits, limiter.blocking.available_permits()), (expected, expected));
        }
        sleep(SIGN_MERGE_WINDOW).await;
        limiter.reduce_capacity(0);
        assert_eq!(limiter.lock_capacity().permits, 1, "never 0");
        sleep(SIGN_MERGE_WINDOW).await;
        limiter.reduce_capacity(1);
        sleep(GROW_AFTER).await;
        drop(watches[0].acquire_blocking().await);
        assert_eq!(limiter.lock_capacity().permits, 1, "a capacity that was too large is tried less often");
        sleep(GROW_AFTER).await;
        drop(watches[0].acquire_blocking().await);
        assert_eq!(limiter.lock_capacity().permits, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_second_sign_of_an_available_agent_confirms_a_limit() {
        let two_signs = async |between: &dyn Fn(&ConnectionLimiter), after: Duration| {
            let limiter = limiter(16);
            assert!(limiter.record_closed_connection(12), "it may be a limit");
            assert_eq!(limiter.lock_capacity().permits, 16, "but it is not confirmed");
            between(&limiter);
            sleep(after).await;
            limiter.record_closed_connection(12);
            limiter.lock_capacity().permits
        };
        let nothing = |_: &ConnectionLimiter| {};
        assert_eq!(two_signs(&nothing, SIGN_MERGE_WINDOW / 2).await, 16, "one sign");
        assert_eq!(two_signs(&nothing, SIGN_MERGE_WINDOW).await, 9);
        assert_eq!(two_signs(&nothing, SIGN_EXPIRY).await, 16, "two unrelated signs");
        assert_eq!(two_signs(&ConnectionLimiter::record_agent_unavailable, SIGN_MERGE_WINDOW).await, 16, "a restart");
        let limiter = limiter(16);
        limiter.record_agent_unavailable();
        assert!(!limiter.record_closed_connection(12) && !limiter.record_closed_connection(0));
        sleep(SIGN_EXPIRY).await;
        assert!(limiter.record_closed_connection(12) && !limiter.record_closed_connection(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_watch_queries_without_waiting_while_others_wait_long() {
        let limiter = limiter(1);
        let (early, late) = (limiter.register_watch(), limiter.register_watch());
        let permit = early.acquire_blocking().await;
        assert!(late.acquire_blocking().await.wait.is_none());
        drop(permit);
        assert!(late.acquire_blocking().await.wait.is_some(), "a dropped permit is available again");
        drop(early);
        assert_eq!(late.acquire_blocking().await.wait, Some(Duration::from_secs(30)), "a dropped watch does not count");
    }
}
