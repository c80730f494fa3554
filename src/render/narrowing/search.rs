//! A search for the changes that make a candidate fail, with few trials. Pure.
//!
//! ```text
//! all of them again --refused--> without those that the reason points at --refused--> without any
//!     | passes: it was not the candidate         | passes                                  | refused: not the answers
//!                                                v                                         v passes
//!                                    the shortest prefix that fails ends with a culprit; leave it out, and go on
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::Item;

/// The most trials of one search. After that, all remaining suspects count as culprits.
const TRIALS: usize = 60;
/// The most trials that may be spent on guesses.
const GUESSES: usize = 20;

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// The candidate is accepted.
    Passed,
    /// It is refused, and why.
    Refused(String),
    /// It cannot be made without these items.
    Needs(BTreeSet<Item>),
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::render) enum Found {
    /// Without these the candidate passes; each with the reason.
    Culprits(BTreeMap<Item, String>),
    /// The candidate passes as it is.
    Nothing,
    /// It fails for another reason than a change of the answers.
    NotTheAnswers,
}

#[derive(Debug)]
pub(super) struct Search {
    /// In the order in which they are added.
    suspects: Vec<Item>,
    culprits: BTreeMap<Item, String>,
    step: Step,
    /// `suspects[..low]` pass without the culprits; `suspects[..high]` are refused.
    low: usize,
    high: usize,
    reason: String,
    trials: usize,
}

#[derive(Clone, Debug)]
enum Step {
    All,
    /// All without these.
    Guess(BTreeSet<Item>),
    /// None.
    Base,
    /// Up to the middle between `low` and `high`.
    Half,
    /// All but the culprits.
    Rest,
}

impl Search {
    pub(super) fn new(suspects: BTreeSet<Item>) -> Self {
        let suspects: Vec<_> = suspects.into_iter().collect();
        let high = suspects.len();
        Self { suspects, culprits: BTreeMap::new(), step: Step::All, low: 0, high, reason: String::new(), trials: 0 }
    }

    /// The items to leave out of the next trial.
    pub(super) fn left_out(&self) -> BTreeSet<Item> {
        let from = match &self.step {
            Step::All | Step::Rest => self.suspects.len(),
            Step::Guess(guess) => return guess.clone(),
            Step::Base => 0,
            Step::Half => self.middle(),
        };
        self.culprits.keys().chain(&self.suspects[from..]).cloned().collect()
    }

    /// Takes the result of a trial. `guess` returns the items that a reason points at. `None` if another trial is
    /// needed.
    pub(super) fn note(&mut self, trial: Trial, guess: impl Fn(&str) -> BTreeSet<Item>) -> Option<Found> {
        self.trials += 1;
        let passed = match trial {
            Trial::Passed => true,
            Trial::Refused(reason) => {
                self.reason = reason;
                false
            }
            Trial::Needs(needed) => return self.without(&needed),
        };
        match (self.step.clone(), passed) {
            (Step::All, true) => return Some(Found::Nothing),
            (Step::Base, false) => return Some(Found::NotTheAnswers),
            (Step::All, false) => self.guess(BTreeSet::new(), &guess),
            (Step::Guess(tried), false) => self.guess(tried, &guess),
            (Step::Guess(tried), true) => {
                let (rest, guessed): (Vec<_>, _) =
                    std::mem::take(&mut self.suspects).into_iter().partition(|item| !tried.contains(item));
                self.low = rest.len();
                self.suspects = rest.into_iter().chain(guessed).collect();
                self.step = Step::Half;
            }
            (Step::Base, true) if self.suspects.is_empty() => return Some(Found::Nothing),
            (Step::Base, true) => self.step = Step::Half,
            (Step::Half, true) => self.low = self.middle(),
            (Step::Half, false) => self.high = self.middle(),
            (Step::Rest, true) => return Some(Found::Culprits(std::mem::take(&mut self.culprits))),
            (Step::Rest, false) => self.step = Step::Half,
        }
        self.conclude()
    }

    /// The middle, so that a single suspect is never tried alone: it is known to fail.
    fn middle(&self) -> usize {
        self.low + (self.high - self.low) / 2
    }

    fn guess(&mut self, tried: BTreeSet<Item>, guess: impl Fn(&str) -> BTreeSet<Item>) {
        let mut more = guess(&self.reason);
        more.retain(|item| self.suspects.contains(item));
        more.extend(tried.iter().cloned());
        let grew = more.len() > tried.len() && self.trials < GUESSES;
        self.step = if grew && more.len() < self.suspects.len() { Step::Guess(more) } else { Step::Base };
    }

