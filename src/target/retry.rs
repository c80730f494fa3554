//! When a target tries again after a failure. Pure.
//!
//! A rejection that is known to depend on the candidate alone blocks the candidate until its inputs change. Every other
//! failure is retried with back-off, and sooner when a dependency changes: see [`FailureDependencies`].

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

/// A candidate that the check has rejected, or that was rolled back.
#[derive(Debug)]
pub(super) struct RejectedCandidate {
    /// Identifies the candidate and all files that the check has read.
    pub(super) inputs_digest: Digest,
    pub(super) rejection: Rejection,
    pub(super) dependencies: FailureDependencies,
    /// Whether the candidate, or something else that the failure may depend on, has changed since.
    pub(super) changed: bool,
}

/// A check without a verdict, or a pending reload that has failed.
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

/// When the next attempt is made if no dependency changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAttempt {
    /// After a change only.
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

    /// Records that the check has accepted a candidate.
    pub(super) fn record_check_passed(&mut self, now: Instant) {
        self.check_backoff.record_success(now);
    }

    /// Records that the desired files are in effect.
    pub(super) fn record_success(&mut self, now: Instant) {
        self.reload_backoff.record_success(now);
        (self.rejected, self.deferred) = (None, None);
    }

    /// Records that no reload is pending.
    pub(super) fn clear_deferred(&mut self) {
        self.deferred = None;
    }

    pub(super) fn rejected(&self) -> Option<&RejectedCandidate> {
        self.rejected.as_ref()
    }

    pub(super) fn deferred(&self) -> Option<&DeferredReload> {
        self.deferred.as_ref()
    }

    /// Whether a candidate is not tried now because of the rejected one. `changed`: whether its inputs or dependencies
    /// differ.
    pub(super) fn is_candidate_blocked(&mut self, changed: bool, now: Instant) -> bool {
        if let Some(rejected) = &mut self.rejected {
            rejected.changed = changed;
        }
        self.rejected.as_ref().is_some_and(|rejected| is_blocked(self.attempt_after_rejection(rejected), now))
    }

    /// Whether the pending reload is not tried now. `changed`: whether its dependencies differ.
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

    /// When the next attempt is made if no dependency changes; `None` after a success.
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
            Self::OnChange => "next attempt when the templates, their data or the configuration change".to_owned(),
            Self::At(at) => {
                let seconds = at.saturating_duration_since(now).as_millis().div_ceil(1000);
                format!("next attempt in {seconds} s, or when something that the failure depends on changes")
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

fn is_blocked(next: NextAttempt, now: Instant) -> bool {
    match next {
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
        DeferredReload {
            reason: "the probe fails".to_owned(),
            cost: FailureCost::Reload,
            dependencies: FailureDependencies::default(),
            tried_candidate: tried,
            changed: false,
        }
    }

    #[test]
    fn only_a_rejection_that_depends_on_the_candidate_alone_is_permanent() {
        let (begin, day) = (Instant::now(), Duration::from_secs(24 * 3600));
        let failed = |is_permanent| Rejection::CheckFailed { output: "no".to_owned(), is_permanent };
        let rolled_back = Rejection::RolledBack { reason: "no".to_owned() };
        // Whether it is blocked after half a second, after two minutes and after a day, and after a change.
        let cases = [
            (failed(true), [true, true, true], false),
            (failed(false), [true, false, false], false),
            (rolled_back, [true, false, false], false),
        ];
        for (rejection, blocked, blocked_if_changed) in cases {
            let mut retry = TargetRetry::new();
            retry.reject(rejected(rejection.clone()), begin);
            let after = [Duration::from_millis(500), Duration::from_secs(120), day];
            assert_eq!(after.map(|wait| retry.is_candidate_blocked(false, begin + wait)), blocked, "{rejection:?}");
            assert_eq!(retry.is_candidate_blocked(true, begin), blocked_if_changed, "{rejection:?}");
            retry.record_success(begin);
            assert!(!retry.is_candidate_blocked(false, begin) && retry.next_attempt().is_none());
        }
    }

    #[test]
    fn a_new_candidate_each_second_does_not_cause_a_reload_each_second() {
        let (mut retry, begin) = (TargetRetry::new(), Instant::now());
        let back = || rejected(Rejection::RolledBack { reason: "the probe fails".to_owned() });
        let attempt = |second: &u64| {
            let now = begin + Duration::from_secs(*second);
            let is_tried = !retry.is_candidate_blocked(true, now);
            if is_tried {
                retry.reject(back(), now);
            }
            is_tried
        };
        assert_eq!((0..120).filter(attempt).count(), 4);
    }

    #[test]
    fn another_candidate_is_tried_within_a_minute_and_supersedes_files_that_fail() {
        let (mut retry, begin, mut now) = (TargetRetry::new(), Instant::now(), Instant::now());
        let (one, other) = (Digest::of(&[b"1"]), Digest::of(&[b"2"]));
        assert!(!retry.can_supersede(one, begin), "no reload has failed");
        for wait in [0, 15, 60, 60] {
            retry.defer(deferred(Some(one)), now);
            assert!(!retry.can_supersede(one, now), "the same candidate");
            assert_eq!(retry.can_supersede(other, now), wait == 0);
            let due = now + Duration::from_secs(wait);
            assert_eq!(retry.next_attempt(), Some(NextAttempt::At(due)), "the next attempt is at that time");
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
    fn the_log_has_the_time_of_the_next_attempt() {
        let now = Instant::now();
        let described = |next: NextAttempt| next.describe(now).to_string();
        assert!(described(NextAttempt::At(now + Duration::from_millis(9001))).contains("in 10 s"));
        assert!(described(NextAttempt::OnChange).starts_with("next attempt when the templates"));
    }
}
