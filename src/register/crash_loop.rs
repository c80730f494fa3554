//! Containers that start again and again. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::settings::Settings;
use crate::docker::Container;

/// For how long a container in a crash loop has to go on running before it gets traffic again; nothing if it is in none.
pub(super) fn crash_loop_remaining(container: &Container, settings: &Settings, now: Timestamp) -> Option<Duration> {
    let age = |at: &Timestamp| Duration::try_from(now.duration_since(*at)).unwrap_or_default();
    let last = age(container.starts.last()?);
    // The loop is judged at the last start: while the container runs on, nothing is forgotten.
    let recent = container.starts.iter().filter(|at| age(at) <= last + settings.crash_within).count();
    let rest = settings.crash_stable.checked_sub(last)?;
    (settings.crash_starts > 0 && recent >= settings.crash_starts && !rest.is_zero()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::container;

    #[test]
    fn many_starts_in_a_short_time_until_it_has_run_for_a_while() {
        let settings = Settings { crash_starts: 3, ..Settings::default() };
        let second = |seconds| Timestamp::from_second(seconds).expect("valid");
        let rest = |starts: &[i64], now| {
            let mut container = container("w");
            container.starts = starts.iter().copied().map(second).collect();
            super::crash_loop_remaining(&container, &settings, second(now)).map(|rest| rest.as_secs())
        };
        assert_eq!(rest(&[], 10), None);
        assert_eq!(rest(&[0, 5], 10), None);
        assert_eq!(rest(&[0, 5, 10], 12), Some(58));
        assert_eq!(rest(&[0, 5, 10], 70), None, "stable for a minute");
        assert_eq!(rest(&[0, 200, 400], 402), None, "far apart");
    }
}
