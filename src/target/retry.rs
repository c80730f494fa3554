//! What a target remembers about a failure, and when it tries again.
//!
//! A refusal that is known to depend on the candidate alone is kept until something changes. Every other failure is
//! retried with back-off, and at once when something changes that it may depend on: see [`Stamps`].

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    backoff::{Backoff, Cost},
    error::Rejection,
    rendered::Digest,
    stamps::Stamps,
};

#[derive(Debug)]
pub(super) struct Retry {
    checks: Backoff,
    reloads: Backoff,
    rejected: Option<Rejected>,
    deferred: Option<Deferred>,
}

/// A candidate that the check refused, or that was taken back.
#[derive(Debug)]
pub(super) struct Rejected {
    /// Identifies the candidate and all files that the check has read.
    pub(super) inputs: Digest,
    pub(super) rejection: Rejection,
    pub(super) stamps: Stamps,
    /// Whether the candidate, or something else that the failure may depend on, has changed since.
    pub(super) changed: bool,
}

/// A check that did not end, or an owed reload that has failed.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) reason: String,
    pub(super) cost: Cost,
    pub(super) stamps: Stamps,
    /// The candidate whose reload failed; `None` if only the files on the disk were tried.
    pub(super) tried: Option<Digest>,
    /// Whether the candidate, or something else that the failure may depend on, has changed since.
    pub(super) changed: bool,
}

/// When something that is held is tried again if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Not before a change.
    Change,
    Time(Instant),
}

impl Retry {
    pub(super) fn new() -> Self {
        Self { checks: Backoff::new(Cost::Check), reloads: Backoff::new(Cost::Reload), rejected: None, deferred: None }
    }

    pub(super) fn reject(&mut self, rejected: Rejected, now: Instant) {
        self.backoff(cost(&rejected.rejection)).failed(now);
        self.rejected = Some(rejected);
    }

    pub(super) fn defer(&mut self, deferred: Deferred, now: Instant) {
        self.backoff(deferred.cost).failed(now);
        self.deferred = Some(deferred);
    }

    /// The check has accepted a candidate.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.checks.succeeded(now);
    }

    /// What is wanted is in effect.
    pub(super) fn succeeded(&mut self, now: Instant) {
        self.reloads.succeeded(now);
        (self.rejected, self.deferred) = (None, None);
    }

    /// No reload is owed, and the check ends.
    pub(super) fn settled(&mut self) {
        self.deferred = None;
    }

    pub(super) fn rejected(&self) -> Option<&Rejected> {
        self.rejected.as_ref()
    }

    pub(super) fn deferred(&self) -> Option<&Deferred> {
        self.deferred.as_ref()
    }

    /// Whether a candidate is not tried now because of the one that was rejected. `changed`: whether its inputs or the
    /// stamps differ.
    pub(super) fn holds_candidate(&mut self, changed: bool, now: Instant) -> bool {
        if let Some(rejected) = &mut self.rejected {
            rejected.changed = changed;
        }
        self.rejected.as_ref().is_some_and(|rejected| holds(self.until(rejected), now))
    }

    /// Whether the owed reload is not tried now. `changed`: whether the stamps differ.
    pub(super) fn holds_reload(&mut self, changed: bool, now: Instant) -> bool {
        if let Some(deferred) = &mut self.deferred {
            deferred.changed |= changed;
        }
        let due = self.deferred.as_ref().and_then(|deferred| self.due(deferred.cost, deferred.changed));
        due.is_some_and(|due| holds(Until::Time(due), now))
    }

    /// Whether `candidate` replaces the files on the disk, whose reload has failed: they may never take effect.
    pub(super) fn overtakes(&mut self, candidate: Digest, now: Instant) -> bool {
        let Some(deferred) = &mut self.deferred else { return false };
        deferred.changed = deferred.tried != Some(candidate);
        deferred.changed && !self.holds_reload(true, now)
    }

    /// When the next attempt is made if nothing changes; `None` if nothing is held.
    pub(super) fn next(&self) -> Option<Until> {
        match (&self.deferred, &self.rejected) {
            (Some(deferred), _) => self.due(deferred.cost, deferred.changed).map(Until::Time),
            (None, Some(rejected)) => Some(self.until(rejected)),
            (None, None) => None,
        }
    }

    fn until(&self, Rejected { rejection, changed, .. }: &Rejected) -> Until {
        match rejection {
            Rejection::Refused { certain: true, .. } if !changed => Until::Change,
            _ => self.due(cost(rejection), *changed).map_or(Until::Change, Until::Time),
        }
    }

    fn due(&self, cost: Cost, changed: bool) -> Option<Instant> {
        match cost {
            Cost::Check => self.checks.due(changed),
            Cost::Reload => self.reloads.due(changed),
        }
    }

    fn backoff(&mut self, cost: Cost) -> &mut Backoff {
        match cost {
            Cost::Check => &mut self.checks,
            Cost::Reload => &mut self.reloads,
        }
    }
}

