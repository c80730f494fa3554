//! How many queries may be open at once, and whose turn it is.
//!
//! The rule: while there are no more watches than permits, each holds one and waits as long as the settings say. With
//! more, they take turns in order, and wait so much shorter that each gets its turn about every [`ROUND`]. A watch that
//! is still without a permit after that time (others hold long waits from before it came) looks without waiting: for
//! such looks, and for the first of each watch, there is a small lane of its own.
//!
//! An agent that has no room for so many connections refuses the newest and keeps the others; some versions say so (429),
//! others close them without a word. There are fewer permits then, and more again when it has not happened for a while.
//! An agent that restarts breaks all connections, or listens no more: that says nothing of its room.

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

/// The longest time for which a watch has no query open, as far as the agent keeps up.
const MAX_TURN_INTERVAL: Duration = Duration::from_secs(5);
/// However many watches there are, no wait is shorter: beyond that the agent would only be kept busy.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// Looks that do not wait are over in no time; so few at once do not hold each other up.
const IMMEDIATE_PERMITS: usize = 8;

/// Connections that were closed without a word are a sign of a limit if it happens again after this time, and the agent
/// was there all the time; more of them within this time are one sign.
const SIGN_MERGE_WINDOW: Duration = Duration::from_secs(1);
/// Signs further apart than this have nothing to do with each other; and so long after the agent was away, nothing that
/// breaks off is a sign.
const SIGN_EXPIRY: Duration = Duration::from_secs(10);
/// After this time without a sign there is twice as much room. Doubles each time that this was too much.
const GROW_AFTER: Duration = Duration::from_secs(15);
/// The longest such time.
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

/// How much of the size can be used.
#[derive(Debug)]
struct Capacity {
    permits: usize,
    /// Permits that are lent, and are not to come back.
    to_revoke: usize,
    reduced_at: Option<Instant>,
    grow_after: Duration,
    /// The first sign that is not confirmed yet.
    suspected_at: Option<Instant>,
    /// When the agent was away for the last time.
    unavailable_at: Option<Instant>,
}

/// A watch that counts. Dropped, it counts no more.
#[derive(Debug)]
pub(super) struct RegisteredWatch<'a> {
    permits: &'a ConnectionLimiter,
}

/// The right to have one query open. Dropped, the next one has its turn.
#[derive(Debug)]
pub(super) struct QueryPermit<'a> {
    permits: &'a ConnectionLimiter,
    permit: Option<SemaphorePermit<'a>>,
    /// How long the query may wait; `None` means that it must not.
    pub(super) wait: Option<Duration>,
}

impl ConnectionLimiter {
    pub(super) fn new(size: NonZeroUsize, wait: Duration) -> Self {
        let waits = Semaphore::new(size.get().min(Semaphore::MAX_PERMITS));
        let room = Capacity {
            permits: size.get(),
            to_revoke: 0,
            reduced_at: None,
            grow_after: GROW_AFTER,
            suspected_at: None,
            unavailable_at: None,
        };
        let room = Mutex::new(room);
        Self {
            blocking: waits,
            immediate: Semaphore::new(IMMEDIATE_PERMITS),
            max_permits: size,
            capacity: room,
            wait,
            watches: AtomicUsize::new(0),
        }
    }

    /// The agent does not listen, or broke off a connection that it had kept for a while.
    pub(super) fn record_agent_unavailable(&self) {
        let mut room = self.lock_capacity();
        (room.unavailable_at, room.suspected_at) = (Some(Instant::now()), None);
    }

    /// A new connection was closed without a word while `open` others stayed. Whether that can be for their number.
    pub(super) fn record_closed_connection(&self, open: usize) -> bool {
        let (mut room, now) = (self.lock_capacity(), Instant::now());
        if open == 0 || room.unavailable_at.is_some_and(|away| now - away < SIGN_EXPIRY) {
            return false;
        }
        match room.suspected_at.map(|first| now - first) {
            Some(since) if since < SIGN_MERGE_WINDOW => {}
            Some(since) if since < SIGN_EXPIRY => {
                drop(room);
                self.reduce_capacity(open);
            }
            _ => room.suspected_at = Some(now),
        }
        true
    }

