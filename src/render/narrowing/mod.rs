//! Narrowing: if a candidate is refused because of a few entries, a candidate without them is made, so that one entry
//! cannot block a whole file.
//!
//! ```text
//! answers --[held items get their last good value, or are left out]--> templates ------> candidate --> target
//!                ^                                                                                       |
//!                +------- hold <-- search: which changes since the last accepted candidate? <-- refused --+
//! ```
//!
//! The target's check refuses a candidate, or the candidate cannot be made because a template fails with a value. A
//! held item is tried again when its answer changes, and after a time in any case: a host name may resolve then.
//!
//! If a candidate passes the check and is taken back after the reload, there is no search, since each trial would cost
//! two reloads: the items that the error names are held, otherwise half of the changed items; see [`taken_back`].

mod guess;
mod item;
mod search;
mod taken_back;
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::taken_back::TakenBack;
pub(super) use self::{item::Item, search::Found, trial::Trials};
use super::{Answers, book::Chapter};
use crate::{
    core::store::Store,
    registry::{Answer, Query},
    target::{Digest, Remedies},
};

/// How often Portreeve looks for files that were missing when an item was refused, and for another process.
const POLL: Duration = Duration::from_secs(1);
/// An item that was the cause twice in a short time is not tried before this time, even if its answer changes.
const LIFT_AFTER: Duration = Duration::from_secs(75);
/// How many candidates are remembered with their answers. The target may be several candidates behind the renderer.
const KNOWN: usize = 32;

/// When a held item is tried again.
#[derive(Clone, Copy, Debug)]
struct Retries {
    /// Doubles with each failure.
    first: Duration,
    /// The longest time between two attempts.
    last: Duration,
}

/// After a check, which does not affect the program.
const CHECKED: Retries = Retries { first: Duration::from_secs(15), last: Duration::from_secs(60) };
/// After a reload: each failed attempt costs two reloads.
const RELOADED: Retries = Retries { first: Duration::from_secs(30), last: Duration::from_secs(600) };

/// The state that the renderer and the worker of one target share. Clones share it.
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
    /// What may change the result although its answers stay the same.
    remedies: Remedies,
    /// Whether an earlier value replaces it.
    is_replaced: bool,
    retry_at: Instant,
    retry_after: Duration,
    /// Whether it is in the candidates again, as an attempt.
    is_tried: bool,
    /// Before this time, a change of its answer does not cause an attempt.
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
    /// The version of the templates to which the target is pinned.
    pinned: Option<Arc<Chapter>>,
    taken_back: TakenBack,
}

/// The input of a search for the causes of a refusal.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) templates: Arc<Chapter>,
    /// The answers of the last accepted candidate.
    pub(super) good: Answers,
    /// The answers of the refused candidate.
    pub(super) newest: Answers,
    /// Whether `templates` have made the last accepted candidate.
    pub(super) proven: bool,
}