    /// Adds a culprit that was found.
    fn conclude(&mut self) -> Option<Found> {
        if !matches!(self.step, Step::Half) {
            return None;
        }
        if self.trials >= TRIALS {
            let rest = self.suspects.split_off(self.low);
            self.culprits.extend(rest.into_iter().map(|item| (item, self.reason.clone())));
        } else if self.high - self.low > 1 {
            return None;
        } else {
            self.culprits.insert(self.suspects.remove(self.low), self.reason.clone());
        }
        if self.low == self.suspects.len() {
            return Some(Found::Culprits(std::mem::take(&mut self.culprits)));
        }
        self.high = self.suspects.len();
        self.step = Step::Rest;
        None
    }

    /// Templates need these items, so they are no suspects.
    fn without(&mut self, needed: &BTreeSet<Item>) -> Option<Found> {
        let before = self.suspects.len();
        self.suspects.retain(|item| !needed.contains(item));
        if self.suspects.len() == before || self.suspects.is_empty() {
            return Some(Found::NotTheAnswers);
        }
        // The bounds and culprits so far were found with these items as suspects.
        (self.low, self.high, self.step) = (0, self.suspects.len(), Step::Base);
        self.culprits.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(number: usize) -> Item {
        Item::Key(format!("{number:04}"))
    }

    /// Runs a search in which `refused` says what is refused of what is let through; with the number of trials.
    fn run(count: usize, guess: &[usize], refused: impl Fn(&BTreeSet<Item>) -> bool) -> (Found, usize) {
        let all: BTreeSet<_> = (0..count).map(item).collect();
        let mut search = Search::new(all.clone());
        for trials in 1.. {
            let through = all.difference(&search.left_out()).cloned().collect();
            let trial = if refused(&through) { Trial::Refused("no".into()) } else { Trial::Passed };
            if let Some(found) = search.note(trial, |_| guess.iter().copied().map(item).collect()) {
                return (found, trials);
            }
        }
        unreachable!()
    }

    fn culprits(found: Found) -> BTreeSet<Item> {
        match found {
            Found::Culprits(culprits) => culprits.into_keys().collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_of_many_takes_few_trials_and_a_good_guess_takes_fewer() {
        let bad = |through: &BTreeSet<Item>| through.contains(&item(700));
        let (found, trials) = run(1000, &[], bad);
        assert_eq!(culprits(found), [item(700)].into());
        assert!(trials <= 14, "{trials}");
        let (found, trials) = run(1000, &[700], bad);
        assert_eq!((culprits(found), trials), ([item(700)].into(), 2));
        let (found, trials) = run(1000, &[3], bad);
        assert_eq!(culprits(found), [item(700)].into());
        assert!(trials <= 15, "{trials}");
        assert_eq!(culprits(run(1, &[], |through| !through.is_empty()).0), [item(0)].into());
    }

    #[test]
    fn what_the_answers_do_not_cause_is_not_laid_on_them() {
        assert_eq!(run(8, &[], |_| true), (Found::NotTheAnswers, 2));
        assert_eq!(run(8, &[2], |_| true), (Found::NotTheAnswers, 3));
        assert_eq!(run(8, &[], |_| false), (Found::Nothing, 1));
        assert_eq!(run(0, &[], |_| true).0, Found::NotTheAnswers);
    }

    #[test]
    fn of_two_that_exclude_each_other_one_is_held() {
        let both = |through: &BTreeSet<Item>| through.contains(&item(1)) && through.contains(&item(5));
        assert_eq!(culprits(run(9, &[], both).0), [item(5)].into());
    }

    #[test]
    fn a_key_that_the_template_needs_is_never_left_out() {
        let all: BTreeSet<_> = (0..6).map(item).collect();
        let mut search = Search::new(all.clone());
        let found = loop {
            let left_out = search.left_out();
            let trial = match () {
                () if left_out.contains(&item(2)) => Trial::Needs([item(2)].into()),
                () if !left_out.contains(&item(4)) => Trial::Refused("no".into()),
                () => Trial::Passed,
            };
            if let Some(found) = search.note(trial, |_| BTreeSet::new()) {
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
            let (found, _) = run(count, &guess, |through| through.iter().any(|item| bad.contains(item)));
            prop_assert_eq!(culprits(found), bad);
        }
    }
}
