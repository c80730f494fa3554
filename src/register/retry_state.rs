//! Writes that failed, each with its own time for the next try: one entry that the registry does not take must not hold up
//! the others. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::plan::Step;

/// The wait after the first failure; doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The writes that failed, by the entry's id.
#[derive(Debug, Default)]
pub(super) struct RetryState {
    by_id: BTreeMap<String, FailedWrite>,
}

#[derive(Debug)]
pub(super) struct FailedWrite {
    step: Step,
    reason: String,
    attempts: u32,
    retry_at: RetryTime,
    is_logged: bool,
    /// No write of any entry has succeeded since.
    is_consecutive: bool,
    /// It may succeed if nothing but time passes.
    is_transient: bool,
}

/// When a write is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryTime {
    At(Instant),
    AfterResync,
}

impl FailedWrite {
    fn text(&self) -> String {
        format!("cannot {}: {}", self.step, self.reason)
    }
}

impl RetryState {
    /// Whether it makes no sense yet to begin with `step`. What has changed meanwhile is another step.
    pub(super) fn is_blocked(&self, id: &str, step: &Step, now: Instant) -> bool {
        self.by_id.get(id).filter(|setback| setback.step == *step).is_some_and(|setback| match setback.retry_at {
            RetryTime::At(again) => again > now,
            RetryTime::AfterResync => true,
        })
    }

    /// The registry refused a write: the same again makes no sense before the next resync.
    pub(super) fn refused(&mut self, id: &str, step: Step, reason: String) {
        let setback = self.insert(id, step, reason);
        setback.retry_at = RetryTime::AfterResync;
        (setback.is_consecutive, setback.is_transient) = (false, false);
    }

    /// We may not write this, as long as nobody changes our rights.
    pub(super) fn denied(&mut self, id: &str, step: Step, reason: String, now: Instant) {
        self.failed(id, step, reason, now).is_transient = false;
    }

    /// A write did not succeed.
    pub(super) fn failed(&mut self, id: &str, step: Step, reason: String, now: Instant) -> &mut FailedWrite {
        let setback = self.insert(id, step, reason);
        setback.retry_at = RetryTime::At(now + RETRY_MIN.saturating_mul(1 << setback.attempts.min(16)).min(RETRY_MAX));
        setback
    }

    fn insert(&mut self, id: &str, step: Step, reason: String) -> &mut FailedWrite {
        let before = self.by_id.remove(id).filter(|setback| setback.step == step);
        let told = before.as_ref().is_some_and(|before| before.is_logged && before.reason == reason);
        let tries = before.map_or(0, |before| before.attempts + 1);
        let again = RetryTime::AfterResync;
        let setback = FailedWrite {
            step,
            reason,
            attempts: tries,
            retry_at: again,
            is_logged: told,
            is_consecutive: true,
            is_transient: true,
        };
        self.by_id.entry(id.to_owned()).or_insert(setback)
    }

    /// A write to this entry has succeeded.
    pub(super) fn succeeded(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_id.values_mut().for_each(|setback| setback.is_consecutive = false);
    }

    /// Forgets what is no longer planned.
    pub(super) fn retain_planned(&mut self, planned: impl Fn(&str) -> bool) {
        self.by_id.retain(|id, _| planned(id));
    }

    /// What was refused gets another chance.
    pub(super) fn release_refused(&mut self, now: Instant) {
        let refused = self.by_id.values_mut().filter(|setback| setback.retry_at == RetryTime::AfterResync);
        refused.for_each(|setback| setback.retry_at = RetryTime::At(now));
    }

