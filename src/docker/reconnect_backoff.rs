//! The delays before connecting again. Pure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// A session of at least this duration is a success: its end is not a problem, and the next one begins without delay.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// The back-off between failures in a row: no delay after the first, then growing delays.
#[derive(Debug, Default)]
pub(super) struct ReconnectBackoff {
    backoff: Option<ExponentialBackoff>,
    unstable: bool,
}

impl ReconnectBackoff {
    /// Records the end of a session. Returns whether that is a problem.
    pub(super) fn session_ended(&mut self, lasted: Duration) -> bool {
        if lasted >= STABLE_AFTER {
            self.session_succeeded();
            return false;
        }
        // A single short session is not a problem: the engine, or a proxy, may be restarting.
        std::mem::replace(&mut self.unstable, true)
    }

    /// Records that no session could begin. This is a different problem from streams that end early.
    pub(super) fn connect_failed(&mut self) {
        self.unstable = false;
    }

    /// Records a successful session.
    pub(super) fn session_succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the last session was too short, so the beginning of the next one is not a recovery.
    pub(super) fn is_unstable(&self) -> bool {
        self.unstable
    }

    /// The delay before the next attempt.
    pub(super) fn next_delay(&mut self) -> Duration {
        match &mut self.backoff {
            None => {
                let delays = ExponentialBuilder::new().with_min_delay(Duration::from_millis(100));
                let delays = delays.with_max_delay(Duration::from_secs(5)).without_max_times().with_jitter();
                self.backoff = Some(delays.build());
                Duration::ZERO
            }
            Some(delays) => delays.next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_sessions_are_followed_by_delays() {
        let mut backoff = ReconnectBackoff::default();
        for _ in 0..100 {
            assert!(!backoff.session_ended(STABLE_AFTER));
            assert_eq!(backoff.next_delay(), Duration::ZERO);
        }
        assert!(
            !backoff.session_ended(STABLE_AFTER / 2)
                && !backoff.session_ended(STABLE_AFTER)
                && !backoff.session_ended(STABLE_AFTER / 2),
            "a single short session is not a problem"
        );
        assert!(backoff.session_ended(STABLE_AFTER / 2));
        let waits: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(waits[1..].iter().all(|wait| *wait >= Duration::from_millis(100)), "{waits:?}");
        assert!(waits[19] >= Duration::from_secs(5) && waits[19] <= Duration::from_secs(10), "{waits:?}");
        assert!(backoff.is_unstable());
        backoff.connect_failed();
        assert!(!backoff.is_unstable() && backoff.next_delay() > Duration::ZERO);
        backoff.session_succeeded();
        assert_eq!((backoff.next_delay(), backoff.is_unstable()), (Duration::ZERO, false));
    }
}
