//! Narrowing: if a candidate is rejected because of a few entries, a candidate without them is made, so that one entry
//! cannot block a whole file.
//!
//! ```text
//! answers --[held items get their last good value, or are left out]--> templates ------> candidate --> target
//!                ^                                                                                       |
//!                +------- hold <-- search: which changes since the last accepted candidate? <-- rejected -+
//! ```
//!
//! A candidate is rejected by the target's check, or cannot be made because a template fails with a value. A held item
//! is tried again when its answer changes, and also after some time, because a host name may resolve by then.
//!
//! If a candidate passes the check and is rolled back after the reload, there is no search, since each trial would cost
//! two reloads: the items that the error names are held, otherwise half of the changed items; see [`rolled_back`].

mod guess;
mod item;
mod rolled_back;
mod search;
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::rolled_back::RolledBackItems;
pub(super) use self::{item::AnswerItem, search::SearchOutcome, trial::TrialRunner};
use super::{Answers, template_set::TargetTemplates};
use crate::{
    core::store::Store,
    registry::{Answer, Query},
    target::{Digest, RecoveryTriggers},
};

/// How often the recovery triggers of held items are checked: whether a missing file exists now, or another process
/// runs.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// An item that is held twice within four times this duration is not tried again for this duration, even if its answer
/// changes.
const MIN_HOLD_TIME: Duration = Duration::from_secs(75);
/// The number of candidates that are kept with their answers. The target may be several candidates behind the renderer.
const MAX_CANDIDATES: usize = 32;

/// When a held item is tried again.
#[derive(Clone, Copy, Debug)]
struct RetrySchedule {
    /// Doubles with each failure.
    first: Duration,
    /// The longest time between two attempts.
    last: Duration,
}

/// After a check, which does not affect the program.
const AFTER_CHECK: RetrySchedule = RetrySchedule { first: Duration::from_secs(15), last: Duration::from_secs(60) };
/// After a reload: each failed attempt costs two reloads.
const AFTER_RELOAD: RetrySchedule = RetrySchedule { first: Duration::from_secs(30), last: Duration::from_secs(600) };

/// The state that the renderer and the worker of one target share. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Narrowing {
    target: String,
    held: Store<AnswerItem, HeldItem>,
    state: Arc<Mutex<NarrowingState>>,
}

/// An item that is kept out of the candidates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HeldItem {
    /// Why it was rejected.
    reason: String,
    /// The answers with which it was rejected.
    refused: Answers,
    /// Events that may change the result although the answers stay the same.
    recovery_triggers: RecoveryTriggers,
    /// Whether an earlier value replaces it.
    is_replaced: bool,
    retry_at: Instant,
    retry_after: Duration,
    /// Whether it is in the candidates again, as an attempt.
    is_retrying: bool,
    /// Before this time, a change of its answer does not cause an attempt.
    earliest_retry_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct NarrowingState {
    /// The newest last.
    candidates: VecDeque<CandidateInput>,
    accepted: Option<Digest>,
    /// The answers of the last accepted candidate.
    last_good: Answers,
    /// The templates of the last accepted candidate.
    proven_templates: Option<Arc<TargetTemplates>>,
    /// The version of the templates to which the target is pinned.
    pinned_templates: Option<Arc<TargetTemplates>>,
    rolled_back: RolledBackItems,
}

/// The input of a search for the causes of a rejection.
#[derive(Debug)]
pub(super) struct SearchInput {
    pub(super) templates: Arc<TargetTemplates>,
    /// The answers of the last accepted candidate.
    pub(super) last_good: Answers,
    /// The answers of the rejected candidate.
    pub(super) newest: Answers,
    /// Whether `templates` have made the last accepted candidate.
    pub(super) is_proven: bool,
}

/// The input from which a candidate was made.
#[derive(Clone, Debug)]
struct CandidateInput {
    files: Digest,
    templates: Arc<TargetTemplates>,
    answers: Answers,
}

impl Narrowing {
    pub(super) fn new(target: String) -> Self {
        Self { target, held: Store::default(), state: Arc::default() }
    }

