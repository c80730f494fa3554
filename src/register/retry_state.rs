//! The writes that failed, each with its own time for a retry: an entry that the registry refuses must not delay the
//! others. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::plan::Step;

/// The wait after the first failure; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait between two tries.
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
    /// Whether no write of any entry has succeeded since.
    is_consecutive: bool,
    /// Whether a retry may succeed without a change.
    is_transient: bool,
}

/// When a write is retried.
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
    /// Whether it is too early to send `step` again. A different step is never blocked.
    pub(super) fn is_blocked(&self, id: &str, step: &Step, now: Instant) -> bool {
        self.by_id.get(id).filter(|failed| failed.step == *step).is_some_and(|failed| match failed.retry_at {
            RetryTime::At(retry_at) => retry_at > now,
            RetryTime::AfterResync => true,
        })
    }

    /// The registry refused a write: it is not sent again before the next resync.
    pub(super) fn refused(&mut self, id: &str, step: Step, reason: String) {
        let failed = self.insert(id, step, reason);
        failed.retry_at = RetryTime::AfterResync;
        (failed.is_consecutive, failed.is_transient) = (false, false);
    }

    /// A permission for the write is missing.
    pub(super) fn denied(&mut self, id: &str, step: Step, reason: String, now: Instant) {
        self.failed(id, step, reason, now).is_transient = false;
    }

    /// A write failed.
    pub(super) fn failed(&mut self, id: &str, step: Step, reason: String, now: Instant) -> &mut FailedWrite {
        let failed = self.insert(id, step, reason);
        failed.retry_at = RetryTime::At(now + RETRY_MIN.saturating_mul(1 << failed.attempts.min(16)).min(RETRY_MAX));
        failed
    }

    fn insert(&mut self, id: &str, step: Step, reason: String) -> &mut FailedWrite {
        let before = self.by_id.remove(id).filter(|failed| failed.step == step);
        let is_logged = before.as_ref().is_some_and(|before| before.is_logged && before.reason == reason);
        let attempts = before.map_or(0, |before| before.attempts + 1);
        let retry_at = RetryTime::AfterResync;
        let failed =
            FailedWrite { step, reason, attempts, retry_at, is_logged, is_consecutive: true, is_transient: true };
        self.by_id.entry(id.to_owned()).or_insert(failed)
    }

    /// A write of this entry succeeded.
    pub(super) fn succeeded(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_id.values_mut().for_each(|failed| failed.is_consecutive = false);
    }

    /// Forgets entries that the plan no longer contains.
    pub(super) fn retain_planned(&mut self, planned: impl Fn(&str) -> bool) {
        self.by_id.retain(|id, _| planned(id));
    }

    /// Allows another try of the writes that were refused.
    pub(super) fn release_refused(&mut self, now: Instant) {
        let refused = self.by_id.values_mut().filter(|failed| failed.retry_at == RetryTime::AfterResync);
        refused.for_each(|failed| failed.retry_at = RetryTime::At(now));
    }

    /// The time until the next retry.
    pub(super) fn next_retry(&self, now: Instant) -> Option<Duration> {
        let due = |failed: &FailedWrite| match failed.retry_at {
            RetryTime::At(retry_at) => Some(retry_at.saturating_duration_since(now)),
            RetryTime::AfterResync => None,
        };
        self.by_id.values().filter_map(due).min()
    }

    /// The failures that are not logged yet, each with the entry's id. They count as logged afterwards.
    pub(super) fn unlogged(&mut self) -> impl Iterator<Item = (&str, String)> {
        self.by_id.iter_mut().filter_map(|(id, failed)| {
            let is_logged = std::mem::replace(&mut failed.is_logged, true);
            (!is_logged).then(|| (id.as_str(), failed.text()))
        })
    }

    /// The number of entries that have failed since the last successful write, and the reason of the first.
    pub(super) fn consecutive_failures(&self) -> (usize, Option<&str>) {
        let failed = || self.by_id.values().filter(|failed| failed.is_consecutive);
        (failed().count(), failed().map(|failed| failed.reason.as_str()).next())
    }

    /// What failed and why: the transient failures, or all others.
    pub(super) fn reasons(&self, transient: bool) -> impl Iterator<Item = String> {
        self.by_id.values().filter(move |failed| failed.is_transient == transient).map(FailedWrite::text)
    }

    /// Whether no write has failed.
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
    fn a_failed_write_waits_longer_each_time_and_is_logged_once() {
        let (mut state, begin) = (RetryState::default(), Instant::now());
        let mut fail = |reason: &str| {
            state.failed("a", remove("a"), reason.into(), begin);
            state.unlogged().count()
        };
        assert_eq!([fail("500"), fail("500"), fail("500")], [1, 0, 0]);
        assert_eq!(fail("403"), 1, "another reason");
        assert_eq!(state.next_retry(begin), Some(Duration::from_millis(800)));
        assert!(state.is_blocked("a", &remove("a"), begin + Duration::from_millis(799)));
        assert!(!state.is_blocked("a", &remove("a"), begin + Duration::from_millis(800)));
        assert!(!state.is_blocked("a", &remove("b"), begin), "another step");
        for _ in 0..40 {
            state.failed("a", remove("a"), "403".into(), begin);
        }
        assert_eq!(state.next_retry(begin), Some(RETRY_MAX));
        state.retain_planned(|id| id != "a");
        assert!(state.is_empty());
    }

    #[test]
    fn a_refused_write_waits_for_the_resync_and_is_logged_once() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        for is_logged in [1, 0] {
            state.refused("a", remove("a"), "400".into());
            assert!(state.is_blocked("a", &remove("a"), now + Duration::from_secs(3600)));
            assert_eq!(state.next_retry(now), None);
            assert_eq!(state.reasons(false).collect::<Vec<_>>(), ["cannot deregister a (gone): 400"]);
            assert_eq!(state.unlogged().count(), is_logged);
            state.release_refused(now);
            assert!(!state.is_blocked("a", &remove("a"), now));
        }
    }

    #[test]
    fn a_denied_write_is_retried_but_not_transient() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        state.denied("a", remove("a"), "403".into(), now);
        assert_eq!(state.next_retry(now), Some(RETRY_MIN));
        assert_eq!((state.reasons(true).count(), state.reasons(false).count()), (0, 1));
    }

    #[test]
    fn consecutive_failures_are_counted_by_entry_since_the_last_success() {
        let (mut state, now) = (RetryState::default(), Instant::now());
        let fail =
            |state: &mut RetryState, id| drop(state.failed(id, remove(id), format!("{id}: 500"), now).step.clone());
        ["a", "a", "b", "c"].iter().for_each(|id| fail(&mut state, id));
        assert_eq!(state.consecutive_failures(), (3, Some("a: 500")));
        state.succeeded("c");
        fail(&mut state, "b");
        state.refused("d", remove("d"), "400".into());
        assert_eq!(state.consecutive_failures(), (1, Some("b: 500")));
    }
}