impl Until {
    /// For a log line.
    pub(super) fn described(self, now: Instant) -> impl fmt::Display {
        match self {
            Self::Change => "held until the templates, their data or the configuration change".to_owned(),
            Self::Time(at) => {
                let seconds = at.saturating_duration_since(now).as_millis().div_ceil(1000);
                format!("held until the next attempt in {seconds} s, or until what it depends on changes")
            }
        }
    }

    /// The time until then, at most `longest`.
    pub(super) fn wait(self, now: Instant, longest: Duration) -> Duration {
        match self {
            Self::Change => longest,
            Self::Time(at) => at.saturating_duration_since(now).min(longest),
        }
    }
}

fn holds(until: Until, now: Instant) -> bool {
    match until {
        Until::Change => true,
        Until::Time(at) => now < at,
    }
}

fn cost(rejection: &Rejection) -> Cost {
    match rejection {
        Rejection::Refused { .. } => Cost::Check,
        Rejection::TakenBack { .. } => Cost::Reload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(rejection: Rejection) -> Rejected {
        Rejected { inputs: Digest::of(&[]), rejection, stamps: Stamps::default(), changed: false }
    }

    fn deferred(tried: Option<Digest>) -> Deferred {
        let (reason, stamps) = ("the probe fails".to_owned(), Stamps::default());
        Deferred { reason, cost: Cost::Reload, stamps, tried, changed: false }
    }

    #[test]
    fn only_a_refusal_that_depends_on_the_candidate_alone_is_kept() {
        let (begin, day) = (Instant::now(), Duration::from_secs(24 * 3600));
        let refused = |certain| Rejection::Refused { output: "no".to_owned(), certain };
        let back = Rejection::TakenBack { reason: "no".to_owned() };
        // Whether it is held after half a second, after two minutes and after a day, and when something has changed.
        let cases = [
            (refused(true), [true, true, true], false),
            (refused(false), [true, false, false], false),
            (back, [true, false, false], false),
        ];
        for (rejection, held, changed) in cases {
            let mut retry = Retry::new();
            retry.reject(rejected(rejection.clone()), begin);
            let after = [Duration::from_millis(500), Duration::from_secs(120), day];
            assert_eq!(after.map(|wait| retry.holds_candidate(false, begin + wait)), held, "{rejection:?}");
            assert_eq!(retry.holds_candidate(true, begin), changed, "{rejection:?}");
            retry.succeeded(begin);
            assert!(!retry.holds_candidate(false, begin) && retry.next().is_none());
        }
    }

    #[test]
    fn another_candidate_each_second_does_not_reload_each_second() {
        let (mut retry, begin) = (Retry::new(), Instant::now());
        let back = || rejected(Rejection::TakenBack { reason: "the probe fails".to_owned() });
        let tries = |second: &u64| {
            let now = begin + Duration::from_secs(*second);
            let goes = !retry.holds_candidate(true, now);
            if goes {
                retry.reject(back(), now);
            }
            goes
        };
        assert_eq!((0..120).filter(tries).count(), 4);
    }

    #[test]
    fn another_candidate_is_due_within_a_minute_and_takes_the_place_of_files_that_fail() {
        let (mut retry, begin, mut now) = (Retry::new(), Instant::now(), Instant::now());
        let (one, other) = (Digest::of(&[b"1"]), Digest::of(&[b"2"]));
        assert!(!retry.overtakes(one, begin), "nothing has failed");
        for wait in [0, 15, 60, 60] {
            retry.defer(deferred(Some(one)), now);
            assert!(!retry.overtakes(one, now), "the same again");
            assert_eq!(retry.overtakes(other, now), wait == 0);
            let due = now + Duration::from_secs(wait);
            assert_eq!(retry.next(), Some(Until::Time(due)), "it is looked at again by then");
            assert!(retry.overtakes(other, due));
            now = due;
        }
        retry.defer(deferred(None), now);
        assert!(retry.overtakes(one, now + Duration::from_secs(60)), "it was never tried");
        let mut retry = Retry::new();
        let back = || rejected(Rejection::TakenBack { reason: "no".to_owned() });
        for wait in [0, 15, 60] {
            retry.reject(back(), begin);
            assert_eq!(retry.holds_candidate(true, begin), wait > 0);
            assert_eq!(retry.next(), Some(Until::Time(begin + Duration::from_secs(wait))));
        }
    }

    #[test]
    fn the_log_says_until_when() {
        let now = Instant::now();
        let said = |until: Until| until.described(now).to_string();
        assert!(said(Until::Time(now + Duration::from_millis(9001))).contains("in 10 s"));
        assert!(said(Until::Change).starts_with("held until the templates"));
    }
}
