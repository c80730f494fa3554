//! Writes that failed, each with its own time for the next try: one entry that the registry does not take must not hold up
//! the others. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::plan::Step;

/// The wait after the first failure; doubles with each further one.
const WAIT_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The writes that failed, by the entry's id.
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    by_id: BTreeMap<String, Setback>,
}

#[derive(Debug)]
struct Setback {
    step: Step,
    reason: String,
    tries: u32,
    /// Nothing: not before the next resync.
    again: Option<Instant>,
}

impl Setbacks {
    /// Whether it makes no sense yet to begin with `step`. What has changed meanwhile is another step.
    pub(super) fn block(&self, id: &str, step: &Step, now: Instant) -> bool {
        let failed = self.by_id.get(id).filter(|setback| setback.step == *step);
        failed.is_some_and(|setback| setback.again.is_none_or(|again| again > now))
    }

    /// The registry refused a write: the same again makes no sense before the next resync.
    pub(super) fn refused(&mut self, id: &str, step: Step, reason: String) {
        self.by_id.insert(id.to_owned(), Setback { step, reason, tries: 0, again: None });
    }

    /// A write did not succeed. Returns whether that is news.
    pub(super) fn failed(&mut self, id: &str, step: Step, reason: String, now: Instant) -> bool {
        let before = self.by_id.remove(id).filter(|setback| setback.step == step);
        let news = before.as_ref().is_none_or(|before| before.reason != reason);
        let tries = before.map_or(0, |before| before.tries + 1);
        let wait = WAIT_MIN.saturating_mul(1 << tries.min(16)).min(WAIT_MAX);
        self.by_id.insert(id.to_owned(), Setback { step, reason, tries, again: Some(now + wait) });
        news
    }

    /// Everything that was wanted for this entry was done.
    pub(super) fn over(&mut self, id: &str) {
        self.by_id.remove(id);
    }

    /// Forgets what is no longer planned.
    pub(super) fn keep(&mut self, planned: impl Fn(&str) -> bool) {
        self.by_id.retain(|id, _| planned(id));
    }

    /// What was refused gets another chance.
    pub(super) fn resync(&mut self) {
        self.by_id.retain(|_, setback| setback.again.is_some());
    }

    /// When the next write may be tried again.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let again = self.by_id.values().filter_map(|setback| setback.again).min()?;
        Some(again.saturating_duration_since(now))
    }

    /// Why each write failed.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.by_id.values().map(|setback| setback.reason.as_str())
    }

    /// Whether everything that was tried has succeeded.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remove(id: &str) -> Step {
        Step::Remove { id: id.into() }
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_is_news_once() {
        let (mut setbacks, begin) = (Setbacks::default(), Instant::now());
        let mut fail = |now| setbacks.failed("a", remove("a"), "500".into(), now);
        assert_eq!([fail(begin), fail(begin), fail(begin)], [true, false, false]);
        assert_eq!(setbacks.due(begin), Some(Duration::from_millis(400)));
        assert!(setbacks.block("a", &remove("a"), begin + Duration::from_millis(399)));
        assert!(!setbacks.block("a", &remove("a"), begin + Duration::from_millis(400)));
        assert!(!setbacks.block("a", &remove("b"), begin), "something else is wanted now");
        assert!(setbacks.failed("a", remove("a"), "403".into(), begin), "another reason");
        for _ in 0..40 {
            setbacks.failed("a", remove("a"), "403".into(), begin);
        }
        assert_eq!(setbacks.due(begin), Some(WAIT_MAX));
        setbacks.keep(|id| id != "a");
        assert!(setbacks.is_empty());
    }

    #[test]
    fn what_was_refused_waits_for_the_resync() {
        let (mut setbacks, now) = (Setbacks::default(), Instant::now());
        setbacks.refused("a", remove("a"), "400".into());
        assert!(setbacks.block("a", &remove("a"), now + Duration::from_secs(3600)));
        assert_eq!(setbacks.due(now), None);
        assert_eq!(setbacks.reasons().collect::<Vec<_>>(), ["400"]);
        setbacks.resync();
        assert!(setbacks.is_empty());
    }
}
