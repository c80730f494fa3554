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
const ROUND: Duration = Duration::from_secs(5);
/// However many watches there are, no wait is shorter: beyond that the agent would only be kept busy.
const SHORTEST: Duration = Duration::from_millis(100);
/// Looks that do not wait are over in no time; so few at once do not hold each other up.
const LOOKS: usize = 8;

/// Connections that were closed without a word are a sign of a limit if it happens again after this time, and the agent
/// was there all the time; more of them within this time are one sign.
const ONE_SIGN: Duration = Duration::from_secs(1);
/// Signs further apart than this have nothing to do with each other; and so long after the agent was away, nothing that
/// breaks off is a sign.
const RELATED: Duration = Duration::from_secs(10);
/// After this time without a sign there is twice as much room. Doubles each time that this was too much.
const WIDEN_AFTER: Duration = Duration::from_secs(15);
/// The longest such time.
const WIDEN_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// Permits that all watches of a client share.
#[derive(Debug)]
pub(super) struct Permits {
    waits: Semaphore,
    looks: Semaphore,
    size: NonZeroUsize,
    room: Mutex<Room>,
    wait: Duration,
    watches: AtomicUsize,
}

/// How much of the size can be used.
#[derive(Debug)]
struct Room {
    permits: usize,
    /// Permits that are lent, and are not to come back.
    too_many: usize,
    changed: Option<Instant>,
    widen_after: Duration,
    /// The first sign that is not confirmed yet.
    suspected: Option<Instant>,
    /// When the agent was away for the last time.
    away: Option<Instant>,
}

/// A watch that counts. Dropped, it counts no more.
#[derive(Debug)]
pub(super) struct Enrolled<'a> {
    permits: &'a Permits,
}

/// The right to have one query open. Dropped, the next one has its turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    permits: &'a Permits,
    permit: Option<SemaphorePermit<'a>>,
    /// How long the query may wait; `None` means that it must not.
    pub(super) wait: Option<Duration>,
}

impl Permits {
    pub(super) fn new(size: NonZeroUsize, wait: Duration) -> Self {
        let waits = Semaphore::new(size.get().min(Semaphore::MAX_PERMITS));
        let room = Room {
            permits: size.get(),
            too_many: 0,
            changed: None,
            widen_after: WIDEN_AFTER,
            suspected: None,
            away: None,
        };
        let room = Mutex::new(room);
        Self { waits, looks: Semaphore::new(LOOKS), size, room, wait, watches: AtomicUsize::new(0) }
    }

    /// The agent does not listen, or broke off a connection that it had kept for a while.
    pub(super) fn agent_is_away(&self) {
        let mut room = self.room();
        (room.away, room.suspected) = (Some(Instant::now()), None);
    }

    /// A new connection was closed without a word while `open` others stayed. Whether that can be for their number.
    pub(super) fn suspect(&self, open: usize) -> bool {
        let (mut room, now) = (self.room(), Instant::now());
        if open == 0 || room.away.is_some_and(|away| now - away < RELATED) {
            return false;
        }
        match room.suspected.map(|first| now - first) {
            Some(since) if since < ONE_SIGN => {}
            Some(since) if since < RELATED => {
                drop(room);
                self.narrow(open);
            }
            _ => room.suspected = Some(now),
        }
        true
    }

    /// The agent has no room for more than the `open` calls.
    pub(super) fn narrow(&self, open: usize) {
        let (mut room, now) = (self.room(), Instant::now());
        if room.changed.is_some_and(|changed| now - changed < ONE_SIGN) {
            return;
        }
        if room.changed.is_some() {
            room.widen_after = (room.widen_after * 2).min(WIDEN_AFTER_MAX);
        }
        (room.changed, room.suspected) = (Some(now), Some(now));
        let permits = (room.permits.min(open) * 3 / 4).max(1);
        let fewer = room.permits.saturating_sub(permits);
        room.too_many += fewer - self.waits.forget_permits(fewer);
        room.permits -= fewer;
        tracing::debug!("the agent has room for fewer connections: {} at a time", room.permits);
    }

    /// More room, if it has been enough for a while.
    fn widen(&self) {
        let mut room = self.room();
        if room.changed.is_none_or(|changed| changed.elapsed() < room.widen_after) {
            return;
        }
        let permits = (room.permits * 2).min(self.size.get());
        let more = permits - room.permits;
        // Those that are lent and were not to come back may come back.
        let lent = more.min(room.too_many);
        room.too_many -= lent;
        self.waits.add_permits(more - lent);
        room.permits = permits;
        // Once all of it has held for as long, it counts as never narrowed.
        room.changed = (more > 0).then(Instant::now);
        if more == 0 {
            room.widen_after = WIDEN_AFTER;
        }
    }

    /// A task that panicked inside a method leaves at worst a permit too few.
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enrol(&self) -> Enrolled<'_> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        Enrolled { permits: self }
    }
}

impl<'a> Enrolled<'a> {
    /// Waits for the turn of a query that may wait.
    pub(super) async fn turn_to_wait(&self) -> Turn<'a> {
        let permits = self.permits;
        permits.widen();
        match timeout(ROUND, permits.waits.acquire()).await {
            Ok(permit) => {
                let room = permits.room().permits;
                let wait = share(permits.wait, permits.watches.load(Ordering::Relaxed), room);
                Turn { permits, permit: Some(permit.expect("never closed")), wait: Some(wait) }
            }
            Err(_) => self.turn_to_look().await,
        }
    }

    /// Waits for the turn of a query that is answered at once.
    pub(super) async fn turn_to_look(&self) -> Turn<'a> {
        let permit = self.permits.looks.acquire().await.expect("never closed");
        Turn { permits: self.permits, permit: Some(permit), wait: None }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut room = self.permits.room();
        if self.wait.is_some()
            && room.too_many > 0
            && let Some(permit) = self.permit.take()
        {
            room.too_many -= 1;
            permit.forget();
        }
    }
}

