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
pub(super) struct Setback {
    step: Step,
    reason: String,
    tries: u32,
    again: Again,
    told: bool,
    /// No write of any entry has succeeded since.
    in_a_row: bool,
    /// It may succeed if nothing but time passes.
    may_pass: bool,
}

/// When a write is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    At(Instant),
    AfterResync,
}

impl Setback {
    fn text(&self) -> String {
        format!("cannot {}: {}", self.step, self.reason)
    }
}

impl Setbacks {
    /// Whether it makes no sense yet to begin with `step`. What has changed meanwhile is another step.
    pub(super) fn block(&self, id: &str, step: &Step, now: Instant) -> bool {
        self.by_id.get(id).filter(|setback| setback.step == *step).is_some_and(|setback| match setback.again {
            Again::At(again) => again > now,
            Again::AfterResync => true,
        })
    }

    /// The registry refused a write: the same again makes no sense before the next resync.
    pub(super) fn refused(&mut self, id: &str, step: Step, reason: String) {
        let setback = self.insert(id, step, reason);
        setback.again = Again::AfterResync;
        (setback.in_a_row, setback.may_pass) = (false, false);
    }

    /// We may not write this, as long as nobody changes our rights.
    pub(super) fn denied(&mut self, id: &str, step: Step, reason: String, now: Instant) {
        self.failed(id, step, reason, now).may_pass = false;
    }

    /// A write did not succeed.
    pub(super) fn failed(&mut self, id: &str, step: Step, reason: String, now: Instant) -> &mut Setback {
        let setback = self.insert(id, step, reason);
        setback.again = Again::At(now + WAIT_MIN.saturating_mul(1 << setback.tries.min(16)).min(WAIT_MAX));
        setback
    }

    fn insert(&mut self, id: &str, step: Step, reason: String) -> &mut Setback {
        let before = self.by_id.remove(id).filter(|setback| setback.step == step);
        let told = before.as_ref().is_some_and(|before| before.told && before.reason == reason);
        let tries = before.map_or(0, |before| before.tries + 1);
        let again = Again::AfterResync;
        let setback = Setback { step, reason, tries, again, told, in_a_row: true, may_pass: true };
        self.by_id.entry(id.to_owned()).or_insert(setback)
    }

    /// A write to this entry has succeeded.
    pub(super) fn over(&mut self, id: &str) {
        self.by_id.remove(id);
        self.by_id.values_mut().for_each(|setback| setback.in_a_row = false);
    }

    /// Forgets what is no longer planned.
    pub(super) fn keep(&mut self, planned: impl Fn(&str) -> bool) {
        self.by_id.retain(|id, _| planned(id));
    }

    /// What was refused gets another chance.
    pub(super) fn resync(&mut self, now: Instant) {
        let refused = self.by_id.values_mut().filter(|setback| setback.again == Again::AfterResync);
        refused.for_each(|setback| setback.again = Again::At(now));
    }

    /// When the next write may be tried again.
    pub(super) fn due(&self, now: Instant) -> Option<Duration> {
        let due = |setback: &Setback| match setback.again {
            Again::At(again) => Some(again.saturating_duration_since(now)),
            Again::AfterResync => None,
        };
        self.by_id.values().filter_map(due).min()
    }

    /// What failed and was not told of yet, each with the entry's id.
    pub(super) fn news(&mut self) -> impl Iterator<Item = (&str, String)> {
        self.by_id.iter_mut().filter_map(|(id, setback)| {
            let told = std::mem::replace(&mut setback.told, true);
            (!told).then(|| (id.as_str(), setback.text()))
        })
    }

    /// How many entries have failed since the last write that succeeded, and why the first of them.
    pub(super) fn in_a_row(&self) -> (usize, Option<&str>) {
        let failed = || self.by_id.values().filter(|setback| setback.in_a_row);
        (failed().count(), failed().map(|setback| setback.reason.as_str()).next())
    }

    /// What failed and why: what time may cure, or the rest.
    pub(super) fn reasons(&self, may_pass: bool) -> impl Iterator<Item = String> {
        self.by_id.values().filter(move |setback| setback.may_pass == may_pass).map(Setback::text)
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
        Step::Remove { id: id.into(), why: "gone".into() }
    }

    #[test]
    fn a_failed_write_waits_longer_each_time_and_is_news_once() {
        let (mut setbacks, begin) = (Setbacks::default(), Instant::now());
        let mut fail = |reason: &str| {
            setbacks.failed("a", remove("a"), reason.into(), begin);
            setbacks.news().count()
        };
        assert_eq!([fail("500"), fail("500"), fail("500")], [1, 0, 0]);
        assert_eq!(fail("403"), 1, "another reason");
        assert_eq!(setbacks.due(begin), Some(Duration::from_millis(800)));
        assert!(setbacks.block("a", &remove("a"), begin + Duration::from_millis(799)));
        assert!(!setbacks.block("a", &remove("a"), begin + Duration::from_millis(800)));
        assert!(!setbacks.block("a", &remove("b"), begin), "something else is wanted now");
        for _ in 0..40 {
            setbacks.failed("a", remove("a"), "403".into(), begin);
        }
        assert_eq!(setbacks.due(begin), Some(WAIT_MAX));
        setbacks.keep(|id| id != "a");
        assert!(setbacks.is_empty());
    }

    #[test]
    fn what_was_refused_waits_for_the_resync_and_is_told_once() {
        let (mut setbacks, now) = (Setbacks::default(), Instant::now());
        for told in [1, 0] {
            setbacks.refused("a", remove("a"), "400".into());
            assert!(setbacks.block("a", &remove("a"), now + Duration::from_secs(3600)));
            assert_eq!(setbacks.due(now), None);
            assert_eq!(setbacks.reasons(false).collect::<Vec<_>>(), ["cannot deregister a (gone): 400"]);
            assert_eq!(setbacks.news().count(), told);
            setbacks.resync(now);
            assert!(!setbacks.block("a", &remove("a"), now));
        }
    }

    #[test]
    fn what_is_not_allowed_is_tried_again_but_nothing_to_wait_for() {
        let (mut setbacks, now) = (Setbacks::default(), Instant::now());
        setbacks.denied("a", remove("a"), "403".into(), now);
        assert_eq!(setbacks.due(now), Some(WAIT_MIN));
        assert_eq!((setbacks.reasons(true).count(), setbacks.reasons(false).count()), (0, 1));
    }

    #[test]
    fn failures_in_a_row_are_those_of_entries_since_the_last_success() {
        let (mut setbacks, now) = (Setbacks::default(), Instant::now());
        let fail =
            |setbacks: &mut Setbacks, id| drop(setbacks.failed(id, remove(id), format!("{id}: 500"), now).step.clone());
        ["a", "a", "b", "c"].iter().for_each(|id| fail(&mut setbacks, id));
        assert_eq!(setbacks.in_a_row(), (3, Some("a: 500")));
        setbacks.over("c");
        fail(&mut setbacks, "b");
        setbacks.refused("d", remove("d"), "400".into());
        assert_eq!(setbacks.in_a_row(), (1, Some("b: 500")));
    }
}
