//! When to look after something was heard: a save is several events, and the file may be gone between two of them. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// How long nothing must have been heard.
const QUIET: Duration = Duration::from_millis(100);
/// How long a file that never rests is waited for.
const LONGEST: Duration = Duration::from_secs(1);

/// From the first sign of a change until it may be believed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EventDebounce(Option<(Instant, Instant)>);

impl EventDebounce {
    /// Something was heard or seen.
    pub(super) fn record_event(&mut self, now: Instant) {
        let first = self.0.map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    /// When to look. `None`: there was no sign.
    pub(super) fn due(self) -> Option<Instant> {
        self.0.map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// It was looked.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sign_puts_the_look_off_but_not_for_ever() {
        let begin = Instant::now();
        let after = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut quiet = EventDebounce::default();
        assert_eq!(quiet.due(), None);
        for (sign, due) in [(0, 100), (60, 160), (150, 250), (890, 990), (950, 1000), (999, 1000)] {
            quiet.record_event(after(sign));
            assert_eq!(quiet.due(), Some(after(due)), "{sign}");
        }
        quiet.reset();
        assert_eq!(quiet.due(), None);
        quiet.record_event(after(2000));
        assert_eq!(quiet.due(), Some(after(2100)));
    }
}
