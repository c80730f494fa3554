//! What one list showed anew, until it has been inspected. Pure.
//!
//! Its results go into the store together: a reconciler makes one pass, and sees at once how much a list lacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Observation;

/// A round ends when none of its inspections has ended for so long: what is left hangs.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest round, however slow the engine is.
const MAX_DURATION: Duration = Duration::from_secs(10);

/// The containers that a list showed anew, changed or no longer.
#[derive(Debug)]
pub(super) struct InspectionBatch {
    outstanding: BTreeSet<String>,
    results: BTreeMap<String, Option<Observation>>,
    started_at: Instant,
    last_progress: Instant,
}

impl InspectionBatch {
    pub(super) fn new(now: Instant) -> Self {
        Self { outstanding: BTreeSet::new(), results: BTreeMap::new(), started_at: now, last_progress: now }
    }

    /// These have to be inspected. A second list may come before the first one's containers have been.
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = String>, now: Instant) {
        let before = self.outstanding.len();
        self.outstanding.extend(ids);
        if self.outstanding.len() > before {
            self.last_progress = now;
        }
    }

    /// What an inspection of this round brought, if there was one.
    pub(super) fn result(&self, id: &str) -> Option<&Option<Observation>> {
        self.results.get(id)
    }

    /// The same, to be changed.
    pub(super) fn result_mut(&mut self, id: &str) -> Option<&mut Observation> {
        self.results.get_mut(id)?.as_mut()
    }

    /// Keeps the result of an inspection until the end of the round. Returns the result if the round does not concern
    /// it.
    pub(super) fn record(&mut self, id: &str, sight: Option<Observation>, now: Instant) -> Option<Option<Observation>> {
        if self.outstanding.remove(id) {
            self.last_progress = now;
        } else if !self.results.contains_key(id) {
            return Some(sight);
        }
        self.results.insert(id.to_owned(), sight);
        None
    }

    /// When it ends, although something has not been inspected.
    pub(super) fn deadline(&self) -> Instant {
        (self.last_progress + STALL_TIMEOUT).min(self.started_at + MAX_DURATION)
    }

    /// Whether it has ended.
    pub(super) fn is_finished(&self, now: Instant) -> bool {
        self.outstanding.is_empty() || self.deadline() <= now
    }

    /// What the store has to take over; `None` for what is to be forgotten.
    pub(super) fn into_results(self) -> BTreeMap<String, Option<Observation>> {
        self.results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn it_ends_with_its_last_inspection() {
        let now = Instant::now();
        let mut round = InspectionBatch::new(now);
        assert!(round.is_finished(now), "a list that showed nothing new");
        round.add(ids(&["a", "b"]), now);
        assert_eq!(round.record("a", Some(Observation::Missing), now), None);
        assert_eq!(round.record("x", None, now), Some(None), "not one of its own");
        assert!(!round.is_finished(now));
        assert_eq!(round.record("a", None, now), None, "inspected again meanwhile");
        round.record("b", Some(Observation::Unreadable), now);
        assert!(round.is_finished(now));
        assert_eq!(
            round.into_results(),
            [("a".to_owned(), None), ("b".to_owned(), Some(Observation::Unreadable))].into()
        );
    }

    #[test]
    fn what_hangs_does_not_hold_up_what_was_found() {
        let mut now = Instant::now();
        let begun = now;
        let mut round = InspectionBatch::new(now);
        round.add(ids(&["a", "b", "hangs"]), now);
        for id in ["a", "b"] {
            now += STALL_TIMEOUT / 2;
            round.record(id, None, now);
            round.add(ids(&["hangs"]), now + STALL_TIMEOUT / 4);
            assert!(!round.is_finished(now));
        }
        // Inspected again and again, as events ask for it.
        assert_eq!(round.record("a", None, now + STALL_TIMEOUT / 2), None);
        assert!(round.is_finished(now + STALL_TIMEOUT));
        for id in 0..100 {
            round.add([id.to_string()], begun + MAX_DURATION);
        }
        assert!(round.is_finished(begun + MAX_DURATION), "however much is new");
    }
}
