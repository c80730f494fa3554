//! The reconciler of one target: applies the desired files, and narrows rejected candidates.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    narrowing::{Narrowing, SearchInput, SearchOutcome, TrialRunner},
    renderer::{self, TargetRenderer},
};
use crate::{
    core::reconcile::{NextPass, PassCause, Reconcile},
    sys::environment,
    target::{CandidateOutcome, Digest, Rejection, Target},
};

/// Applies one target. If a candidate is rejected, the worker searches for the entries that cause it, and holds them;
/// the renderer then makes a candidate without them.
#[derive(Debug)]
pub(super) struct TargetWorker {
    pub(super) target: Target,
    pub(super) narrowing: Narrowing,
    env: BTreeMap<String, String>,
    /// The last rejection whose cause was not found, and whether the templates were proven.
    unexplained_rejection: Option<(Digest, Rejection, bool)>,
}

impl TargetWorker {
    pub(super) fn new(target: Target, renderer: &TargetRenderer) -> Self {
        Self {
            target,
            narrowing: renderer.narrowing.clone(),
            env: environment::variables().collect(),
            unexplained_rejection: None,
        }
    }

    /// Narrows if the last pass has rejected its candidate. Returns whether a new item is held.
    async fn handle_outcome(&mut self) -> bool {
        let Some(CandidateOutcome { digest, files, rejection }) = self.target.take_candidate_outcome() else {
            return false;
        };
        let is_held = match rejection {
            None => {
                self.narrowing.record_accepted(digest);
                return false;
            }
            // No search is made, since each trial would need a reload.
            Some(Rejection::RolledBack { reason }) => {
                let (pid_file, now) = (self.target.pid_file(), Instant::now().into_std());
                self.narrowing.record_rolled_back(digest, &files, &reason, pid_file, now)
            }
            Some(rejection) => self.hold_culprits(digest, rejection).await,
        };
        if !is_held {
            self.target.mark_final();
        }
        is_held
    }

    /// Searches for the changes because of which the check rejects a candidate, and holds them. Returns whether there
    /// are any.
    pub(super) async fn hold_culprits(&mut self, candidate: Digest, rejection: Rejection) -> bool {
        let Some(SearchInput { templates, last_good, newest, is_proven }) = self.narrowing.search_input(candidate)
        else {
            return false;
        };
        let rejected = Some((candidate, rejection, is_proven));
        if self.unexplained_rejection == rejected {
            return false;
        }
        let mut trials = TrialRunner::new(renderer::new_states(&templates), &self.env, last_good, newest, is_proven);
        let found = loop {
            let found = match trials.next_candidate() {
                Ok(files) => {
                    let files = files.clone();
                    match self.target.check_candidate(files).await {
                        Ok(rejection) => trials.record_check(rejection),
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
                self.unexplained_rejection = rejected;
                false
            }
        }
    }
}

impl Reconcile for TargetWorker {
    async fn pass(&mut self, cause: PassCause) -> NextPass {
        let next = self.target.pass(cause).await;
        let is_held = self.handle_outcome().await;
        // The renderer will make another candidate and wake this loop, so a retry is not needed. A time that the target
        // has set stays.
        if is_held && next == NextPass::Retry { NextPass::Idle } else { next }
    }
}
