//! How fast the requests of one query may follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// A query that changes all the time is asked so often.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// So many requests may come at once before that: a lone change, and a few in a row, are never held up.
const BURST: u32 = 5;

/// A token bucket, kept as the one moment at which it will be full.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    full_at: Option<Instant>,
}

impl RateLimiter {
    /// Takes one request out of the bucket, and tells when it may be sent: not before `now`.
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
    fn a_burst_goes_through_and_the_rest_is_spaced() {
        let begin = Instant::now();
        let mut spacing = RateLimiter::default();
        let sent: Vec<_> = (0..8).map(|_| (spacing.reserve(begin) - begin).as_millis()).collect();
        assert_eq!(sent, [0, 0, 0, 0, 0, 100, 200, 300]);
        let later = begin + Duration::from_secs(10);
        assert_eq!(spacing.reserve(later), later, "a rest fills the bucket again");
    }

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_burst_and_the_rate(pauses in prop::collection::vec(0..300u64, 1..200)) {
            let mut spacing = RateLimiter::default();
            let mut now = Instant::now();
            let mut sent = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                // A watch waits until it may send, so that its next request cannot come before.
                now = spacing.reserve(now);
                sent.push(now);
            }
            for (first, begin) in sent.iter().enumerate() {
                let within = sent[first..].iter().filter(|at| **at - *begin < Duration::from_secs(1)).count();
                prop_assert!(within <= 5 + 10, "{within} requests in a second");
            }
        }
    }
}
