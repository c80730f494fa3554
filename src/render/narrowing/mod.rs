//! Narrowing: a candidate that is refused because of a few answers is made without them, so that one entry cannot hold up
//! a whole file.
//!
//! ```text
//! answers --[what is held is put back to its last good value, or left out]--> templates --> candidate --> target
//!                ^                                                                                          |
//!                +--------- hold <-- search: which changes since the last accepted candidate? <-- refused --+
//! ```
//!
//! A candidate is refused by the target's check, or not made at all because a value does not fit its template. What is
//! held is tried again when its answer changes, and after a while in any case: a name may resolve by then.
//!
//! A candidate that passes the check and is taken back after the reload is not searched, since each trial would cost two
//! reloads: what the error points at is held, else half of what has changed; see [`taken_back`].

mod guess;
mod item;
mod search;
mod taken_back;
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::taken_back::TakenBack;
pub(super) use self::{item::Item, search::Found, trial::Trials};
use super::{Answers, book::Chapter};
use crate::{
    registry::{Answer, Query},
    store::Store,
    target::{Digest, missing_files},
};

/// How often it is looked for files that were missing when something was refused.
const POLL: Duration = Duration::from_secs(1);
/// What was taken back again soon after an earlier time is not tried before that, whatever it says by then.
const LIFT_AFTER: Duration = Duration::from_secs(75);
/// How many candidates are known by their answers. The target may be some behind the renderer.
const KNOWN: usize = 32;

/// How soon what is held is tried again.
#[derive(Clone, Copy, Debug)]
struct Retries {
    /// Doubles with each failure.
    first: Duration,
    /// The longest time between two.
    last: Duration,
}

/// After a check, which costs the program nothing.
const CHECKED: Retries = Retries { first: Duration::from_secs(15), last: Duration::from_secs(60) };
/// After a reload: each attempt that fails costs two.
const RELOADED: Retries = Retries { first: Duration::from_secs(30), last: Duration::from_secs(600) };

/// What the renderer and the worker of one target share. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Narrowing {
    target: String,
    holds: Store<Item, Held>,
    state: Arc<Mutex<State>>,
}

/// An item that is kept out of the candidates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// Why it was refused.
    reason: String,
    /// The answers with which it was refused.
    refused: Answers,
    /// Files that the reason names and that were not there.
    missing: Vec<PathBuf>,
    /// Whether an earlier value stands in for it.
    is_replaced: bool,
    retry_at: Instant,
    retry_after: Duration,
    /// It is let through to see whether it is taken by now.
    is_tried: bool,
    /// A change of its answer does not let it through before that.
    lift_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest last.
    candidates: VecDeque<Origin>,
    accepted: Option<Digest>,
    /// The answers of the last accepted candidate.
    good: Answers,
    /// The templates of the last accepted candidate.
    proven: Option<Arc<Chapter>>,
    taken_back: TakenBack,
}

/// What a search for the causes of a refusal is made with.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) templates: Arc<Chapter>,
    /// The answers of the last accepted candidate.
    pub(super) good: Answers,
    /// Those of the refused one.
    pub(super) newest: Answers,
    /// Whether `templates` have made the last accepted candidate.
    pub(super) proven: bool,
}

/// What a candidate was made from.
#[derive(Clone, Debug)]
struct Origin {
    files: Digest,
    templates: Arc<Chapter>,
    answers: Answers,
}

impl Narrowing {
    pub(super) fn new(target: String) -> Self {
        Self { target, holds: Store::default(), state: Arc::default() }
    }

    /// Whoever listens to `other` hears when something new is held. Before it is cloned.
    pub(super) fn ring_with<K: Ord + Clone, V: PartialEq + Clone>(&mut self, other: &Store<K, V>) {
        self.holds = Store::beside(other);
    }

    /// What is to be put back in `newest`, and when that may change without a change of answers.
    pub(super) fn held(&self, newest: &Answers, now: Instant) -> (BTreeSet<Item>, Option<Instant>) {
        let (mut held, mut next) = (BTreeSet::new(), None);
        for (item, hold) in self.holds.snapshot().entries.iter() {
            let is_same = |(query, refused): (&Query, &Arc<Answer>)| {
                newest.get(query).is_none_or(|answer| item::is_same(item, query, answer, refused))
            };
            if !hold.refused.iter().all(is_same) && hold.lift_at.is_none_or(|at| at <= now) {
                tracing::info!("target {}: {item} has changed, and is tried again", self.target);
                self.holds.remove(item);
            } else if let Some(file) = hold.missing.iter().find(|file| file.exists()) {
                let file = file.display();
                tracing::info!("target {}: {file} is there by now, and {item} is tried again", self.target);
                self.holds.remove(item);
            } else if !hold.is_tried && now < hold.retry_at {
                held.insert(item.clone());
                let look_at = hold.lift_at.filter(|at| now < *at).unwrap_or(hold.retry_at).min(hold.retry_at);
                let look_at = if hold.missing.is_empty() { look_at } else { look_at.min(now + POLL) };
                next = Some(next.map_or(look_at, |next: Instant| next.min(look_at)));
            } else if !hold.is_tried {
                self.holds.put(item.clone(), Held { is_tried: true, ..hold.clone() });
            }
        }
        (held, next)
    }

