//! When a target takes what is newest. Until then it works on what it took before, so that what is owed is made good and
//! what was changed by another hand is put right. Each target has a pace of its own: nobody else's changes delay it.

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
use crate::{
    debounce::{Debounce, Settings, Urgency},
    random,
    reconcile::Next,
};

#[derive(Debug)]
pub(super) struct Pace {
    settings: Settings,
    debounce: Debounce,
    /// When the reloads of the program so far are paid for: one per `interval`.
    paid_until: Option<Instant>,
    /// Whether what waits may go one `interval` before that.
    on_credit: bool,
    /// The newest that was seen. What only rings the bell is not newer.
    seen: Option<Wanted>,
    /// What the target works on.
    taken: Option<Wanted>,
    /// Whether that was taken for this pass.
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

    /// What a pass works on.
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

    /// Takes what is newest, whatever it would have to wait for.
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
            // The first that is whole has nothing to wait for.
            _ => {
                self.on_credit = true;
                self.debounce.change(now, Urgency::Urgent);
            }
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// When the reloads of the program so far are paid for.
    pub(super) fn wait_until(&mut self, paid: Option<Instant>) {
        self.paid_until = paid;
    }

    /// Nothing new is taken before that, not even a removal.
    fn floor(&self) -> Option<Instant> {
        let credit = if self.on_credit { self.settings.interval } else { Duration::ZERO };
        self.paid_until.and_then(|until| until.checked_sub(credit))
    }

    /// Whether there is something that is not taken yet.
    pub(super) fn has_news(&self, newest: &Wanted) -> bool {
        self.debounce.due().is_some() || !self.seen.as_ref().is_some_and(|seen| is_same(seen, newest))
    }

    /// Notes what became of it: which instances are in effect now that were not, and the other way round.
    pub(super) fn note(&mut self, applied: &Result<Applied, ApplyError>, now: Instant) -> Membership {
        let reloaded = match applied {
            Ok(Applied::Waiting | Applied::Current | Applied::Done { effect: Effect::NotRunning(_), .. }) => false,
            Ok(Applied::Done { .. }) => true,
            // It may have been; a refused candidate was not, but the next one can wait as well.
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

    /// When the next pass is due, given when it would be without what waits here.
    pub(super) fn next(&self, next: Next, now: Instant) -> Next {
        let Some(due) = self.debounce.due() else { return next };
        let wait = self.floor().map_or(due, |floor| floor.max(due)).saturating_duration_since(now);
        match next {
            Next::Idle => Next::After(wait),
            Next::After(other) => Next::After(wait.min(other)),
            Next::Retry => Next::Retry,
        }
    }

    /// Whoever sends requests to a member that is gone loses them: a removal cannot wait.
    fn urgency(&self, newest: &Wanted) -> Urgency {
        let newest: BTreeSet<_> = members(newest).collect();
        if self.members.iter().all(|member| newest.contains(member)) {
            Urgency::Patient(random::delay(self.settings.splay))
        } else {
            Urgency::Urgent
        }
    }

    /// Whether a service that nobody serves gets an instance.
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
