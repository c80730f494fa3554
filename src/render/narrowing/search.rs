//! A search for the changes that make a candidate fail, with few trials. Pure.
//!
//! ```text
//! all of them again --refused--> without those that the reason points at --refused--> without any
//!     | passes: it was not the candidate         | passes                                  | refused: not the answers
//!                                                v                                         v passes
//!                                    the shortest prefix that fails ends with a culprit; leave it out, and go on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::AnswerItem;

/// The maximum number of trials of one search. After that, all remaining suspects count as culprits.
const MAX_TRIALS: usize = 60;
/// The number of trials after which no more guesses are made.
const MAX_GUESSES: usize = 20;

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TrialOutcome {
    /// The candidate is accepted.
    Passed,
    /// It is rejected, for this reason.
    Refused(String),
    /// It cannot be made without these items.
    NeedsItems(BTreeSet<AnswerItem>),
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::render) enum SearchOutcome {
    /// Without these the candidate passes; each with the reason.
    Culprits(BTreeMap<AnswerItem, String>),
    /// The candidate passes as it is.
    Accepted,
    /// It fails for another reason than a change of the answers.
    OtherCause,
}

#[derive(Debug)]
pub(super) struct Search {
    /// In the order in which they are added.
    suspects: Vec<AnswerItem>,
    culprits: BTreeMap<AnswerItem, String>,
    step: SearchStep,
    /// `suspects[..low]` pass without the culprits; `suspects[..high]` are rejected.
    low: usize,
    high: usize,
    reason: String,
    trials: usize,
}

#[derive(Clone, Debug)]
enum SearchStep {
    All,
    /// All but these.
    Guess(BTreeSet<AnswerItem>),
    /// No suspect.
    Base,
    /// Up to the middle between `low` and `high`.
    Bisect,
    /// All but the culprits.
    Rest,
}

impl Search {
    pub(super) fn new(suspects: BTreeSet<AnswerItem>) -> Self {
        let suspects: Vec<_> = suspects.into_iter().collect();
        let high = suspects.len();
        Self {
            suspects,
            culprits: BTreeMap::new(),
            step: SearchStep::All,
            low: 0,
            high,
            reason: String::new(),
            trials: 0,
        }
    }

    /// The items to leave out of the next trial.
    pub(super) fn left_out(&self) -> BTreeSet<AnswerItem> {
        let from = match &self.step {
            SearchStep::All | SearchStep::Rest => self.suspects.len(),
            SearchStep::Guess(guess) => return guess.clone(),
            SearchStep::Base => 0,
            SearchStep::Bisect => self.middle(),
        };
        self.culprits.keys().chain(&self.suspects[from..]).cloned().collect()
    }

    /// Records the result of a trial. `guess` returns the items that a reason points at. Returns `None` if another
    /// trial is needed.
    pub(super) fn record_trial(
        &mut self,
        trial: TrialOutcome,
        guess: impl Fn(&str) -> BTreeSet<AnswerItem>,
    ) -> Option<SearchOutcome> {
        self.trials += 1;
        let passed = match trial {
            TrialOutcome::Passed => true,
            TrialOutcome::Refused(reason) => {
                self.reason = reason;
                false
            }
            TrialOutcome::NeedsItems(needed) => return self.drop_suspects(&needed),
        };
        match (self.step.clone(), passed) {
            (SearchStep::All, true) => return Some(SearchOutcome::Accepted),
            (SearchStep::Base, false) => return Some(SearchOutcome::OtherCause),
            (SearchStep::All, false) => self.guess(BTreeSet::new(), &guess),
            (SearchStep::Guess(tried), false) => self.guess(tried, &guess),
            (SearchStep::Guess(tried), true) => {
                let (rest, guessed): (Vec<_>, _) =
                    std::mem::take(&mut self.suspects).into_iter().partition(|item| !tried.contains(item));
                self.low = rest.len();
                self.suspects = rest.into_iter().chain(guessed).collect();
                self.step = SearchStep::Bisect;
            }
            (SearchStep::Base, true) if self.suspects.is_empty() => return Some(SearchOutcome::Accepted),
            (SearchStep::Base, true) => self.step = SearchStep::Bisect,
            (SearchStep::Bisect, true) => self.low = self.middle(),
            (SearchStep::Bisect, false) => self.high = self.middle(),
            (SearchStep::Rest, true) => return Some(SearchOutcome::Culprits(std::mem::take(&mut self.culprits))),
            (SearchStep::Rest, false) => self.step = SearchStep::Bisect,
        }
        self.add_culprit()
    }

    /// The number of suspects in the next trial: half way from `low`, which pass, to `high`, which fail.
    fn middle(&self) -> usize {
        self.low + (self.high - self.low) / 2
    }

    fn guess(&mut self, tried: BTreeSet<AnswerItem>, guess: impl Fn(&str) -> BTreeSet<AnswerItem>) {
        let mut more = guess(&self.reason);
        more.retain(|item| self.suspects.contains(item));
        more.extend(tried.iter().cloned());
        let grew = more.len() > tried.len() && self.trials < MAX_GUESSES;
        self.step = if grew && more.len() < self.suspects.len() { SearchStep::Guess(more) } else { SearchStep::Base };
    }