    /// `newest` with `held` put back.
    pub(super) fn put_back(&self, newest: &Answers, held: &BTreeSet<Item>) -> Answers {
        item::put_back(&self.state().good, newest, held)
    }

    /// The queries whose answers decide how long something is held.
    pub(super) fn queries(&self) -> BTreeSet<Query> {
        self.holds.snapshot().entries.values().flat_map(|hold| hold.refused.keys()).cloned().collect()
    }

    /// What is held, and why, in the words of the log.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.holds.snapshot().entries.iter().map(|(item, hold)| self.described(item, hold)).collect()
    }

    /// A candidate was made from these templates and answers, in which what is held was put back.
    pub(super) fn made(&self, files: Digest, templates: Arc<Chapter>, answers: Answers) {
        let mut state = self.state();
        if state.accepted == Some(files) {
            (state.good, state.proven) = (answers.clone(), Some(Arc::clone(&templates)));
        }
        state.candidates.retain(|known| known.files != files);
        if state.candidates.len() == KNOWN {
            state.candidates.pop_front();
        }
        state.candidates.push_back(Origin { files, templates, answers });
    }

    /// The target has taken a candidate.
    pub(super) fn accepted(&self, files: Digest) {
        let mut state = self.state();
        if state.accepted == Some(files) {
            return;
        }
        let Some(origin) = state.candidates.iter().find(|known| known.files == files).cloned() else { return };
        (state.accepted, state.good) = (Some(files), origin.answers.clone());
        state.proven = Some(Arc::clone(&origin.templates));
        state.taken_back.accepted();
        drop(state);
        for (item, hold) in self.holds.snapshot().entries.iter().filter(|(_, hold)| hold.is_tried) {
            let is_taken = |(query, refused): (&Query, &Arc<Answer>)| {
                origin.answers.get(query).is_some_and(|answer| item::is_same(item, query, answer, refused))
            };
            if hold.refused.iter().any(is_taken) {
                tracing::info!("target {}: {item} is taken by now", self.target);
                self.holds.remove(item);
            }
        }
    }

    /// What a search for the causes of a refusal is made with. `None`: nobody knows what that candidate was made from.
    pub(super) fn search(&self, files: Digest) -> Option<Question> {
        let state = self.state();
        let Origin { templates, answers, .. } = state.candidates.iter().find(|known| known.files == files)?.clone();
        let proven = state.proven.as_ref() == Some(&templates);
        Some(Question { templates, good: state.good.clone(), newest: answers, proven })
    }

    /// Whether these templates have made the last accepted candidate.
    pub(super) fn is_proven(&self, templates: &Arc<Chapter>) -> bool {
        self.state().proven.as_ref() == Some(templates)
    }

    /// The answers of the last accepted candidate.
    pub(super) fn good(&self) -> Answers {
        self.state().good.clone()
    }

    /// Keeps the culprits out from now on.
    pub(super) fn hold(&self, culprits: BTreeMap<Item, String>, refused: &Answers, now: Instant) {
        self.hold_until(culprits, refused, now, CHECKED, |_| None);
    }

    fn hold_until(
        &self,
        culprits: BTreeMap<Item, String>,
        refused: &Answers,
        now: Instant,
        retries: Retries,
        lift_at: impl Fn(&Item) -> Option<Instant>,
    ) {
        let before = self.holds.snapshot().entries;
        let good = self.good();
        for (item, reason) in culprits {
            let known = before.get(&item);
            let retry_after = known.map_or(retries.first, |known| (known.retry_after * 2).min(retries.last));
            let is_replaced = !item::absent(&item, &good);
            let refused = item::occurrences(&item, refused);
            let retry_at = now + retry_after;
            let lift_at = lift_at(&item);
            let missing = missing_files(&reason);
            let hold = Held { reason, refused, missing, is_replaced, retry_at, retry_after, is_tried: false, lift_at };
            if known.is_none() {
                tracing::warn!("{}", self.described(&item, &hold));
            }
            self.holds.put(item, hold);
        }
    }

    fn described(&self, item: &Item, hold: &Held) -> String {
        let how = if hold.is_replaced { "keeps its last good values" } else { "is left out" };
        format!("target {}: {item} {how}: {}", self.target, hold.reason.trim())
    }

    /// Each change of the state is one assignment, so a panic leaves none half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