    /// Shares the bell of `other`, so that its listeners wake when an item is held. Must be called before this is
    /// cloned.
    pub(super) fn share_bell<K: Ord + Clone, V: PartialEq + Clone>(&mut self, other: &Store<K, V>) {
        self.held = Store::with_bell_of(other);
    }

    /// The items of `newest` that are held, and when that may change without a change of answers.
    pub(super) fn held_items(&self, newest: &Answers, now: Instant) -> (BTreeSet<AnswerItem>, Option<Instant>) {
        let (mut held, mut next) = (BTreeSet::new(), None);
        for (item, hold) in self.held.snapshot().entries.iter() {
            let is_same = |(query, refused): (&Query, &Arc<Answer>)| {
                newest.get(query).is_none_or(|answer| item::has_same_content(item, query, answer, refused))
            };
            if !hold.refused.iter().all(is_same) && hold.earliest_retry_at.is_none_or(|at| at <= now) {
                self.log_item(item, "has changed, and is tried again");
                self.held.remove(item);
            } else if let Some(found) = hold.recovery_triggers.triggered_by() {
                self.log_item(item, &format!("is tried again: {found}"));
                self.held.remove(item);
            } else if !hold.is_retrying && now < hold.retry_at {
                held.insert(item.clone());
                let check_at =
                    hold.earliest_retry_at.filter(|at| now < *at).unwrap_or(hold.retry_at).min(hold.retry_at);
                let check_at =
                    if hold.recovery_triggers.is_empty() { check_at } else { check_at.min(now + POLL_INTERVAL) };
                next = Some(next.map_or(check_at, |next: Instant| next.min(check_at)));
            } else if !hold.is_retrying {
                self.held.put(item.clone(), HeldItem { is_retrying: true, ..hold.clone() });
            }
        }
        (held, next)
    }

    /// `newest`, in which the items of `held` have their last good values or are left out.
    pub(super) fn restore_held(&self, newest: &Answers, held: &BTreeSet<AnswerItem>) -> Answers {
        item::restore_items(&self.state().last_good, newest, held)
    }

    /// The queries whose answers decide how long an item is held.
    pub(super) fn held_queries(&self) -> BTreeSet<Query> {
        self.held.snapshot().entries.values().flat_map(|hold| hold.refused.keys()).cloned().collect()
    }

    /// The held items and the reasons, in the words of the log.
    pub(super) fn hold_reasons(&self) -> Vec<String> {
        self.held.snapshot().entries.iter().map(|(item, hold)| self.describe(item, hold)).collect()
    }

    /// Records that a candidate was made from these templates and answers, in which held items are restored.
    /// `is_pinned`: the target is pinned to these templates. Then items that only other templates have proven are
    /// suspects again, so that one bad entry cannot prevent a rollback.
    pub(super) fn record_candidate(
        &self,
        files: Digest,
        templates: Arc<TargetTemplates>,
        answers: Answers,
        is_pinned: bool,
    ) {
        let mut state = self.state();
        let pinned = is_pinned.then(|| Arc::clone(&templates));
        if pinned.is_some() && pinned != state.pinned_templates && pinned != state.proven_templates {
            let held = self.held.snapshot().entries.keys().cloned().collect();
            state.last_good = item::only_items(&state.last_good, &held);
        }
        state.pinned_templates = pinned;
        if state.accepted == Some(files) {
            (state.last_good, state.proven_templates) = (answers.clone(), Some(Arc::clone(&templates)));
        }
        state.candidates.retain(|known| known.files != files);
        if state.candidates.len() == MAX_CANDIDATES {
            state.candidates.pop_front();
        }
        state.candidates.push_back(CandidateInput { files, templates, answers });
    }