    /// Adds a culprit that was found.
    fn add_culprit(&mut self) -> Option<SearchOutcome> {
        if !matches!(self.step, SearchStep::Bisect) {
            return None;
        }
        if self.trials >= MAX_TRIALS {
            let rest = self.suspects.split_off(self.low);
            self.culprits.extend(rest.into_iter().map(|item| (item, self.reason.clone())));
        } else if self.high - self.low > 1 {
            return None;
        } else {
            self.culprits.insert(self.suspects.remove(self.low), self.reason.clone());
        }
        if self.low == self.suspects.len() {
            return Some(SearchOutcome::Culprits(std::mem::take(&mut self.culprits)));
        }
        self.high = self.suspects.len();
        self.step = SearchStep::Rest;
        None
    }

    /// Removes suspects that the templates need.
    fn drop_suspects(&mut self, needed: &BTreeSet<AnswerItem>) -> Option<SearchOutcome> {
        let before = self.suspects.len();
        self.suspects.retain(|item| !needed.contains(item));
        if self.suspects.len() == before || self.suspects.is_empty() {
            return Some(SearchOutcome::OtherCause);
        }
        // The bounds and culprits so far were found with these items as suspects.
        (self.low, self.high, self.step) = (0, self.suspects.len(), SearchStep::Base);
        self.culprits.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(number: usize) -> AnswerItem {
        AnswerItem::Key(format!("{number:04}"))
    }

    /// Runs a search in which `refused` decides whether the check rejects these items. Also returns the number of trials.
    fn run(count: usize, guess: &[usize], refused: impl Fn(&BTreeSet<AnswerItem>) -> bool) -> (SearchOutcome, usize) {
        let all: BTreeSet<_> = (0..count).map(item).collect();
        let mut search = Search::new(all.clone());
        for trials in 1.. {
            let items = all.difference(&search.left_out()).cloned().collect();
            let trial = if refused(&items) { TrialOutcome::Refused("no".into()) } else { TrialOutcome::Passed };
            if let Some(found) = search.record_trial(trial, |_| guess.iter().copied().map(item).collect()) {
                return (found, trials);
            }
        }
        unreachable!()
    }

    fn culprits(found: SearchOutcome) -> BTreeSet<AnswerItem> {
        match found {
            SearchOutcome::Culprits(culprits) => culprits.into_keys().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_of_many_takes_few_trials_and_a_good_guess_takes_fewer() {
        let bad = |items: &BTreeSet<AnswerItem>| items.contains(&item(700));
        let (found, trials) = run(1000, &[], bad);
        assert_eq!(culprits(found), [item(700)].into());
        assert!(trials <= 14, "{trials}");
        let (found, trials) = run(1000, &[700], bad);
        assert_eq!((culprits(found), trials), ([item(700)].into(), 2));
        let (found, trials) = run(1000, &[3], bad);
        assert_eq!(culprits(found), [item(700)].into());
        assert!(trials <= 15, "{trials}");
        assert_eq!(culprits(run(1, &[], |items| !items.is_empty()).0), [item(0)].into());
    }

    #[test]
    fn failure_without_a_change_of_answers_holds_no_item() {
        assert_eq!(run(8, &[], |_| true), (SearchOutcome::OtherCause, 2));
        assert_eq!(run(8, &[2], |_| true), (SearchOutcome::OtherCause, 3));
        assert_eq!(run(8, &[], |_| false), (SearchOutcome::Accepted, 1));
        assert_eq!(run(0, &[], |_| true).0, SearchOutcome::OtherCause);
    }

    #[test]
    fn one_of_two_conflicting_entries_is_held() {
        let both = |items: &BTreeSet<AnswerItem>| items.contains(&item(1)) && items.contains(&item(5));
        assert_eq!(culprits(run(9, &[], both).0), [item(5)].into());
    }

    #[test]
    fn a_key_that_the_template_needs_is_never_left_out() {
        let all: BTreeSet<_> = (0..6).map(item).collect();
        let mut search = Search::new(all.clone());
        let found = loop {
            let left_out = search.left_out();
            let trial = match () {
                () if left_out.contains(&item(2)) => TrialOutcome::NeedsItems([item(2)].into()),
                () if !left_out.contains(&item(4)) => TrialOutcome::Refused("no".into()),
                () => TrialOutcome::Passed,
            };
            if let Some(found) = search.record_trial(trial, |_| BTreeSet::new()) {
                break found;
            }
        };
        assert_eq!(culprits(found), [item(4)].into());
    }

    proptest! {
        #[test]
        fn all_culprits_are_found_and_nothing_else(
            count in 1_usize..40,
            bad in prop::collection::btree_set(0_usize..40, 1..5),
            guess in prop::collection::vec(0_usize..40, 0..4),
        ) {
            let bad: BTreeSet<_> = bad.into_iter().map(|number| item(number % count)).collect();
            let (found, _) = run(count, &guess, |items| items.iter().any(|item| bad.contains(item)));
            prop_assert_eq!(culprits(found), bad);
        }
    }
}
