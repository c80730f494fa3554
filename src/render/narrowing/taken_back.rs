//! Which items are held when a candidate has passed the check and was taken back after the reload.
//!
//! Each trial of a search would cost two reloads. So the items that the error names are held at once, otherwise half of
//! the items that have changed since the last accepted candidate, removals last. The next candidate is the next trial:
//! if it is accepted, the held half is tried later, and halved again if it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use super::{Item, LIFT_AFTER, Narrowing, Question, RELOADED, guess, item};
use crate::target::{Digest, Files};

/// The items of recent candidates that were taken back.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// The items that were held since the last accepted candidate.
    held: BTreeSet<Item>,
    /// When each item was last held.
    last: BTreeMap<Item, Instant>,
    /// Whether candidates fail without a change of the answers. Then no item is held until a candidate is accepted.
    unexplained: bool,
}

impl TakenBack {
    pub(super) fn accepted(&mut self) {
        self.held.clear();
        self.unexplained = false;
    }
}

impl Narrowing {
    /// Notes that a candidate was taken back for this reason. `pid_file`: of the program. Returns whether something new is
    /// held.
    pub(in crate::render) fn taken_back(
        &self,
        files: Digest,
        candidate: &Files,
        reason: &str,
        pid_file: Option<&Path>,
        now: Instant,
    ) -> bool {
        let Some(Question { good, newest, proven, .. }) = self.search(files) else { return false };
        let holds = self.holds.snapshot().entries;
        let is_held = |item: &Item| holds.get(item).is_some_and(|hold| !hold.is_tried);
        let suspects = item::changed(&good, &newest);
        if suspects.iter().any(is_held) {
            // This candidate was made before those items were held; the next one is made without them.
            return false;
        }
        let mut state = self.state();
        if state.taken_back.unexplained {
            return false;
        }
        if suspects.is_empty() {
            // The candidate also fails without the held items, so they are not the cause.
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
        self.hold_until(culprits, &newest, pid_file, now, RELOADED, |item| {
            again.contains(item).then(|| now + LIFT_AFTER)
        });
        true
    }
}

/// The larger half of the suspects. Removals are the least likely causes, and come last.
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
