//! Where a watch stands: Consul's rules for the index of blocking queries.

/// What the next query has to be newer than.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Index(Option<u64>);

/// What an answer's index says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexChange {
    /// It may be believed: it is the first one, newer than the last, or just as old.
    Forward,
    /// It is older than the last: a server that lags behind, or a cluster that lost its data. It is not believed before
    /// it has been fetched once more from the start.
    Backward,
}

impl Index {
    /// What the next query has to wait for; `None` means that it must not wait.
    pub(super) fn last_seen(self) -> Option<u64> {
        self.0
    }

    /// Takes note of an answer's index.
    ///
    /// 0 counts as 1: a query that asks for something newer than 0 never waits. Without an index there is nothing to
    /// wait for; where there was one before, that is a step back.
    pub(super) fn advance(&mut self, answered: Option<u64>) -> IndexChange {
        let answered = answered.map(|index| index.max(1));
        // Nothing is less than any index.
        if answered < self.0 {
            self.reset();
            IndexChange::Backward
        } else {
            self.0 = answered;
            IndexChange::Forward
        }
    }

    /// Forgets what was seen: after an error the next query has to show the whole state, at once.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rules() {
        for (seen, answered, step, then) in [
            (None, Some(7), IndexChange::Forward, Some(7)),
            (None, Some(0), IndexChange::Forward, Some(1)),
            (None, None, IndexChange::Forward, None),
            (Some(7), Some(7), IndexChange::Forward, Some(7)),
            (Some(7), Some(9), IndexChange::Forward, Some(9)),
            (Some(7), Some(6), IndexChange::Backward, None),
            (Some(7), Some(0), IndexChange::Backward, None),
            (Some(7), None, IndexChange::Backward, None),
            (Some(1), None, IndexChange::Backward, None),
            (Some(u64::MAX), Some(1), IndexChange::Backward, None),
        ] {
            let mut index = Index(seen);
            assert_eq!((index.advance(answered), index.last_seen()), (step, then), "{seen:?} then {answered:?}");
        }
    }

    proptest! {
        #[test]
        fn a_query_never_asks_for_more_than_was_seen_and_never_for_newer_than_0(
            answers in prop::collection::vec(prop::option::of(0..20u64), 0..50),
        ) {
            let mut index = Index::default();
            for answered in answers {
                let before = index.last_seen();
                let step = index.advance(answered);
                prop_assert!(index.last_seen() != Some(0));
                prop_assert!(index.last_seen().is_none_or(|seen| Some(seen) == answered.map(|index| index.max(1))));
                prop_assert_eq!(step == IndexChange::Backward || answered.is_none(), index.last_seen().is_none());
                prop_assert!(step == IndexChange::Forward || before.is_some(), "what is fetched from the start is believed");
            }
        }
    }
}