    /// When the next write may be tried again.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Duration> {
        let due = |setback: &FailedWrite| match setback.retry_at {
            RetryTime::At(again) => Some(again.saturating_duration_since(now)),
            RetryTime::AfterResync => None,
        };
        self.by_id.values().filter_map(due).min()
    }

    /// What failed and was not told of yet, each with the entry's id.
    pub(super) fn unlogged(&mut self) -> impl Iterator<Item = (&str, String)> {
        self.by_id.iter_mut().filter_map(|(id, setback)| {
            let told = std::mem::replace(&mut setback.is_logged, true);
            (!told).then(|| (id.as_str(), setback.text()))
        })
    }

    /// How many entries have failed since the last write that succeeded, and why the first of them.
    pub(super) fn consecutive_failures(&self) -> (usize, Option<&str>) {
        let failed = || self.by_id.values().filter(|setback| setback.is_consecutive);
        (failed().count(), failed().map(|setback| setback.reason.as_str()).next())
    }

    /// What failed and why: what time may cure, or the rest.
    pub(super) fn reasons(&self, may_pass: bool) -> impl Iterator<Item = String> {
        self.by_id.values().filter(move |setback| setback.is_transient == may_pass).map(FailedWrite::text)
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
        Step::Remove { id: id.into(), reason: "gone".into() }
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_is_news_once() {
        let (mut setbacks, begin) = (RetryState::default(), Instant::now());
        let mut fail = |reason: &str| {
            setbacks.failed("a", remove("a"), reason.into(), begin);
            setbacks.unlogged().count()
        };
        assert_eq!([fail("500"), fail("500"), fail("500")], [1, 0, 0]);
        assert_eq!(fail("403"), 1, "another reason");
        assert_eq!(setbacks.next_retry(begin), Some(Duration::from_millis(800)));
        assert!(setbacks.is_blocked("a", &remove("a"), begin + Duration::from_millis(799)));
        assert!(!setbacks.is_blocked("a", &remove("a"), begin + Duration::from_millis(800)));
        assert!(!setbacks.is_blocked("a", &remove("b"), begin), "something else is wanted now");
        for _ in 0..40 {
            setbacks.failed("a", remove("a"), "403".into(), begin);
        }
        assert_eq!(setbacks.next_retry(begin), Some(RETRY_MAX));
        setbacks.retain_planned(|id| id != "a");
        assert!(setbacks.is_empty());
    }

    #[test]
    fn what_was_refused_waits_for_the_resync_and_is_told_once() {
        let (mut setbacks, now) = (RetryState::default(), Instant::now());
        for told in [1, 0] {
            setbacks.refused("a", remove("a"), "400".into());
            assert!(setbacks.is_blocked("a", &remove("a"), now + Duration::from_secs(3600)));
            assert_eq!(setbacks.next_retry(now), None);
            assert_eq!(setbacks.reasons(false).collect::<Vec<_>>(), ["cannot deregister a (gone): 400"]);
            assert_eq!(setbacks.unlogged().count(), told);
            setbacks.release_refused(now);
            assert!(!setbacks.is_blocked("a", &remove("a"), now));
        }
    }

    #[test]
    fn what_is_not_allowed_is_tried_again_but_nothing_to_wait_for() {
        let (mut setbacks, now) = (RetryState::default(), Instant::now());
        setbacks.denied("a", remove("a"), "403".into(), now);
        assert_eq!(setbacks.next_retry(now), Some(RETRY_MIN));
        assert_eq!((setbacks.reasons(true).count(), setbacks.reasons(false).count()), (0, 1));
    }

    #[test]
    fn failures_in_a_row_are_those_of_entries_since_the_last_success() {
        let (mut setbacks, now) = (RetryState::default(), Instant::now());
        let fail = |setbacks: &mut RetryState, id| {
            drop(setbacks.failed(id, remove(id), format!("{id}: 500"), now).step.clone())
        };
        ["a", "a", "b", "c"].iter().for_each(|id| fail(&mut setbacks, id));
        assert_eq!(setbacks.consecutive_failures(), (3, Some("a: 500")));
        setbacks.succeeded("c");
        fail(&mut setbacks, "b");
        setbacks.refused("d", remove("d"), "400".into());
        assert_eq!(setbacks.consecutive_failures(), (1, Some("b: 500")));
    }
}