    /// Records that the target has accepted a candidate.
    pub(super) fn record_accepted(&self, files: Digest) {
        let mut state = self.state();
        if state.accepted == Some(files) {
            return;
        }
        let Some(origin) = state.candidates.iter().find(|known| known.files == files).cloned() else { return };
        state.accepted = Some(files);
        if state.pinned_templates.as_ref().is_none_or(|pinned| *pinned == origin.templates) {
            (state.last_good, state.proven_templates) = (origin.answers.clone(), Some(Arc::clone(&origin.templates)));
        }
        state.rolled_back.accepted();
        drop(state);
        for (item, hold) in self.held.snapshot().entries.iter().filter(|(_, hold)| hold.is_retrying) {
            let is_taken = |(query, refused): (&Query, &Arc<Answer>)| {
                origin.answers.get(query).is_some_and(|answer| item::has_same_content(item, query, answer, refused))
            };
            if hold.refused.iter().any(is_taken) {
                self.log_item(item, "is accepted now");
                self.held.remove(item);
            }
        }
    }

    /// The input of a search for the causes of a rejection; `None` if that candidate is no longer known.
    pub(super) fn search_input(&self, files: Digest) -> Option<SearchInput> {
        let state = self.state();
        let CandidateInput { templates, answers, .. } =
            state.candidates.iter().find(|known| known.files == files)?.clone();
        let proven = state.proven_templates.as_ref() == Some(&templates);
        Some(SearchInput { templates, last_good: state.last_good.clone(), newest: answers, is_proven: proven })
    }

    /// Whether these templates have made the last accepted candidate.
    pub(super) fn is_proven(&self, templates: &Arc<TargetTemplates>) -> bool {
        self.state().proven_templates.as_ref() == Some(templates)
    }

    /// The answers of the last accepted candidate.
    pub(super) fn last_good_answers(&self) -> Answers {
        self.state().last_good.clone()
    }

    /// Holds the culprits from now on. `pid_file` is that of the program whose check rejected them.
    pub(super) fn hold(
        &self,
        culprits: BTreeMap<AnswerItem, String>,
        refused: &Answers,
        pid_file: Option<&Path>,
        now: Instant,
    ) {
        self.hold_until(culprits, refused, pid_file, now, AFTER_CHECK, |_| None);
    }

    fn hold_until(
        &self,
        culprits: BTreeMap<AnswerItem, String>,
        refused: &Answers,
        pid_file: Option<&Path>,
        now: Instant,
        retries: RetrySchedule,
        earliest_retry_at: impl Fn(&AnswerItem) -> Option<Instant>,
    ) {
        let before = self.held.snapshot().entries;
        let good = self.last_good_answers();
        for (item, reason) in culprits {
            let known = before.get(&item);
            let retry_after = known.map_or(retries.first, |known| (known.retry_after * 2).min(retries.last));
            let is_replaced = !item::is_absent(&item, &good);
            let refused = item::occurrences(&item, refused);
            let retry_at = now + retry_after;
            let earliest_retry_at = earliest_retry_at(&item);
            let recovery_triggers = RecoveryTriggers::from_error(pid_file, &reason);
            let hold = HeldItem {
                reason,
                refused,
                recovery_triggers,
                is_replaced,
                retry_at,
                retry_after,
                is_retrying: false,
                earliest_retry_at,
            };
            if known.is_none() {
                let (target_name, service, instance) = (&self.target, item.service(), item.instance());
                let reason = hold.reason.trim();
                tracing::warn!(target_name, service, instance, reason, "{}", self.describe(&item, &hold));
            }
            self.held.put(item, hold);
        }
    }

    fn log_item(&self, item: &AnswerItem, what: &str) {
        let (target_name, service, instance) = (&self.target, item.service(), item.instance());
        tracing::info!(target_name, service, instance, "target {target_name}: {item} {what}");
    }

    fn describe(&self, item: &AnswerItem, hold: &HeldItem) -> String {
        let how = if hold.is_replaced { "keeps its last good values" } else { "is left out" };
        format!("target {}: {item} {how}: {}", self.target, hold.reason.trim())
    }

    /// Each change of the state is one assignment, so a panic leaves the state consistent.
    fn state(&self) -> MutexGuard<'_, NarrowingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
