//! Limits the rate of the requests of one query. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The interval of the requests of a query whose answer changes all the time.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// The number of requests before the interval applies, so that a single change or a few in a row are not delayed.
const BURST: u32 = 5;

/// A token bucket, represented by the time at which it will be full.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    full_at: Option<Instant>,
}

impl RateLimiter {
    /// Takes a token for one request. Returns the time at which the request may be sent, which is never before `now`.
    pub(super) fn reserve(&mut self, now: Instant) -> Instant {
        let full_at = self.full_at.unwrap_or(now).max(now);
        let send_at = now.max(full_at.checked_sub(MIN_INTERVAL * (BURST - 1)).unwrap_or(now));
        self.full_at = Some(full_at + MIN_INTERVAL);
        send_at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_after_a_burst_are_delayed() {
        let start = Instant::now();
        let mut limiter = RateLimiter::default();
        let sent: Vec<_> = (0..8).map(|_| (limiter.reserve(start) - start).as_millis()).collect();
        assert_eq!(sent, [0, 0, 0, 0, 0, 100, 200, 300]);
        let later = start + Duration::from_secs(10);
        assert_eq!(limiter.reserve(later), later, "a pause fills the bucket again");
    }

    proptest! {
        #[test]
        fn a_second_has_at_most_a_burst_and_ten_requests(pauses in prop::collection::vec(0..300u64, 1..200)) {
            let mut limiter = RateLimiter::default();
            let mut now = Instant::now();
            let mut sent = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                // A watch waits until it may send, so its next request cannot be earlier.
                now = limiter.reserve(now);
                sent.push(now);
            }
            for (first, start) in sent.iter().enumerate() {
                let within = sent[first..].iter().filter(|at| **at - *start < Duration::from_secs(1)).count();
                prop_assert!(within <= 5 + 10, "{within} requests in a second");
            }
        }
    }
}
