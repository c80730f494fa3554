//! The inspections that a list has caused, until all have ended. Pure.
//!
//! The results are put into the store together, so the reconciler runs one pass and sees how many containers are
//! missing from the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Observation;

/// A batch ends if none of its inspections has ended within this time: the outstanding ones hang.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum duration of a batch.
const MAX_DURATION: Duration = Duration::from_secs(10);

/// The containers that a list has shown as new, changed, or missing.
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

    /// Adds containers to inspect. A second list may arrive before the containers of the first one are inspected.
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = String>, now: Instant) {
        let before = self.outstanding.len();
        self.outstanding.extend(ids);
        if self.outstanding.len() > before {
            self.last_progress = now;
        }
    }

    /// The result of a container; `None` if it has none yet. The inner `None`: the container is to be forgotten.
    pub(super) fn result(&self, id: &str) -> Option<&Option<Observation>> {
        self.results.get(id)
    }

    /// Mutable access to the observation of a container.
    pub(super) fn result_mut(&mut self, id: &str) -> Option<&mut Observation> {
        self.results.get_mut(id)?.as_mut()
    }

    /// Keeps the result of an inspection until the end of the batch. Returns the result if the container is not in the
    /// batch.
    pub(super) fn record(
        &mut self,
        id: &str,
        observation: Option<Observation>,
        now: Instant,
    ) -> Option<Option<Observation>> {
        if self.outstanding.remove(id) {
            self.last_progress = now;
        } else if !self.results.contains_key(id) {
            return Some(observation);
        }
        self.results.insert(id.to_owned(), observation);
        None
    }

    /// When the batch ends even with outstanding inspections.
    pub(super) fn deadline(&self) -> Instant {
        (self.last_progress + STALL_TIMEOUT).min(self.started_at + MAX_DURATION)
    }

    /// Whether the batch has ended.
    pub(super) fn is_finished(&self, now: Instant) -> bool {
        self.outstanding.is_empty() || self.deadline() <= now
    }

    /// The results for the store. `None`: the container is to be forgotten.
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
    fn a_batch_ends_with_its_last_inspection() {
        let now = Instant::now();
        let mut batch = InspectionBatch::new(now);
        assert!(batch.is_finished(now), "a list without changes");
        batch.add(ids(&["a", "b"]), now);
        assert_eq!(batch.record("a", Some(Observation::Missing), now), None);
        assert_eq!(batch.record("x", None, now), Some(None), "not in the batch");
        assert!(!batch.is_finished(now));
        assert_eq!(batch.record("a", None, now), None, "inspected again meanwhile");
        batch.record("b", Some(Observation::Unreadable), now);
        assert!(batch.is_finished(now));
        assert_eq!(
            batch.into_results(),
            [("a".to_owned(), None), ("b".to_owned(), Some(Observation::Unreadable))].into()
        );
    }

    #[test]
    fn a_hung_inspection_does_not_delay_the_other_results() {
        let mut now = Instant::now();
        let start = now;
        let mut batch = InspectionBatch::new(now);
        batch.add(ids(&["a", "b", "hangs"]), now);
        for id in ["a", "b"] {
            now += STALL_TIMEOUT / 2;
            batch.record(id, None, now);
            batch.add(ids(&["hangs"]), now + STALL_TIMEOUT / 4);
            assert!(!batch.is_finished(now));
        }
        // Events cause further inspections of a container that has a result.
        assert_eq!(batch.record("a", None, now + STALL_TIMEOUT / 2), None);
        assert!(batch.is_finished(now + STALL_TIMEOUT));
        for id in 0..100 {
            batch.add([id.to_string()], start + MAX_DURATION);
        }
        assert!(batch.is_finished(start + MAX_DURATION), "with any number of new containers");
    }
}
