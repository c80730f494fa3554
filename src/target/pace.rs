//! When a target takes the newest files. Until then it works on those that it took before, so that an owed reload is
//! tried again and a file that somebody else has changed is restored. Each target has its own pace: changes of other
//! targets do not delay it.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Applied, ApplyError, Effect,
    members::{self, Membership},
    rendered::Wanted,
};
use crate::core::{
    debounce::{Debounce, Settings, Urgency},
    jitter,
    reconcile::Next,
};

#[derive(Debug)]
pub(super) struct Pace {
    settings: Settings,
    debounce: Debounce,
    /// When one `interval` has passed for each reload of the program so far.
    paid_until: Option<Instant>,
    /// Whether the waiting change may be taken one `interval` before `paid_until`.
    on_credit: bool,
    /// The newest files that were seen. A wake-up without a change of them is not a change.
    seen: Option<Wanted>,
    /// The files that the target works on.
    taken: Option<Wanted>,
    /// Whether `taken` was taken for this pass.
    is_new: bool,
    /// The members that the files in effect were made with.
    members: BTreeSet<String>,
}

impl Pace {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            debounce: Debounce::new(settings),
            paid_until: None,
            on_credit: false,
            seen: None,
            taken: None,
            is_new: false,
            members: BTreeSet::new(),
        }
    }

    /// The files that a pass works on.
    pub(super) fn choose(&mut self, newest: Wanted, now: Instant) -> Wanted {
        self.notice(&newest, now);
        self.is_new = self.floor().is_none_or(|floor| floor <= now) && self.debounce.take(now);
        self.on_credit &= !self.is_new;
        self.seen = Some(newest.clone());
        match &self.taken {
            Some(taken) if taken.complete && !self.is_new => taken.clone(),
            _ => self.taken.insert(newest).clone(),
        }
    }

    /// Takes the newest files, without any wait.
    pub(super) fn take_now(&mut self, newest: Wanted, now: Instant) {
        self.debounce.cancel(now);
        (self.is_new, self.on_credit) = (true, false);
        self.seen = Some(newest.clone());
        self.taken = Some(newest);
    }

    fn notice(&mut self, newest: &Wanted, now: Instant) {
        match &self.taken {
            _ if !newest.complete || self.seen.as_ref().is_some_and(|seen| is_same(seen, newest)) => {}
            Some(taken) if taken.complete && is_same(taken, newest) => {
                self.debounce.cancel(now);
                self.on_credit = false;
            }
            Some(taken) if taken.complete => {
                let urgency = self.urgency(newest);
                self.on_credit |= urgency == Urgency::Urgent || self.revives(newest);
                self.debounce.change(now, urgency);
            }
            // The first complete files wait for nothing.
            _ => {
                self.on_credit = true;
                self.debounce.change(now, Urgency::Urgent);
            }
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// Sets when one `interval` has passed for each reload of the program so far.
    pub(super) fn wait_until(&mut self, paid: Option<Instant>) {
        self.paid_until = paid;
    }

    /// Nothing new is taken before this time, not even a removal.
    fn floor(&self) -> Option<Instant> {
        let credit = if self.on_credit { self.settings.interval } else { Duration::ZERO };
        self.paid_until.and_then(|until| until.checked_sub(credit))
    }

    /// Whether a change has not been taken yet.
    pub(super) fn has_news(&self, newest: &Wanted) -> bool {
        self.debounce.due().is_some() || !self.seen.as_ref().is_some_and(|seen| is_same(seen, newest))
    }

    /// Records the result of a pass. Returns which instances were added to the files in effect, and which were removed.
    pub(super) fn note(&mut self, applied: &Result<Applied, ApplyError>, now: Instant) -> Membership {
        let reloaded = match applied {
            Ok(Applied::Waiting | Applied::Current | Applied::Done { effect: Effect::NotRunning(_), .. }) => false,
            Ok(Applied::Done { .. }) => true,
            // The program may have been reloaded. If the check refused the candidate it was not, but the next candidate
            // can wait as well.
            Err(_) => self.is_new,
        };
        if reloaded {
            self.debounce.carried_out(now);
        }
        let (Ok(Applied::Current | Applied::Done { .. }), Some(taken)) = (applied, &self.taken) else {
            return Membership::default();
        };
        let members = members(taken).cloned().collect();
        let before = std::mem::replace(&mut self.members, members);
        Membership::between(&before, &self.members)
    }

    /// When the next pass is due. `next`: when it would be due without the change that waits here.
    pub(super) fn next(&self, next: Next, now: Instant) -> Next {
        let Some(due) = self.debounce.due() else { return next };
        let wait = self.floor().map_or(due, |floor| floor.max(due)).saturating_duration_since(now);
        match next {
            Next::Idle => Next::After(wait),
            Next::After(other) => Next::After(wait.min(other)),
            Next::Retry => Next::Retry,
        }
    }

    /// A removal is urgent: requests to a member that is gone fail.
    fn urgency(&self, newest: &Wanted) -> Urgency {
        let newest: BTreeSet<_> = members(newest).collect();
        if self.members.iter().all(|member| newest.contains(member)) {
            Urgency::Patient(jitter::up_to(self.settings.splay))
        } else {
            Urgency::Urgent
        }
    }

    /// Whether a service without instances gets one.
    fn revives(&self, newest: &Wanted) -> bool {
        let served: BTreeSet<_> = self.members.iter().map(|member| members::service(member)).collect();
        members(newest).any(|member| !served.contains(members::service(member)))
    }
}

fn members(wanted: &Wanted) -> impl Iterator<Item = &String> {
    wanted.entries.values().flat_map(|product| &product.members)
}

fn is_same(one: &Wanted, other: &Wanted) -> bool {
    one.complete == other.complete && (Arc::ptr_eq(&one.entries, &other.entries) || one.entries == other.entries)
}
