//! A target together with the search for what makes its candidates fail.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    narrowing::{Narrowing, SearchInput, SearchOutcome, TrialRunner},
    renderer::{self, TargetRenderer},
};
use crate::{
    core::reconcile::{NextPass, PassCause, Reconcile},
    sys::environment,
    target::{ApplyError, ApplyOutcome, CandidateOutcome, Digest, Rejection, Target},
};

/// Applies one target. When a candidate is refused, it finds the entries that are the cause and holds them:
/// the renderer then makes a candidate without them.
#[derive(Debug)]
pub(super) struct TargetWorker {
    pub(super) target: Target,
    pub(super) narrowing: Narrowing,
    env: BTreeMap<String, String>,
    /// The last refusal whose cause was not found, and whether the templates were proven.
    unexplained_rejection: Option<(Digest, Rejection, bool)>,
}

impl TargetWorker {
    pub(super) fn new(target: Target, set: &TargetRenderer) -> Self {
        Self {
            target,
            narrowing: set.narrowing.clone(),
            env: environment::variables().collect(),
            unexplained_rejection: None,
        }
    }

    /// One pass, as [`Target::apply`].
    pub(super) async fn apply(&mut self) -> Result<ApplyOutcome, ApplyError> {
        let applied = self.target.apply().await;
        self.handle_verdict().await;
        applied
    }

    /// Uses the result of the last pass. Returns whether something new is held.
    async fn handle_verdict(&mut self) -> bool {
        let Some(CandidateOutcome { digest: files, files: candidate, rejection: refusal }) =
            self.target.take_candidate_outcome()
        else {
            return false;
        };
        let is_held = match refusal {
            None => {
                self.narrowing.record_accepted(files);
                return false;
            }
            // Trials would cost reloads.
            Some(Rejection::RolledBack { reason }) => {
                let (pid_file, now) = (self.target.pid_file(), Instant::now().into_std());
                self.narrowing.record_rolled_back(files, &candidate, &reason, pid_file, now)
            }
            Some(refusal) => self.hold_culprits(files, refusal).await,
        };
        if !is_held {
            self.target.mark_final();
        }
        is_held
    }

    /// Finds the changes because of which the check refuses a candidate, and holds them. Returns whether there are any.
    pub(super) async fn hold_culprits(&mut self, files: Digest, refusal: Rejection) -> bool {
        let Some(SearchInput { templates, last_good: good, newest, is_proven: proven }) =
            self.narrowing.search_input(files)
        else {
            return false;
        };
        let refused = Some((files, refusal, proven));
        if self.unexplained_rejection == refused {
            return false;
        }
        let mut trials = TrialRunner::new(renderer::new_states(&templates), &self.env, good, newest, proven);
        let found = loop {
            let found = match trials.next_candidate() {
                Ok(files) => {
                    let files = files.clone();
                    match self.target.check_candidate(files).await {
                        Ok(refusal) => trials.record_check(refusal),
                        Err(error) => {
                            tracing::debug!("target {}: the search ends: {error}", self.target.name());
                            return false;
                        }
                    }
                }
                Err(found) => found,
            };
            if let Some(found) = found {
                break found;
            }
        };
        match found {
            SearchOutcome::Culprits(culprits) => {
                let (pid_file, now) = (self.target.pid_file(), Instant::now().into_std());
                self.narrowing.hold(culprits, trials.newest(), pid_file, now);
                true
            }
            SearchOutcome::Accepted => false,
            SearchOutcome::OtherCause => {
                self.unexplained_rejection = refused;
                false
            }
        }
    }
}

impl Reconcile for TargetWorker {
    async fn pass(&mut self, cause: PassCause) -> NextPass {
        let next = self.target.pass(cause).await;
        let is_held = self.handle_verdict().await;
        // The next candidate is on its way: wait for its wake-up instead of retrying. A time that the target's pace has
        // set stays.
        if is_held && next == NextPass::Retry { NextPass::Idle } else { next }
    }
}
