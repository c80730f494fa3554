//! Which items are held when a candidate has passed the check and was rolled back after the reload.
//!
//! Each trial of a search would cost two reloads. So the items that the error names are held without a search. If it
//! names none, half of the items that have changed since the last accepted candidate are held, removals last. The next
//! candidate is the next trial: if it is accepted, the held half is tried later, and halved again if it fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use super::{AFTER_RELOAD, AnswerItem, MIN_HOLD_TIME, Narrowing, SearchInput, guess, item};
use crate::target::{DesiredFiles, Digest};

/// The items of recent candidates that were rolled back.
#[derive(Debug, Default)]
pub(super) struct RolledBackItems {
    /// The items that were held since the last accepted candidate.
    held: BTreeSet<AnswerItem>,
    /// When each item was last held.
    last_held: BTreeMap<AnswerItem, Instant>,
    /// Whether candidates fail without a change of the answers. Then no item is held until a candidate is accepted.
    is_unexplained: bool,
}

impl RolledBackItems {
    pub(super) fn accepted(&mut self) {
        self.held.clear();
        self.is_unexplained = false;
    }
}

impl Narrowing {
    /// Records that a candidate was rolled back for this reason. `pid_file` is that of the program. Returns whether a
    /// new item is held.
    pub(in crate::render) fn record_rolled_back(
        &self,
        files: Digest,
        candidate: &DesiredFiles,
        reason: &str,
        pid_file: Option<&Path>,
        now: Instant,
    ) -> bool {
        let Some(SearchInput { last_good: good, newest, is_proven: proven, .. }) = self.search_input(files) else {
            return false;
        };
        let holds = self.held.snapshot().entries;
        let is_held = |item: &AnswerItem| holds.get(item).is_some_and(|hold| !hold.is_retrying);
        let suspects = item::changed_items(&good, &newest);
        if suspects.iter().any(is_held) {
            // This candidate was made before those items were held; the next one is made without them.
            return false;
        }
        let mut state = self.state();
        if state.rolled_back.is_unexplained {
            return false;
        }
        if suspects.is_empty() {
            // The candidate also fails without the held items, so they are not the cause.
            let wrongly_held = std::mem::take(&mut state.rolled_back.held);
            state.rolled_back.is_unexplained = true;
            drop(state);
            wrongly_held.iter().for_each(|item| self.held.remove(item));
            return false;
        }
        let mut culprits = guess::guess_culprits(reason, candidate, &suspects, &newest);
        if !proven && (culprits.is_empty() || item::leaves_out_most(culprits.iter(), &good, &newest)) {
            return false;
        }
        if culprits.is_empty() {
            culprits = half(suspects, |item| item::is_absent(item, &newest));
        }
        let was_held_recently =
            |item: &AnswerItem| state.rolled_back.last_held.get(item).is_some_and(|at| now < *at + 4 * MIN_HOLD_TIME);
        let repeated: BTreeSet<_> = culprits.iter().filter(|item| was_held_recently(item)).cloned().collect();
        state.rolled_back.held.extend(culprits.iter().cloned());
        state.rolled_back.last_held.retain(|_, at| now < *at + 4 * MIN_HOLD_TIME);
        state.rolled_back.last_held.extend(culprits.iter().map(|item| (item.clone(), now)));
        drop(state);
        let culprits = culprits.into_iter().map(|item| (item, reason.to_owned())).collect();
        self.hold_until(culprits, &newest, pid_file, now, AFTER_RELOAD, |item| {
            repeated.contains(item).then(|| now + MIN_HOLD_TIME)
        });
        true
    }
}

/// The larger half of the suspects. Removals are the least likely causes, and come last.
fn half(suspects: BTreeSet<AnswerItem>, is_removed: impl Fn(&AnswerItem) -> bool) -> BTreeSet<AnswerItem> {
    let number = suspects.len().div_ceil(2);
    let (removed, rest): (Vec<_>, Vec<_>) = suspects.into_iter().partition(is_removed);
    rest.into_iter().rev().chain(removed).take(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_held_and_removals_last() {
        let item = |name: &str| AnswerItem::Key(name.to_owned());
        let all = |names: &[&str]| names.iter().map(|name| item(name)).collect::<BTreeSet<_>>();
        let halved = |names: &[&str], gone: &str| half(all(names), |of| *of == item(gone));
        assert_eq!(halved(&["a"], "a"), all(&["a"]));
        assert_eq!(halved(&["a", "b"], "b"), all(&["a"]));
        assert_eq!(halved(&["a", "b", "c"], "c"), all(&["a", "b"]));
        assert_eq!(halved(&["a", "b", "c", "d"], "a"), all(&["c", "d"]));
    }
}