    /// The agent has no room for more than the `open` calls.
    pub(super) fn reduce_capacity(&self, open: usize) {
        let (mut room, now) = (self.lock_capacity(), Instant::now());
        if room.reduced_at.is_some_and(|changed| now - changed < SIGN_MERGE_WINDOW) {
            return;
        }
        if room.reduced_at.is_some() {
            room.grow_after = (room.grow_after * 2).min(GROW_AFTER_MAX);
        }
        (room.reduced_at, room.suspected_at) = (Some(now), Some(now));
        let permits = (room.permits.min(open) * 3 / 4).max(1);
        let fewer = room.permits.saturating_sub(permits);
        room.to_revoke += fewer - self.blocking.forget_permits(fewer);
        room.permits -= fewer;
        tracing::debug!("the agent has room for fewer connections: {} at a time", room.permits);
    }

    /// More room, if it has been enough for a while.
    fn grow_capacity(&self) {
        let mut room = self.lock_capacity();
        if room.reduced_at.is_none_or(|changed| changed.elapsed() < room.grow_after) {
            return;
        }
        let permits = (room.permits * 2).min(self.max_permits.get());
        let more = permits - room.permits;
        // Those that are lent and were not to come back may come back.
        let lent = more.min(room.to_revoke);
        room.to_revoke -= lent;
        self.blocking.add_permits(more - lent);
        room.permits = permits;
        // Once all of it has held for as long, it counts as never narrowed.
        room.reduced_at = (more > 0).then(Instant::now);
        if more == 0 {
            room.grow_after = GROW_AFTER;
        }
    }

    /// A task that panicked inside a method leaves at worst a permit too few.
    fn lock_capacity(&self) -> MutexGuard<'_, Capacity> {
        self.capacity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register_watch(&self) -> RegisteredWatch<'_> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        RegisteredWatch { permits: self }
    }
}

impl<'a> RegisteredWatch<'a> {
    /// Waits for the turn of a query that may wait.
    pub(super) async fn acquire_blocking(&self) -> QueryPermit<'a> {
        let permits = self.permits;
        permits.grow_capacity();
        match timeout(MAX_TURN_INTERVAL, permits.blocking.acquire()).await {
            Ok(permit) => {
                let room = permits.lock_capacity().permits;
                let wait = wait_share(permits.wait, permits.watches.load(Ordering::Relaxed), room);
                QueryPermit { permits, permit: Some(permit.expect("never closed")), wait: Some(wait) }
            }
            Err(_) => self.acquire_immediate().await,
        }
    }

    /// Waits for the turn of a query that is answered at once.
    pub(super) async fn acquire_immediate(&self) -> QueryPermit<'a> {
        let permit = self.permits.immediate.acquire().await.expect("never closed");
        QueryPermit { permits: self.permits, permit: Some(permit), wait: None }
    }
}

impl Drop for QueryPermit<'_> {
    fn drop(&mut self) {
        let mut room = self.permits.lock_capacity();
        if self.wait.is_some()
            && room.to_revoke > 0
            && let Some(permit) = self.permit.take()
        {
            room.to_revoke -= 1;
            permit.forget();
        }
    }
}

