//! A target together with the search for what makes its candidates fail.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    narrowing::{Found, Narrowing, Question, Trials},
    pass::{self, Set},
};
use crate::{
    core::reconcile::{Cause, Next, Reconcile},
    sys::environment,
    target::{Applied, ApplyError, Digest, Rejection, Target, Verdict},
};

/// Applies one target. When a candidate is refused, it finds the entries that are the cause and holds them:
/// the renderer then makes a candidate without them.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) target: Target,
    pub(super) narrowing: Narrowing,
    env: BTreeMap<String, String>,
    /// The last refusal whose cause was not found, and whether the templates were proven.
    hopeless: Option<(Digest, Rejection, bool)>,
}

impl Worker {
    pub(super) fn new(target: Target, set: &Set) -> Self {
        Self { target, narrowing: set.narrowing.clone(), env: environment::variables().collect(), hopeless: None }
    }

    /// One pass, as [`Target::apply`].
    pub(super) async fn apply(&mut self) -> Result<Applied, ApplyError> {
        let applied = self.target.apply().await;
        self.note().await;
        applied
    }

    /// Uses the result of the last pass. Returns whether something new is held.
    async fn note(&mut self) -> bool {
        let Some(Verdict { files, candidate, refusal }) = self.target.take_verdict() else { return false };
        let is_held = match refusal {
            None => {
                self.narrowing.accepted(files);
                return false;
            }
            // Trials would cost reloads.
            Some(Rejection::TakenBack { reason }) => {
                let (pid_file, now) = (self.target.pid_file(), Instant::now().into_std());
                self.narrowing.taken_back(files, &candidate, &reason, pid_file, now)
            }
            Some(refusal) => self.search(files, refusal).await,
        };
        if !is_held {
            self.target.finish_report();
        }
        is_held
    }

    /// Finds the changes because of which the check refuses a candidate, and holds them. Returns whether there are any.
    pub(super) async fn search(&mut self, files: Digest, refusal: Rejection) -> bool {
        let Some(Question { templates, good, newest, proven }) = self.narrowing.search(files) else { return false };
        let refused = Some((files, refusal, proven));
        if self.hopeless == refused {
            return false;
        }
        let mut trials = Trials::new(pass::sheets(&templates), &self.env, good, newest, proven);
        let found = loop {
            let found = match trials.next() {
                Ok(files) => {
                    let files = files.clone();
                    match self.target.try_out(files).await {
                        Ok(refusal) => trials.judge(refusal),
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
            Found::Culprits(culprits) => {
                let (pid_file, now) = (self.target.pid_file(), Instant::now().into_std());
                self.narrowing.hold(culprits, trials.newest(), pid_file, now);
                true
            }
            Found::Nothing => false,
            Found::NotTheAnswers => {
                self.hopeless = refused;
                false
            }
        }
    }
}

impl Reconcile for Worker {
    async fn pass(&mut self, cause: Cause) -> Next {
        let next = self.target.pass(cause).await;
        let is_held = self.note().await;
        // The next candidate is on its way: wait for its wake-up instead of retrying. A time that the target's pace has
        // set stays.
        if is_held && next == Next::Retry { Next::Idle } else { next }
    }
}
