//! The brake on removals: a list that suddenly lacks many containers may be a lie (an engine that just started, a proxy
//! in front of it), and is not believed before a second full list agrees. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::MaxRemoval;

/// Remembers since which full list each unannounced removal has been due.
#[derive(Debug, Default)]
pub(super) struct RemovalGuard {
    missing_since: BTreeMap<String, u64>,
    /// The full list that lacked too many: while it is the last one, few may be left of them because they come back.
    doubtful_list: Option<u64>,
}

impl RemovalGuard {
    /// Which of the entries whose container is gone without an event have to wait. `round` counts the full lists so far,
    /// `owned` all entries of ours.
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
    fn few_go_at_once_and_many_wait_for_a_second_list() {
        let mut brake = RemovalGuard::default();
        let max = MaxRemoval::Percent(50);
        assert_eq!(brake.defer(&ids(0..3), 4, max, 1), ids(0..0));
        assert_eq!(brake.defer(&ids(0..6), 10, max, 1), ids(0..6));
        assert_eq!(brake.defer(&ids(0..6), 10, max, 1), ids(0..6), "a wake-up is no second list");
        assert_eq!(brake.defer(&ids(0..7), 10, max, 2), ids(6..7), "what is new waits for one more");
        assert_eq!(brake.defer(&ids(0..7), 10, max, 3), ids(0..0));
    }

    #[test]
    fn while_they_come_back_one_by_one_the_last_are_as_doubtful_as_the_first() {
        let mut brake = RemovalGuard::default();
        let max = MaxRemoval::Percent(50);
        assert_eq!(brake.defer(&ids(0..6), 6, max, 1), ids(0..6));
        assert_eq!(brake.defer(&ids(0..1), 6, max, 1), ids(0..1));
        assert_eq!(brake.defer(&ids(0..1), 6, max, 2), ids(0..0), "the second list agrees");
    }

    #[test]
    fn who_comes_back_in_between_starts_anew() {
        let mut brake = RemovalGuard::default();
        let max = MaxRemoval::Count(0);
        assert_eq!(brake.defer(&ids(0..1), 1, max, 1), ids(0..1));
        assert_eq!(brake.defer(&ids(0..0), 1, max, 2), ids(0..0));
        assert_eq!(brake.defer(&ids(0..1), 1, max, 3), ids(0..1));
    }
}
