//! When a target that has failed may try again. Pure.

use std::time::{Duration, Instant};

/// A success forgets earlier failures once it has lasted this long.
const STRETCH: Duration = Duration::from_secs(60);

/// What a failed attempt has cost the program that uses the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Nothing: the program was not told.
    Check,
    /// One or more reloads, each of which leaves old workers behind.
    Reload,
}

/// The failures of one kind.
#[derive(Debug)]
pub(super) struct Backoff {
    cost: Cost,
    failures: usize,
    failed: Option<Instant>,
    succeeded: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(cost: Cost) -> Self {
        Self { cost, failures: 0, failed: None, succeeded: None }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        if self.succeeded.take().is_some_and(|since| now >= since + STRETCH) {
            self.failures = 0;
        }
        self.failures += 1;
        self.failed = Some(now);
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.failed = None;
        self.succeeded.get_or_insert(now);
    }

    /// When the next attempt is due; `None`: at once. `changed`: whether something that the failure may depend on is
    /// different since.
    pub(super) fn due(&self, changed: bool) -> Option<Instant> {
        let delays: &[u64] = match (self.cost, changed) {
            (Cost::Check, false) => &[1, 2, 4, 8, 16, 32, 60],
            (Cost::Check, true) => &[0],
            (Cost::Reload, false) => &[10, 30, 90, 300],
            (Cost::Reload, true) => &[0, 15, 60],
        };
        let delay = delays[self.failures.clamp(1, delays.len()) - 1];
        self.failed.map(|at| at + Duration::from_secs(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// How often an attempt that always fails is made within so many seconds.
    fn attempts(cost: Cost, changed: bool, within: u64) -> usize {
        let (mut backoff, begin) = (Backoff::new(cost), Instant::now());
        let due = |second: &u64| {
            let now = begin + s(*second);
            let is_due = backoff.due(changed).is_none_or(|due| due <= now);
            if is_due {
                backoff.failed(now);
            }
            is_due
        };
        (0..within).filter(due).count()
    }

    #[test]
    fn what_costs_reloads_backs_off_to_minutes_and_a_check_to_a_minute() {
        assert_eq!(attempts(Cost::Reload, false, 120), 3, "0, 10 and 40 s");
        assert_eq!(attempts(Cost::Reload, true, 120), 4, "another candidate each second");
        assert_eq!(attempts(Cost::Reload, false, 3600), 3 + 12);
        assert_eq!(attempts(Cost::Check, false, 120), 7);
    }

    #[test]
    fn only_a_stretch_of_success_forgets_failures() {
        let (mut backoff, begin) = (Backoff::new(Cost::Reload), Instant::now());
        assert_eq!(backoff.due(false), None);
        backoff.failed(begin);
        backoff.succeeded(begin + s(5));
        assert_eq!(backoff.due(false), None);
        backoff.failed(begin + s(20));
        assert_eq!(backoff.due(false), Some(begin + s(50)), "the second failure");
        backoff.succeeded(begin + s(100));
        backoff.succeeded(begin + s(150));
        backoff.failed(begin + s(160));
        assert_eq!(backoff.due(false), Some(begin + s(170)), "the first one again");
    }
}
