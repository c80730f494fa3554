//! A target together with the search for what makes its candidates fail.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    narrowing::{Found, Narrowing, Trials},
    pass::{self, Set},
};
use crate::{
    environment,
    reconcile::{Cause, Next, Reconcile},
    target::{Applied, ApplyError, Target, Verdict},
};

/// Brings one target in line. When a candidate is refused, it finds the answers that are the cause and has them held:
/// the renderer then makes a candidate without them.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) target: Target,
    pub(super) narrowing: Narrowing,
    env: BTreeMap<String, String>,
    /// The last refusal whose cause was not found.
    hopeless: Option<Verdict>,
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

    /// Learns from the last pass. Returns whether something new is held.
    async fn note(&mut self) -> bool {
        match self.target.take_verdict() {
            Some(Verdict { files, refusal: None }) => {
                self.narrowing.accepted(files);
                false
            }
            Some(verdict) if self.hopeless.as_ref() != Some(&verdict) => self.search(&verdict).await,
            _ => false,
        }
    }

    /// Finds the changes because of which a candidate is refused, and has them held.
    async fn search(&mut self, refused: &Verdict) -> bool {
        let Some((templates, good, newest)) = self.narrowing.search(refused.files) else { return false };
        let mut trials = Trials::new(pass::sheets(&templates), &self.env, good, newest);
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
                self.narrowing.hold(culprits, trials.newest(), Instant::now().into_std());
                true
            }
            Found::Nothing => false,
            Found::NotTheAnswers => {
                self.hopeless = Some(refused.clone());
                false
            }
        }
    }
}

impl Reconcile for Worker {
    async fn pass(&mut self, cause: Cause) -> Next {
        let next = self.target.pass(cause).await;
        // Another candidate comes at once, and its bell must be heard.
        if self.note().await { Next::Idle } else { next }
    }
}
