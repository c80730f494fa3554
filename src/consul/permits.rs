//! How many queries may be open at once, and whose turn it is.
//!
//! The rule: while there are no more watches than permits, each holds one and waits as long as the settings say. With
//! more, they take turns in order, and wait so much shorter that each gets its turn about every [`ROUND`]. A watch that
//! is still without a permit after that time (others hold long waits from before it came) looks without waiting: for
//! such looks, and for the first of each watch, there is a small lane of its own.

use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// The longest time for which a watch has no query open, as far as the agent keeps up.
const ROUND: Duration = Duration::from_secs(5);
/// However many watches there are, no wait is shorter: beyond that the agent would only be kept busy.
const SHORTEST: Duration = Duration::from_millis(100);
/// Looks that do not wait are over in no time; so few at once do not hold each other up.
const LOOKS: usize = 8;

/// Permits that all watches of a client share.
#[derive(Debug)]
pub(super) struct Permits {
    waits: Semaphore,
    looks: Semaphore,
    size: NonZeroUsize,
    wait: Duration,
    watches: AtomicUsize,
}

/// A watch that counts. Dropped, it counts no more.
#[derive(Debug)]
pub(super) struct Enrolled<'a> {
    permits: &'a Permits,
}

/// The right to have one query open. Dropped, the next one has its turn.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
    /// How long the query may wait; `None` means that it must not.
    pub(super) wait: Option<Duration>,
}

impl Permits {
    pub(super) fn new(size: NonZeroUsize, wait: Duration) -> Self {
        let waits = Semaphore::new(size.get().min(Semaphore::MAX_PERMITS));
        Self { waits, looks: Semaphore::new(LOOKS), size, wait, watches: AtomicUsize::new(0) }
    }

    pub(super) fn enrol(&self) -> Enrolled<'_> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        Enrolled { permits: self }
    }
}

impl<'a> Enrolled<'a> {
    /// Waits for the turn of a query that may wait.
    pub(super) async fn turn_to_wait(&self) -> Turn<'a> {
        let Permits { waits, size, wait, watches, .. } = self.permits;
        match timeout(ROUND, waits.acquire()).await {
            Ok(permit) => {
                let wait = share(*wait, watches.load(Ordering::Relaxed), size.get());
                Turn { _permit: permit.expect("never closed"), wait: Some(wait) }
            }
            Err(_) => self.turn_to_look().await,
        }
    }

    /// Waits for the turn of a query that is answered at once.
    pub(super) async fn turn_to_look(&self) -> Turn<'a> {
        Turn { _permit: self.permits.looks.acquire().await.expect("never closed"), wait: None }
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
