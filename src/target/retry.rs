//! What a target remembers about a failure, and when it tries again.
//!
//! A refusal that is known to depend on the candidate alone is kept until something changes. Every other failure is
//! retried with back-off, and at once when something changes that it may depend on: see [`Stamps`].

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    backoff::{Backoff, FailureCost},
    desired_file::Digest,
    error::Rejection,
    failure_dependencies::FailureDependencies,
};

#[derive(Debug)]
pub(super) struct TargetRetry {
    check_backoff: Backoff,
    reload_backoff: Backoff,
    rejected: Option<RejectedCandidate>,
    deferred: Option<DeferredReload>,
}

/// A candidate that the check refused, or that was taken back.
#[derive(Debug)]
pub(super) struct RejectedCandidate {
    /// Identifies the candidate and all files that the check has read.
    pub(super) inputs_digest: Digest,
    pub(super) rejection: Rejection,
    pub(super) dependencies: FailureDependencies,
    /// Whether the candidate, or something else that the failure may depend on, has changed since.
    pub(super) changed: bool,
}

/// A check that did not end, or an owed reload that has failed.
#[derive(Debug)]
pub(super) struct DeferredReload {
    pub(super) reason: String,
    pub(super) cost: FailureCost,
    pub(super) dependencies: FailureDependencies,
    /// The candidate whose reload failed; `None` if only the files on the disk were tried.
    pub(super) tried_candidate: Option<Digest>,
    /// Whether the candidate, or something else that the failure may depend on, has changed since.
    pub(super) changed: bool,
}

/// When something that is held is tried again if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAttempt {
    /// Not before a change.
    OnChange,
    At(Instant),
}

impl TargetRetry {
    pub(super) fn new() -> Self {
        Self {
            check_backoff: Backoff::new(FailureCost::Check),
            reload_backoff: Backoff::new(FailureCost::Reload),
            rejected: None,
            deferred: None,
        }
    }

    pub(super) fn reject(&mut self, rejected: RejectedCandidate, now: Instant) {
        self.backoff(failure_cost(&rejected.rejection)).record_failure(now);
        self.rejected = Some(rejected);
    }

    pub(super) fn defer(&mut self, deferred: DeferredReload, now: Instant) {
        self.backoff(deferred.cost).record_failure(now);
        self.deferred = Some(deferred);
    }

    /// The check has accepted a candidate.
    pub(super) fn record_check_passed(&mut self, now: Instant) {
        self.check_backoff.record_success(now);
    }

    /// What is wanted is in effect.
    pub(super) fn record_success(&mut self, now: Instant) {
        self.reload_backoff.record_success(now);
        (self.rejected, self.deferred) = (None, None);
    }

    /// No reload is owed, and the check ends.
    pub(super) fn clear_deferred(&mut self) {
        self.deferred = None;
    }

    pub(super) fn rejected(&self) -> Option<&RejectedCandidate> {
        self.rejected.as_ref()
    }

    pub(super) fn deferred(&self) -> Option<&DeferredReload> {
        self.deferred.as_ref()
    }

    /// Whether a candidate is not tried now because of the one that was rejected. `changed`: whether its inputs or the
    /// stamps differ.
    pub(super) fn is_candidate_blocked(&mut self, changed: bool, now: Instant) -> bool {
        if let Some(rejected) = &mut self.rejected {
            rejected.changed = changed;
        }
        self.rejected.as_ref().is_some_and(|rejected| is_blocked(self.attempt_after_rejection(rejected), now))
    }

    /// Whether the owed reload is not tried now. `changed`: whether the stamps differ.
    pub(super) fn is_reload_blocked(&mut self, changed: bool, now: Instant) -> bool {
        if let Some(deferred) = &mut self.deferred {
            deferred.changed |= changed;
        }
        let due = self.deferred.as_ref().and_then(|deferred| self.due(deferred.cost, deferred.changed));
        due.is_some_and(|due| is_blocked(NextAttempt::At(due), now))
    }

    /// Whether `candidate` replaces the files on the disk, whose reload has failed: they may never take effect.
    pub(super) fn can_supersede(&mut self, candidate: Digest, now: Instant) -> bool {
        let Some(deferred) = &mut self.deferred else { return false };
        deferred.changed = deferred.tried_candidate != Some(candidate);
        deferred.changed && !self.is_reload_blocked(true, now)
    }

    /// When the next attempt is made if nothing changes; `None` if nothing is held.
    pub(super) fn next_attempt(&self) -> Option<NextAttempt> {
        match (&self.deferred, &self.rejected) {
            (Some(deferred), _) => self.due(deferred.cost, deferred.changed).map(NextAttempt::At),
            (None, Some(rejected)) => Some(self.attempt_after_rejection(rejected)),
            (None, None) => None,
        }
    }

    fn attempt_after_rejection(&self, RejectedCandidate { rejection, changed, .. }: &RejectedCandidate) -> NextAttempt {
        match rejection {
            Rejection::CheckFailed { is_permanent: true, .. } if !changed => NextAttempt::OnChange,
            _ => self.due(failure_cost(rejection), *changed).map_or(NextAttempt::OnChange, NextAttempt::At),
        }
    }

    fn due(&self, cost: FailureCost, changed: bool) -> Option<Instant> {
        match cost {
            FailureCost::Check => self.check_backoff.due(changed),
            FailureCost::Reload => self.reload_backoff.due(changed),
        }
    }

