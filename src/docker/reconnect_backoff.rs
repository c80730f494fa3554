//! When to connect again. Pure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// A session that lasted so long was a success: its end is no trouble, and the next one begins at once.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// Waits between failures in a row: none after the first, then growing ones.
#[derive(Debug, Default)]
pub(super) struct ReconnectBackoff {
    backoff: Option<ExponentialBackoff>,
    unstable: bool,
}

impl ReconnectBackoff {
    /// A session has ended. Tells whether that is trouble.
    pub(super) fn session_ended(&mut self, lasted: Duration) -> bool {
        if lasted >= STABLE_AFTER {
            self.session_succeeded();
            return false;
        }
        // Something restarts, or is on its way down: one is no trouble yet.
        std::mem::replace(&mut self.unstable, true)
    }

    /// No session has begun: the engine is in trouble of another kind than ending its streams.
    pub(super) fn connect_failed(&mut self) {
        self.unstable = false;
    }

    /// A session was a success.
    pub(super) fn session_succeeded(&mut self) {
        *self = Self::default();
    }

    /// Whether the last session ended soon after it had begun: that another one has begun means little.
    pub(super) fn is_unstable(&self) -> bool {
        self.unstable
    }

    /// How long to wait before the next attempt.
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
    fn only_sessions_that_end_soon_are_waited_for() {
        let mut retry = ReconnectBackoff::default();
        for _ in 0..100 {
            assert!(!retry.session_ended(STABLE_AFTER));
            assert_eq!(retry.next_delay(), Duration::ZERO);
        }
        assert!(
            !retry.session_ended(STABLE_AFTER / 2)
                && !retry.session_ended(STABLE_AFTER)
                && !retry.session_ended(STABLE_AFTER / 2),
            "one is no trouble"
        );
        assert!(retry.session_ended(STABLE_AFTER / 2));
        let waits: Vec<_> = (0..20).map(|_| retry.next_delay()).collect();
        assert!(waits[1..].iter().all(|wait| *wait >= Duration::from_millis(100)), "{waits:?}");
        assert!(waits[19] >= Duration::from_secs(5) && waits[19] <= Duration::from_secs(10), "{waits:?}");
        assert!(retry.is_unstable());
        retry.connect_failed();
        assert!(!retry.is_unstable() && retry.next_delay() > Duration::ZERO);
        retry.session_succeeded();
        assert_eq!((retry.next_delay(), retry.is_unstable()), (Duration::ZERO, false));
    }
}