impl Drop for Enrolled<'_> {
    fn drop(&mut self) {
        self.permits.watches.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long one query may wait, so that everybody has a turn within [`ROUND`].
fn share(wait: Duration, watches: usize, permits: usize) -> Duration {
    if watches <= permits {
        return wait;
    }
    ROUND.mul_f64(permits as f64 / watches as f64).max(SHORTEST).min(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::time::{Instant, sleep};

    use super::*;

    fn permits(size: usize) -> Permits {
        Permits::new(NonZeroUsize::new(size).expect("not 0"), Duration::from_secs(30))
    }

    #[test]
    fn waits_are_cut_only_when_there_are_not_enough() {
        let full = Duration::from_secs(30);
        assert_eq!(share(full, 64, 64), full);
        assert_eq!(share(full, 128, 64), Duration::from_millis(2500));
        assert_eq!(share(full, 1_000_000, 64), SHORTEST);
        assert_eq!(share(Duration::from_secs(1), 65, 64), Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_round_is_kept_until_the_shortest_wait(watches in 1..100_000usize, permits in 1..500usize) {
            let share = share(Duration::from_secs(600), watches, permits);
            let round = share.mul_f64(watches as f64 / permits as f64);
            prop_assert!(watches <= permits || share == SHORTEST || round <= ROUND + Duration::from_millis(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_has_a_turn_within_a_round() {
        let permits = Arc::new(permits(4));
        let begin = Instant::now();
        let watches = (0..20).map(|_| {
            let permits = Arc::clone(&permits);
            tokio::spawn(async move {
                let enrolled = permits.enrol();
                let (mut longest, mut since) = (Duration::ZERO, begin);
                while begin.elapsed() < Duration::from_secs(120) {
                    let turn = enrolled.turn_to_wait().await;
                    longest = longest.max(since.elapsed());
                    sleep(turn.wait.unwrap_or_default()).await;
                    since = Instant::now();
                }
                longest
            })
        });
        for watch in watches.collect::<Vec<_>>() {
            let longest = watch.await.expect("no panic");
            assert!(longest <= ROUND + Duration::from_millis(100), "{longest:?} without a query");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_without_room_takes_permits_away_for_a_while() {
        let permits = permits(16);
        let watches: Vec<_> = (0..40).map(|_| permits.enrol()).collect();
        let mut held = Vec::new();
        for watch in &watches[..12] {
            held.push(watch.turn_to_wait().await);
        }
        (0..5).for_each(|_| permits.narrow(12));
        assert_eq!(permits.room().permits, 9, "one sign");
        assert!(watches[12].turn_to_wait().await.wait.is_none(), "12 are out, and 9 are left");
        held.truncate(8);
        assert_eq!(permits.room().too_many, 0);
        let ninth = watches[13].turn_to_wait().await;
        assert_eq!(ninth.wait, Some(share(Duration::from_secs(30), 40, 9)));
        assert!(watches[14].turn_to_wait().await.wait.is_none());
        drop((held, ninth));
        for room in [16, 16] {
            sleep(WIDEN_AFTER).await;
            drop(watches[0].turn_to_wait().await);
            assert_eq!((permits.room().permits, permits.waits.available_permits()), (room, room));
        }
        sleep(ONE_SIGN).await;
        permits.narrow(0);
        assert_eq!(permits.room().permits, 1, "never none");
        sleep(ONE_SIGN).await;
        permits.narrow(1);
        sleep(WIDEN_AFTER).await;
        drop(watches[0].turn_to_wait().await);
        assert_eq!(permits.room().permits, 1, "what was too much is tried less often");
        sleep(WIDEN_AFTER).await;
        drop(watches[0].turn_to_wait().await);
        assert_eq!(permits.room().permits, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_happens_again_while_the_agent_is_there_is_its_limit() {
        let again = async |between: &dyn Fn(&Permits), after: Duration| {
            let permits = permits(16);
            assert!(permits.suspect(12), "it may be that");
            assert_eq!(permits.room().permits, 16, "but it is not sure");
            between(&permits);
            sleep(after).await;
            permits.suspect(12);
            permits.room().permits
        };
        let nothing = |_: &Permits| {};
        assert_eq!(again(&nothing, ONE_SIGN / 2).await, 16, "one sign");
        assert_eq!(again(&nothing, ONE_SIGN).await, 9);
        assert_eq!(again(&nothing, RELATED).await, 16, "two that have nothing to do with each other");
        assert_eq!(again(&Permits::agent_is_away, ONE_SIGN).await, 16, "a restart");
        let permits = permits(16);
        permits.agent_is_away();
        assert!(!permits.suspect(12) && !permits.suspect(0));
        sleep(RELATED).await;
        assert!(permits.suspect(12) && !permits.suspect(0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_looks_without_waiting_while_others_wait_long() {
        let permits = permits(1);
        let (early, late) = (permits.enrol(), permits.enrol());
        let held = early.turn_to_wait().await;
        assert!(late.turn_to_wait().await.wait.is_none());
        drop(held);
        assert!(late.turn_to_wait().await.wait.is_some(), "a permit that is dropped is free");
        drop(early);
        assert_eq!(late.turn_to_wait().await.wait, Some(Duration::from_secs(30)), "who left counts no more");
    }
}