/// The input from which a candidate was made.
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

    /// Wakes the listeners of `other` when something new is held. Must be called before this is cloned.
    pub(super) fn ring_with<K: Ord + Clone, V: PartialEq + Clone>(&mut self, other: &Store<K, V>) {
        self.holds = Store::beside(other);
    }

    /// The items of `newest` that are held, and when that may change without a change of answers.
    pub(super) fn held(&self, newest: &Answers, now: Instant) -> (BTreeSet<Item>, Option<Instant>) {
        let (mut held, mut next) = (BTreeSet::new(), None);
        for (item, hold) in self.holds.snapshot().entries.iter() {
            let is_same = |(query, refused): (&Query, &Arc<Answer>)| {
                newest.get(query).is_none_or(|answer| item::is_same(item, query, answer, refused))
            };
            if !hold.refused.iter().all(is_same) && hold.lift_at.is_none_or(|at| at <= now) {
                self.say(item, "has changed, and is tried again");
                self.holds.remove(item);
            } else if let Some(found) = hold.remedies.found() {
                self.say(item, &format!("is tried again: {found}"));
                self.holds.remove(item);
            } else if !hold.is_tried && now < hold.retry_at {
                held.insert(item.clone());
                let look_at = hold.lift_at.filter(|at| now < *at).unwrap_or(hold.retry_at).min(hold.retry_at);
                let look_at = if hold.remedies.is_empty() { look_at } else { look_at.min(now + POLL) };
                next = Some(next.map_or(look_at, |next: Instant| next.min(look_at)));
            } else if !hold.is_tried {
                self.holds.put(item.clone(), Held { is_tried: true, ..hold.clone() });
            }
        }
        (held, next)
    }

    /// `newest`, in which the items of `held` have their last good values or are left out.
    pub(super) fn put_back(&self, newest: &Answers, held: &BTreeSet<Item>) -> Answers {
        item::put_back(&self.state().good, newest, held)
    }

    /// The queries whose answers decide how long something is held.
    pub(super) fn queries(&self) -> BTreeSet<Query> {
        self.holds.snapshot().entries.values().flat_map(|hold| hold.refused.keys()).cloned().collect()
    }

    /// The held items and the reasons, in the words of the log.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.holds.snapshot().entries.iter().map(|(item, hold)| self.described(item, hold)).collect()
    }

    /// Notes that a candidate was made from these templates and answers, in which held items were put back. `is_pinned`:
    /// somebody went back to these templates. That other templates made a good candidate from an item says nothing about
    /// it then, and one bad entry must not keep anybody from going back: all items are suspects.
    pub(super) fn made(&self, files: Digest, templates: Arc<Chapter>, answers: Answers, is_pinned: bool) {
        let mut state = self.state();
        let pinned = is_pinned.then(|| Arc::clone(&templates));
        if pinned.is_some() && pinned != state.pinned && pinned != state.proven {
            let held = self.holds.snapshot().entries.keys().cloned().collect();
            state.good = item::only(&state.good, &held);
        }
        state.pinned = pinned;
        if state.accepted == Some(files) {
            (state.good, state.proven) = (answers.clone(), Some(Arc::clone(&templates)));
        }
        state.candidates.retain(|known| known.files != files);
        if state.candidates.len() == KNOWN {
            state.candidates.pop_front();
        }
        state.candidates.push_back(Origin { files, templates, answers });
    }

    /// Notes that the target has accepted a candidate.
    pub(super) fn accepted(&self, files: Digest) {
        let mut state = self.state();
        if state.accepted == Some(files) {
            return;
        }
        let Some(origin) = state.candidates.iter().find(|known| known.files == files).cloned() else { return };
        state.accepted = Some(files);
        if state.pinned.as_ref().is_none_or(|pinned| *pinned == origin.templates) {
            (state.good, state.proven) = (origin.answers.clone(), Some(Arc::clone(&origin.templates)));
        }
        state.taken_back.accepted();
        drop(state);
        for (item, hold) in self.holds.snapshot().entries.iter().filter(|(_, hold)| hold.is_tried) {
            let is_taken = |(query, refused): (&Query, &Arc<Answer>)| {
                origin.answers.get(query).is_some_and(|answer| item::is_same(item, query, answer, refused))
            };
            if hold.refused.iter().any(is_taken) {
                self.say(item, "is accepted now");
                self.holds.remove(item);
            }
        }
    }

    /// The input of a search for the causes of a refusal; `None` if the input of that candidate is not known any more.
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

    /// Holds the culprits from now on. `pid_file`: of the program that refused them.
    pub(super) fn hold(
        &self,
        culprits: BTreeMap<Item, String>,
        refused: &Answers,
        pid_file: Option<&Path>,
        now: Instant,
    ) {
        self.hold_until(culprits, refused, pid_file, now, CHECKED, |_| None);
    }

    fn hold_until(
        &self,
        culprits: BTreeMap<Item, String>,
        refused: &Answers,
        pid_file: Option<&Path>,
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
            let remedies = Remedies::of(pid_file, &reason);
            let hold = Held { reason, refused, remedies, is_replaced, retry_at, retry_after, is_tried: false, lift_at };
            if known.is_none() {
                let (target_name, service, instance) = (&self.target, item.service(), item.instance());
                let reason = hold.reason.trim();
                tracing::warn!(target_name, service, instance, reason, "{}", self.described(&item, &hold));
            }
            self.holds.put(item, hold);
        }
    }

    fn say(&self, item: &Item, what: &str) {
        let (target_name, service, instance) = (&self.target, item.service(), item.instance());
        tracing::info!(target_name, service, instance, "target {target_name}: {item} {what}");
    }

    fn described(&self, item: &Item, hold: &Held) -> String {
        let how = if hold.is_replaced { "keeps its last good values" } else { "is left out" };
        format!("target {}: {item} {how}: {}", self.target, hold.reason.trim())
    }

    /// Each change of the state is one assignment, so a panic leaves the state consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
