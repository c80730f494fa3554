//! The back-off of a target after failures. Pure.

use std::time::{Duration, Instant};

/// Success for this long resets the count of failures.
const RESET_AFTER: Duration = Duration::from_secs(60);

/// The cost of a failed attempt for the program that uses the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureCost {
    /// No reload: the program was not notified.
    Check,
    /// One or more reloads, each of which leaves old worker processes behind.
    Reload,
}

/// Counts the failures of one cost.
#[derive(Debug)]
pub(super) struct Backoff {
    cost: FailureCost,
    failure_count: usize,
    last_failure: Option<Instant>,
    succeeding_since: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(cost: FailureCost) -> Self {
        Self { cost, failure_count: 0, last_failure: None, succeeding_since: None }
    }

    pub(super) fn record_failure(&mut self, now: Instant) {
        if self.succeeding_since.take().is_some_and(|since| now >= since + RESET_AFTER) {
            self.failure_count = 0;
        }
        self.failure_count += 1;
        self.last_failure = Some(now);
    }

    pub(super) fn record_success(&mut self, now: Instant) {
        self.last_failure = None;
        self.succeeding_since.get_or_insert(now);
    }

    /// When the next attempt is due; `None` if the last attempt did not fail. `changed`: whether something that the
    /// failure may depend on has changed since.
    pub(super) fn due(&self, changed: bool) -> Option<Instant> {
        let delays: &[u64] = match (self.cost, changed) {
            (FailureCost::Check, false) => &[1, 2, 4, 8, 16, 32, 60],
            (FailureCost::Check, true) => &[0],
            (FailureCost::Reload, false) => &[10, 30, 90, 300],
            (FailureCost::Reload, true) => &[0, 15, 60],
        };
        let delay = delays[self.failure_count.clamp(1, delays.len()) - 1];
        self.last_failure.map(|at| at + Duration::from_secs(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The number of attempts within so many seconds, if each fails.
    fn attempts(cost: FailureCost, changed: bool, within: u64) -> usize {
        let (mut backoff, begin) = (Backoff::new(cost), Instant::now());
        let due = |second: &u64| {
            let now = begin + s(*second);
            let is_due = backoff.due(changed).is_none_or(|due| due <= now);
            if is_due {
                backoff.record_failure(now);
            }
            is_due
        };
        (0..within).filter(due).count()
    }

    #[test]
    fn reloads_back_off_to_minutes_and_checks_to_a_minute() {
        assert_eq!(attempts(FailureCost::Reload, false, 120), 3, "0, 10 and 40 s");
        assert_eq!(attempts(FailureCost::Reload, true, 120), 4, "a new candidate each second");
        assert_eq!(attempts(FailureCost::Reload, false, 3600), 3 + 12);
        assert_eq!(attempts(FailureCost::Check, false, 120), 7);
    }

    #[test]
    fn only_lasting_success_resets_the_count() {
        let (mut backoff, begin) = (Backoff::new(FailureCost::Reload), Instant::now());
        assert_eq!(backoff.due(false), None);
        backoff.record_failure(begin);
        backoff.record_success(begin + s(5));
        assert_eq!(backoff.due(false), None);
        backoff.record_failure(begin + s(20));
        assert_eq!(backoff.due(false), Some(begin + s(50)), "the second failure");
        backoff.record_success(begin + s(100));
        backoff.record_success(begin + s(150));
        backoff.record_failure(begin + s(160));
        assert_eq!(backoff.due(false), Some(begin + s(170)), "counted as the first");
    }
}
