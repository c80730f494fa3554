//! What one list showed anew, until it has been inspected. Pure.
//!
//! Its results go into the store together: a reconciler makes one pass, and sees at once how much a list lacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::Sight;

/// A round ends when none of its inspections has ended for so long: what is left hangs.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// The longest round, however slow the engine is.
const LONGEST: Duration = Duration::from_secs(10);

/// The containers that a list showed anew, changed or no longer.
#[derive(Debug)]
pub(super) struct Round {
    owing: BTreeSet<String>,
    found: BTreeMap<String, Option<Sight>>,
    begun: Instant,
    progress: Instant,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self { owing: BTreeSet::new(), found: BTreeMap::new(), begun: now, progress: now }
    }

    /// These have to be inspected. A second list may come before the first one's containers have been.
    pub(super) fn expect(&mut self, ids: impl IntoIterator<Item = String>, now: Instant) {
        let before = self.owing.len();
        self.owing.extend(ids);
        if self.owing.len() > before {
            self.progress = now;
        }
    }

    /// What an inspection of this round brought, if there was one.
    pub(super) fn found(&self, id: &str) -> Option<&Option<Sight>> {
        self.found.get(id)
    }

    /// The same, to be changed.
    pub(super) fn found_mut(&mut self, id: &str) -> Option<&mut Sight> {
        self.found.get_mut(id)?.as_mut()
    }

    /// Keeps the result of an inspection until the end of the round. Returns the result if the round does not concern
    /// it.
    pub(super) fn take(&mut self, id: &str, sight: Option<Sight>, now: Instant) -> Option<Option<Sight>> {
        if self.owing.remove(id) {
            self.progress = now;
        } else if !self.found.contains_key(id) {
            return Some(sight);
        }
        self.found.insert(id.to_owned(), sight);
        None
    }

    /// When it ends, although something has not been inspected.
    pub(super) fn deadline(&self) -> Instant {
        (self.progress + STUCK_AFTER).min(self.begun + LONGEST)
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.owing.is_empty() || self.deadline() <= now
    }

    /// What the store has to take over; `None` for what is to be forgotten.
    pub(super) fn results(self) -> BTreeMap<String, Option<Sight>> {
        self.found
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
        let mut round = Round::new(now);
        assert!(round.is_over(now), "a list that showed nothing new");
        round.expect(ids(&["a", "b"]), now);
        assert_eq!(round.take("a", Some(Sight::Missing), now), None);
        assert_eq!(round.take("x", None, now), Some(None), "not one of its own");
        assert!(!round.is_over(now));
        assert_eq!(round.take("a", None, now), None, "inspected again meanwhile");
        round.take("b", Some(Sight::Unreadable), now);
        assert!(round.is_over(now));
        assert_eq!(round.results(), [("a".to_owned(), None), ("b".to_owned(), Some(Sight::Unreadable))].into());
    }

    #[test]
    fn what_hangs_does_not_hold_up_what_was_found() {
        let mut now = Instant::now();
        let begun = now;
        let mut round = Round::new(now);
        round.expect(ids(&["a", "b", "hangs"]), now);
        for id in ["a", "b"] {
            now += STUCK_AFTER / 2;
            round.take(id, None, now);
            round.expect(ids(&["hangs"]), now + STUCK_AFTER / 4);
            assert!(!round.is_over(now));
        }
        // Inspected again and again, as events ask for it.
        assert_eq!(round.take("a", None, now + STUCK_AFTER / 2), None);
        assert!(round.is_over(now + STUCK_AFTER));
        for id in 0..100 {
            round.expect([id.to_string()], begun + LONGEST);
        }
        assert!(round.is_over(begun + LONGEST), "however much is new");
    }
}
