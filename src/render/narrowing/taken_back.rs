//! What is held when a candidate has passed the check and was taken back after the reload.
//!
//! Each trial of a search would cost two reloads. So what the error points at is held at once, and otherwise half of what
//! has changed since the last accepted candidate, removals last. The next candidate is the next trial: if it is accepted,
//! the half that was held is let through later, and halved again if need be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{Item, LIFT_AFTER, Narrowing, Question, RELOADED, guess, item};
use crate::target::{Digest, Files};

/// What was taken back of late.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// What was held since the last accepted candidate.
    held: BTreeSet<Item>,
    /// When an item was held the last time.
    last: BTreeMap<Item, Instant>,
    /// Candidates fail without any change of the answers. Until one is accepted, nothing is laid on an entry.
    unexplained: bool,
}

impl TakenBack {
    pub(super) fn accepted(&mut self) {
        self.held.clear();
        self.unexplained = false;
    }
}

impl Narrowing {
    /// A candidate was taken back for this reason. Returns whether something new is held.
    pub(in crate::render) fn taken_back(&self, files: Digest, candidate: &Files, reason: &str, now: Instant) -> bool {
        let Some(Question { good, newest, proven, .. }) = self.search(files) else { return false };
        let holds = self.holds.snapshot().entries;
        let is_held = |item: &Item| holds.get(item).is_some_and(|hold| !hold.is_tried);
        let suspects = item::changed(&good, &newest);
        if suspects.iter().any(is_held) {
            // It was made before that was held: the next candidate is on its way.
            return false;
        }
        let mut state = self.state();
        if state.taken_back.unexplained {
            return false;
        }
        if suspects.is_empty() {
            // It fails without them as well.
            let wrongly = std::mem::take(&mut state.taken_back.held);
            state.taken_back.unexplained = true;
            drop(state);
            wrongly.iter().for_each(|item| self.holds.remove(item));
            return false;
        }
        let mut culprits = guess::guess(reason, candidate, &suspects, &newest);
        if !proven && (culprits.is_empty() || item::is_most(culprits.iter(), &good, &newest)) {
            return false;
        }
        if culprits.is_empty() {
            culprits = half(suspects, |item| item::absent(item, &newest));
        }
        let soon = |item: &Item| state.taken_back.last.get(item).is_some_and(|at| now < *at + 4 * LIFT_AFTER);
        let again: BTreeSet<_> = culprits.iter().filter(|item| soon(item)).cloned().collect();
        state.taken_back.held.extend(culprits.iter().cloned());
        state.taken_back.last.retain(|_, at| now < *at + 4 * LIFT_AFTER);
        state.taken_back.last.extend(culprits.iter().map(|item| (item.clone(), now)));
        drop(state);
        let culprits = culprits.into_iter().map(|item| (item, reason.to_owned())).collect();
        self.hold_until(culprits, &newest, now, RELOADED, |item| again.contains(item).then(|| now + LIFT_AFTER));
        true
    }
}

/// The larger half of what is suspect. What has been removed is the least suspect: it comes last.
fn half(suspects: BTreeSet<Item>, is_removed: impl Fn(&Item) -> bool) -> BTreeSet<Item> {
    let number = suspects.len().div_ceil(2);
    let (removed, rest): (Vec<_>, Vec<_>) = suspects.into_iter().partition(is_removed);
    rest.into_iter().rev().chain(removed).take(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_held_and_removals_last() {
        let item = |name: &str| Item::Key(name.to_owned());
        let all = |names: &[&str]| names.iter().map(|name| item(name)).collect::<BTreeSet<_>>();
        let halved = |names: &[&str], gone: &str| half(all(names), |of| *of == item(gone));
        assert_eq!(halved(&["a"], "a"), all(&["a"]));
        assert_eq!(halved(&["a", "b"], "b"), all(&["a"]));
        assert_eq!(halved(&["a", "b", "c"], "c"), all(&["a", "b"]));
        assert_eq!(halved(&["a", "b", "c", "d"], "a"), all(&["c", "d"]));
    }
}