impl Drop for RegisteredWatch<'_> {
    fn drop(&mut self) {
        self.permits.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long one query may wait, so that everybody has a turn within [`ROUND`].
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

    fn permits(size: usize) -> ConnectionLimiter {
        ConnectionLimiter::new(NonZeroUsize::new(size).expect("not 0"), Duration::from_secs(30))
    }

    #[test]
    fn waits_are_cut_only_when_there_are_not_enough() {
        let full = Duration::from_secs(30);
        assert_eq!(wait_share(full, 64, 64), full);
        assert_eq!(wait_share(full, 128, 64), Duration::from_millis(2500));
        assert_eq!(wait_share(full, 1_000_000, 64), MIN_WAIT);
        assert_eq!(wait_share(Duration::from_secs(1), 65, 64), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_round_is_kept_until_the_shortest_wait(watches in 1..100_000usize, permits in 1..500usize) {
            let share = wait_share(Duration::from_secs(600), watches, permits);
            let round = share.mul_f64(watches as f64 / permits as f64);
            prop_assert!(watches <= permits || share == MIN_WAIT || round <= MAX_TURN_INTERVAL + Duration::from_millis(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_has_a_turn_within_a_round() {
        let permits = Arc::new(permits(4));
        let begin = Instant::now();
        let watches = (0..20).map(|_| {
            let permits = Arc::clone(&permits);
            tokio::spawn(async move {
                let enrolled = permits.register_watch();
                let (mut longest, mut since) = (Duration::ZERO, begin);
                while begin.elapsed() < Duration::from_secs(120) {
                    let turn = enrolled.acquire_blocking().await;
                    longest = longest.max(since.elapsed());
                    sleep(turn.wait.unwrap_or_default()).await;
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
    async fn an_agent_without_room_takes_permits_away_for_a_while() {
        let permits = permits(16);
        let watches: Vec<_> = (0..40).map(|_| permits.register_watch()).collect();
        let mut held = Vec::new();
        for watch in &watches[..12] {
            held.push(watch.acquire_blocking().await);
        }
        (0..5).for_each(|_| permits.reduce_capacity(12));
        assert_eq!(permits.lock_capacity().permits, 9, "one sign");
        assert!(watches[12].acquire_blocking().await.wait.is_none(), "12 are out, and 9 are left");
        held.truncate(8);
        assert_eq!(permits.lock_capacity().to_revoke, 0);
        let ninth = watches[13].acquire_blocking().await;
        assert_eq!(ninth.wait, Some(wait_share(Duration::from_secs(30), 40, 9)));
        assert!(watches[14].acquire_blocking().await.wait.is_none());
        drop((held, ninth));
        for room in [16, 16] {
            sleep(GROW_AFTER).await;
            drop(watches[0].acquire_blocking().await);
            assert_eq!((permits.lock_capacity().permits, permits.blocking.available_permits()), (room, room));
        }
        sleep(SIGN_MERGE_WINDOW).await;
        permits.reduce_capacity(0);
        assert_eq!(permits.lock_capacity().permits, 1, "never none");
        sleep(SIGN_MERGE_WINDOW).await;
        permits.reduce_capacity(1);
        sleep(GROW_AFTER).await;
        drop(watches[0].acquire_blocking().await);
        assert_eq!(permits.lock_capacity().permits, 1, "what was too much is tried less often");
        sleep(GROW_AFTER).await;
        drop(watches[0].acquire_blocking().await);
        assert_eq!(permits.lock_capacity().permits, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_happens_again_while_the_agent_is_there_is_its_limit() {
        let again = async |between: &dyn Fn(&ConnectionLimiter), after: Duration| {
            let permits = permits(16);
            assert!(permits.record_closed_connection(12), "it may be that");
            assert_eq!(permits.lock_capacity().permits, 16, "but it is not sure");
            between(&permits);
            sleep(after).await;
            permits.record_closed_connection(12);
            permits.lock_capacity().permits
        };
        let nothing = |_: &ConnectionLimiter| {};
        assert_eq!(again(&nothing, SIGN_MERGE_WINDOW / 2).await, 16, "one sign");
        assert_eq!(again(&nothing, SIGN_MERGE_WINDOW).await, 9);
        assert_eq!(again(&nothing, SIGN_EXPIRY).await, 16, "two that have nothing to do with each other");
        assert_eq!(again(&ConnectionLimiter::record_agent_unavailable, SIGN_MERGE_WINDOW).await, 16, "a restart");
        let permits = permits(16);
        permits.record_agent_unavailable();
        assert!(!permits.record_closed_connection(12) && !permits.record_closed_connection(0));
        sleep(SIGN_EXPIRY).await;
        assert!(permits.record_closed_connection(12) && !permits.record_closed_connection(0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_looks_without_waiting_while_others_wait_long() {
        let permits = permits(1);
        let (early, late) = (permits.register_watch(), permits.register_watch());
        let held = early.acquire_blocking().await;
        assert!(late.acquire_blocking().await.wait.is_none());
        drop(held);
        assert!(late.acquire_blocking().await.wait.is_some(), "a permit that is dropped is free");
        drop(early);
        assert_eq!(late.acquire_blocking().await.wait, Some(Duration::from_secs(30)), "who left counts no more");
    }
}
