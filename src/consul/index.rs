//! The index of a watch, by Consul's rules for blocking queries. Pure.

/// The last index that a watch has seen; `None` if the next query must not wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Index(Option<u64>);

/// How the index of a response compares with the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexChange {
    /// It is the first one, newer, or equal. The response is accepted.
    Forward,
    /// It is lower: the server lags behind, or the cluster lost its data. The response is discarded, and the next query
    /// starts without an index.
    Backward,
}

impl Index {
    /// The index for the next query; `None` if that query must not wait.
    pub(super) fn last_seen(self) -> Option<u64> {
        self.0
    }

    /// Records the index of a response.
    ///
    /// 0 counts as 1, since a query with index 0 never waits. A missing index after an existing one counts as going
    /// backward.
    pub(super) fn advance(&mut self, answered: Option<u64>) -> IndexChange {
        let answered = answered.map(|index| index.max(1));
        // `None` is less than any index.
        if answered < self.0 {
            self.reset();
            IndexChange::Backward
        } else {
            self.0 = answered;
            IndexChange::Forward
        }
    }

    /// Forgets the index. After an error, the next query must return the whole state immediately.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_moves_forward_or_is_reset() {
        for (seen, answered, change, expected) in [
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
            assert_eq!((index.advance(answered), index.last_seen()), (change, expected), "{seen:?} then {answered:?}");
        }
    }

    proptest! {
        #[test]
        fn a_query_has_the_last_index_and_never_0(
            answers in prop::collection::vec(prop::option::of(0..20u64), 0..50),
        ) {
            let mut index = Index::default();
            for answered in answers {
                let before = index.last_seen();
                let change = index.advance(answered);
                prop_assert!(index.last_seen() != Some(0));
                prop_assert!(index.last_seen().is_none_or(|seen| Some(seen) == answered.map(|index| index.max(1))));
                prop_assert_eq!(change == IndexChange::Backward || answered.is_none(), index.last_seen().is_none());
                prop_assert!(change == IndexChange::Forward || before.is_some(), "a first response is accepted");
            }
        }
    }
}
