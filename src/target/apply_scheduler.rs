//! Decides when a target switches to the newest desired files. Until then its passes work on the current ones, so that
//! a pending reload is retried and a file that another program has changed is restored. Each target has its own
//! scheduler: changes of other targets do not delay it.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    ApplyError, ApplyOutcome, Effect, Member, desired_file::DesiredSnapshot, membership_change::MembershipChange,
};
use crate::core::{
    debounce::{Debounce, Settings, Urgency},
    jitter,
    reconcile::NextPass,
};

#[derive(Debug)]
pub(super) struct ApplyScheduler {
    settings: Settings,
    debounce: Debounce,
    /// When one `interval` has passed for each reload of the program so far.
    next_regular_reload: Option<Instant>,
    /// Whether the pending change may be applied one `interval` before `next_regular_reload`.
    may_apply_early: bool,
    /// The newest desired files so far. A wake-up that does not change them is not a change.
    newest: Option<DesiredSnapshot>,
    /// The files that the target works on.
    current: Option<DesiredSnapshot>,
    /// Whether `current` was chosen in this pass.
    is_new: bool,
    /// The members of the files in effect.
    members: BTreeSet<Member>,
}

impl ApplyScheduler {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            debounce: Debounce::new(settings),
            next_regular_reload: None,
            may_apply_early: false,
            newest: None,
            current: None,
            is_new: false,
            members: BTreeSet::new(),
        }
    }

    /// The files that a pass works on.
    pub(super) fn choose(&mut self, newest: DesiredSnapshot, now: Instant) -> DesiredSnapshot {
        self.note_newest(&newest, now);
        self.is_new = self.earliest().is_none_or(|earliest| earliest <= now) && self.debounce.take(now);
        self.may_apply_early &= !self.is_new;
        self.newest = Some(newest.clone());
        match &self.current {
            Some(current) if current.complete && !self.is_new => current.clone(),
            _ => self.current.insert(newest).clone(),
        }
    }

    /// Switches to the newest files without delay.
    pub(super) fn choose_now(&mut self, newest: DesiredSnapshot, now: Instant) {
        self.debounce.cancel(now);
        (self.is_new, self.may_apply_early) = (true, false);
        self.newest = Some(newest.clone());
        self.current = Some(newest);
    }

    fn note_newest(&mut self, newest: &DesiredSnapshot, now: Instant) {
        match &self.current {
            _ if !newest.complete || self.newest.as_ref().is_some_and(|known| known.is_same(newest)) => {}
            Some(current) if current.complete && current.is_same(newest) => {
                self.debounce.cancel(now);
                self.may_apply_early = false;
            }
            Some(current) if current.complete => {
                let urgency = self.urgency(newest);
                self.may_apply_early |= urgency == Urgency::Urgent || self.fills_empty_service(newest);
                self.debounce.change(now, urgency);
            }
            // The first complete files are applied without delay.
            _ => {
                self.may_apply_early = true;
                self.debounce.change(now, Urgency::Urgent);
            }
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// Sets when one `interval` has passed for each reload of the program so far.
    pub(super) fn set_next_regular_reload(&mut self, at: Option<Instant>) {
        self.next_regular_reload = at;
    }

    /// No new files are chosen before this time, not even for a removal.
    fn earliest(&self) -> Option<Instant> {
        let advance = if self.may_apply_early { self.settings.interval } else { Duration::ZERO };
        self.next_regular_reload.and_then(|at| at.checked_sub(advance))
    }

    /// Whether a change waits to be applied.
    pub(super) fn has_pending_change(&self, newest: &DesiredSnapshot) -> bool {
        self.debounce.due_at().is_some() || !self.newest.as_ref().is_some_and(|known| known.is_same(newest))
    }

    /// Records the result of a pass. Returns which instances were added to the files in effect, and which were removed.
    pub(super) fn record_outcome(
        &mut self,
        applied: &Result<ApplyOutcome, ApplyError>,
        now: Instant,
    ) -> MembershipChange {
        let reloaded = match applied {
            Ok(
                ApplyOutcome::Incomplete
                | ApplyOutcome::UpToDate
                | ApplyOutcome::Applied { effect: Effect::NotRunning(_), .. },
            ) => false,
            Ok(ApplyOutcome::Applied { .. }) => true,
            // The program may have been reloaded. If the check rejected the candidate, it was not, but the next
            // candidate can still wait.
            Err(_) => self.is_new,
        };
        if reloaded {
            self.debounce.note_applied(now);
        }
        let (Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }), Some(current)) = (applied, &self.current)
        else {
            return MembershipChange::default();
        };
        let members = current.members().cloned().collect();
        let before = std::mem::replace(&mut self.members, members);
        MembershipChange::between(&before, &self.members)
    }

    /// When the next pass is due. `next`: when it would be due without the pending change.
    pub(super) fn next(&self, next: NextPass, now: Instant) -> NextPass {
        let Some(due) = self.debounce.due_at() else { return next };
        let wait = self.earliest().map_or(due, |earliest| earliest.max(due)).saturating_duration_since(now);
        match next {
            NextPass::Idle => NextPass::After(wait),
            NextPass::After(other) => NextPass::After(wait.min(other)),
            NextPass::Retry => NextPass::Retry,
        }
    }

    /// A removal is urgent: requests to a removed member fail.
    fn urgency(&self, newest: &DesiredSnapshot) -> Urgency {
        let newest: BTreeSet<_> = newest.members().collect();
        if self.members.iter().all(|member| newest.contains(member)) {
            Urgency::Deferrable(jitter::up_to(self.settings.splay))
        } else {
            Urgency::Urgent
        }
    }

    /// Whether a service that had no instance gets one.
    fn fills_empty_service(&self, newest: &DesiredSnapshot) -> bool {
        let served: BTreeSet<_> = self.members.iter().map(|member| &member.service).collect();
        newest.members().any(|member| !served.contains(&member.service))
    }
}