    fn backoff(&mut self, cost: FailureCost) -> &mut Backoff {
        match cost {
            FailureCost::Check => &mut self.check_backoff,
            FailureCost::Reload => &mut self.reload_backoff,
        }
    }
}

impl NextAttempt {
    /// For a log line.
    pub(super) fn describe(self, now: Instant) -> impl fmt::Display {
        match self {
            Self::OnChange => "held until the templates, their data or the configuration change".to_owned(),
            Self::At(at) => {
                let seconds = at.saturating_duration_since(now).as_millis().div_ceil(1000);
                format!("held until the next attempt in {seconds} s, or until what it depends on changes")
            }
        }
    }

    /// The time until then, at most `longest`.
    pub(super) fn time_left(self, now: Instant, longest: Duration) -> Duration {
        match self {
            Self::OnChange => longest,
            Self::At(at) => at.saturating_duration_since(now).min(longest),
        }
    }
}

fn is_blocked(until: NextAttempt, now: Instant) -> bool {
    match until {
        NextAttempt::OnChange => true,
        NextAttempt::At(at) => now < at,
    }
}

fn failure_cost(rejection: &Rejection) -> FailureCost {
    match rejection {
        Rejection::CheckFailed { .. } => FailureCost::Check,
        Rejection::RolledBack { .. } => FailureCost::Reload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(rejection: Rejection) -> RejectedCandidate {
        RejectedCandidate {
            inputs_digest: Digest::of(&[]),
            rejection,
            dependencies: FailureDependencies::default(),
            changed: false,
        }
    }

    fn deferred(tried: Option<Digest>) -> DeferredReload {
        let (reason, stamps) = ("the probe fails".to_owned(), FailureDependencies::default());
        DeferredReload {
            reason,
            cost: FailureCost::Reload,
            dependencies: stamps,
            tried_candidate: tried,
            changed: false,
        }
    }

    #[test]
    fn only_a_refusal_that_depends_on_the_candidate_alone_is_kept() {
        let (begin, day) = (Instant::now(), Duration::from_secs(24 * 3600));
        let refused = |certain| Rejection::CheckFailed { output: "no".to_owned(), is_permanent: certain };
        let back = Rejection::RolledBack { reason: "no".to_owned() };
        // Whether it is held after half a second, after two minutes and after a day, and when something has changed.
        let cases = [
            (refused(true), [true, true, true], false),
            (refused(false), [true, false, false], false),
            (back, [true, false, false], false),
        ];
        for (rejection, held, changed) in cases {
            let mut retry = TargetRetry::new();
            retry.reject(rejected(rejection.clone()), begin);
            let after = [Duration::from_millis(500), Duration::from_secs(120), day];
            assert_eq!(after.map(|wait| retry.is_candidate_blocked(false, begin + wait)), held, "{rejection:?}");
            assert_eq!(retry.is_candidate_blocked(true, begin), changed, "{rejection:?}");
            retry.record_success(begin);
            assert!(!retry.is_candidate_blocked(false, begin) && retry.next_attempt().is_none());
        }
    }

    #[test]
    fn another_candidate_each_second_does_not_reload_each_second() {
        let (mut retry, begin) = (TargetRetry::new(), Instant::now());
        let back = || rejected(Rejection::RolledBack { reason: "the probe fails".to_owned() });
        let tries = |second: &u64| {
            let now = begin + Duration::from_secs(*second);
            let goes = !retry.is_candidate_blocked(true, now);
            if goes {
                retry.reject(back(), now);
            }
            goes
        };
        assert_eq!((0..120).filter(tries).count(), 4);
    }

    #[test]
    fn another_candidate_is_due_within_a_minute_and_takes_the_place_of_files_that_fail() {
        let (mut retry, begin, mut now) = (TargetRetry::new(), Instant::now(), Instant::now());
        let (one, other) = (Digest::of(&[b"1"]), Digest::of(&[b"2"]));
        assert!(!retry.can_supersede(one, begin), "nothing has failed");
        for wait in [0, 15, 60, 60] {
            retry.defer(deferred(Some(one)), now);
            assert!(!retry.can_supersede(one, now), "the same again");
            assert_eq!(retry.can_supersede(other, now), wait == 0);
            let due = now + Duration::from_secs(wait);
            assert_eq!(retry.next_attempt(), Some(NextAttempt::At(due)), "it is looked at again by then");
            assert!(retry.can_supersede(other, due));
            now = due;
        }
        retry.defer(deferred(None), now);
        assert!(retry.can_supersede(one, now + Duration::from_secs(60)), "it was never tried");
        let mut retry = TargetRetry::new();
        let back = || rejected(Rejection::RolledBack { reason: "no".to_owned() });
        for wait in [0, 15, 60] {
            retry.reject(back(), begin);
            assert_eq!(retry.is_candidate_blocked(true, begin), wait > 0);
            assert_eq!(retry.next_attempt(), Some(NextAttempt::At(begin + Duration::from_secs(wait))));
        }
    }

    #[test]
    fn the_log_says_until_when() {
        let now = Instant::now();
        let said = |until: NextAttempt| until.describe(now).to_string();
        assert!(said(NextAttempt::At(now + Duration::from_millis(9001))).contains("in 10 s"));
        assert!(said(NextAttempt::OnChange).starts_with("held until the templates"));
    }
}
