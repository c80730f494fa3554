//! Detects containers in a crash loop. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::settings::Settings;
use crate::docker::Container;

/// How long a container in a crash loop must still run before it gets traffic again; `None` if it is not in one.
pub(super) fn crash_loop_remaining(container: &Container, settings: &Settings, now: Timestamp) -> Option<Duration> {
    let age = |at: &Timestamp| Duration::try_from(now.duration_since(*at)).unwrap_or_default();
    let since_last = age(container.starts.last()?);
    // The starts are counted at the time of the last one, so the number does not fall while the container runs.
    let recent = container.starts.iter().filter(|at| age(at) <= since_last + settings.crash_within).count();
    let remaining = settings.crash_stable.checked_sub(since_last)?;
    (settings.crash_starts > 0 && recent >= settings.crash_starts && !remaining.is_zero()).then_some(remaining)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::container;

    #[test]
    fn many_starts_in_a_short_time_until_it_has_run_for_a_while() {
        let settings = Settings { crash_starts: 3, ..Settings::default() };
        let second = |seconds| Timestamp::from_second(seconds).expect("valid");
        let remaining = |starts: &[i64], now| {
            let mut container = container("w");
            container.starts = starts.iter().copied().map(second).collect();
            super::crash_loop_remaining(&container, &settings, second(now)).map(|remaining| remaining.as_secs())
        };
        assert_eq!(remaining(&[], 10), None);
        assert_eq!(remaining(&[0, 5], 10), None);
        assert_eq!(remaining(&[0, 5, 10], 12), Some(58));
        assert_eq!(remaining(&[0, 5, 10], 70), None, "stable for a minute");
        assert_eq!(remaining(&[0, 200, 400], 402), None, "far apart");
    }
}
