//! Defers removals if a full list suddenly lacks many containers. The list may be wrong (an engine that has just
//! started, a proxy in front of it), so a second full list must confirm it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::MaxRemoval;

/// Records the full list since which each unannounced removal has been due.
#[derive(Debug, Default)]
pub(super) struct RemovalGuard {
    missing_since: BTreeMap<String, u64>,
    /// The last full list that lacked too many containers. Until the next one, few may be missing only because the
    /// others have come back.
    doubtful_list: Option<u64>,
}

impl RemovalGuard {
    /// The entries to keep for now, among those whose container has `gone` without an event. `round` is the number of
    /// full lists so far, `owned` the number of our entries.
    pub(super) fn defer(
        &mut self,
        gone: &BTreeSet<String>,
        owned: usize,
        max: MaxRemoval,
        round: u64,
    ) -> BTreeSet<String> {
        self.missing_since.retain(|id, _| gone.contains(id));
        for id in gone {
            self.missing_since.entry(id.clone()).or_insert(round);
        }
        if gone.len() > max.limit_for(owned) {
            self.doubtful_list = Some(round);
        }
        if self.doubtful_list != Some(round) {
            return BTreeSet::new();
        }
        self.missing_since.iter().filter(|(_, since)| **since == round).map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: std::ops::Range<u32>) -> BTreeSet<String> {
        numbers.map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_few_are_removed_immediately_and_many_are_deferred() {
        let mut guard = RemovalGuard::default();
        let max = MaxRemoval::Percent(50);
        assert_eq!(guard.defer(&ids(0..3), 4, max, 1), ids(0..0));
        assert_eq!(guard.defer(&ids(0..6), 10, max, 1), ids(0..6));
        assert_eq!(guard.defer(&ids(0..6), 10, max, 1), ids(0..6), "a wake-up is not a second list");
        assert_eq!(guard.defer(&ids(0..7), 10, max, 2), ids(6..7), "a new one waits for the next list");
        assert_eq!(guard.defer(&ids(0..7), 10, max, 3), ids(0..0));
    }

    #[test]
    fn while_containers_come_back_the_last_ones_stay_deferred() {
        let mut guard = RemovalGuard::default();
        let max = MaxRemoval::Percent(50);
        assert_eq!(guard.defer(&ids(0..6), 6, max, 1), ids(0..6));
        assert_eq!(guard.defer(&ids(0..1), 6, max, 1), ids(0..1));
        assert_eq!(guard.defer(&ids(0..1), 6, max, 2), ids(0..0), "the second list agrees");
    }

    #[test]
    fn a_container_that_came_back_is_deferred_again() {
        let mut guard = RemovalGuard::default();
        let max = MaxRemoval::Count(0);
        assert_eq!(guard.defer(&ids(0..1), 1, max, 1), ids(0..1));
        assert_eq!(guard.defer(&ids(0..0), 1, max, 2), ids(0..0));
        assert_eq!(guard.defer(&ids(0..1), 1, max, 3), ids(0..1));
    }
}
