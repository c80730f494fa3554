//! When a target takes the newest files. Until then it works on those that it took before, so that an owed reload is
//! tried again and a file that somebody else has changed is restored. Each target has its own pace: changes of other
//! targets do not delay it.

use std::{
    collections::BTreeSet,
    sync::Arc,
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
    /// Whether the waiting change may be taken one `interval` before `paid_until`.
    may_apply_early: bool,
    /// The newest files that were seen. A wake-up without a change of them is not a change.
    newest: Option<DesiredSnapshot>,
    /// The files that the target works on.
    current: Option<DesiredSnapshot>,
    /// Whether `taken` was taken for this pass.
    is_new: bool,
    /// The members that the files in effect were made with.
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
        self.is_new = self.earliest().is_none_or(|floor| floor <= now) && self.debounce.take(now);
        self.may_apply_early &= !self.is_new;
        self.newest = Some(newest.clone());
        match &self.current {
            Some(taken) if taken.complete && !self.is_new => taken.clone(),
            _ => self.current.insert(newest).clone(),
        }
    }

    /// Takes the newest files, without any wait.
    pub(super) fn choose_now(&mut self, newest: DesiredSnapshot, now: Instant) {
        self.debounce.cancel(now);
        (self.is_new, self.may_apply_early) = (true, false);
        self.newest = Some(newest.clone());
        self.current = Some(newest);
    }

    fn note_newest(&mut self, newest: &DesiredSnapshot, now: Instant) {
        match &self.current {
            _ if !newest.complete || self.newest.as_ref().is_some_and(|seen| is_same(seen, newest)) => {}
            Some(taken) if taken.complete && is_same(taken, newest) => {
                self.debounce.cancel(now);
                self.may_apply_early = false;
            }
            Some(taken) if taken.complete => {
                let urgency = self.urgency(newest);
                self.may_apply_early |= urgency == Urgency::Urgent || self.fills_empty_service(newest);
                self.debounce.change(now, urgency);
            }
            // The first complete files wait for nothing.
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
    pub(super) fn set_next_regular_reload(&mut self, paid: Option<Instant>) {
        self.next_regular_reload = paid;
    }

    /// Nothing new is taken before this time, not even a removal.
    fn earliest(&self) -> Option<Instant> {
        let credit = if self.may_apply_early { self.settings.interval } else { Duration::ZERO };
        self.next_regular_reload.and_then(|until| until.checked_sub(credit))
    }

    /// Whether a change has not been taken yet.
    pub(super) fn has_pending_change(&self, newest: &DesiredSnapshot) -> bool {
        self.debounce.due_at().is_some() || !self.newest.as_ref().is_some_and(|seen| is_same(seen, newest))
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
            // The program may have been reloaded. If the check refused the candidate it was not, but the next candidate
            // can wait as well.
            Err(_) => self.is_new,
        };
        if reloaded {
            self.debounce.note_applied(now);
        }
        let (Ok(ApplyOutcome::UpToDate | ApplyOutcome::Applied { .. }), Some(taken)) = (applied, &self.current) else {
            return MembershipChange::default();
        };
        let members = members(taken).cloned().collect();
        let before = std::mem::replace(&mut self.members, members);
        MembershipChange::between(&before, &self.members)
    }

    /// When the next pass is due. `next`: when it would be due without the change that waits here.
    pub(super) fn next(&self, next: NextPass, now: Instant) -> NextPass {
        let Some(due) = self.debounce.due_at() else { return next };
        let wait = self.earliest().map_or(due, |floor| floor.max(due)).saturating_duration_since(now);
        match next {
            NextPass::Idle => NextPass::After(wait),
            NextPass::After(other) => NextPass::After(wait.min(other)),
            NextPass::Retry => NextPass::Retry,
        }
    }

    /// A removal is urgent: requests to a member that is gone fail.
    fn urgency(&self, newest: &DesiredSnapshot) -> Urgency {
        let newest: BTreeSet<_> = members(newest).collect();
        if self.members.iter().all(|member| newest.contains(member)) {
            Urgency::Deferrable(jitter::up_to(self.settings.splay))
        } else {
            Urgency::Urgent
        }
    }

    /// Whether a service without instances gets one.
    fn fills_empty_service(&self, newest: &DesiredSnapshot) -> bool {
        let served: BTreeSet<_> = self.members.iter().map(|member| &member.service).collect();
        members(newest).any(|member| !served.contains(&member.service))
    }
}

fn members(wanted: &DesiredSnapshot) -> impl Iterator<Item = &Member> {
    wanted.entries.values().flat_map(|file| file.members())
}

fn is_same(one: &DesiredSnapshot, other: &DesiredSnapshot) -> bool {
    one.complete == other.complete && (Arc::ptr_eq(&one.entries, &other.entries) || one.entries == other.entries)
}
