//! A target takes turns with those that share its program or its probe: one that is at work with files that are not
//! proven yet must not be blamed, or rolled back, for another one's.

use std::collections::BTreeSet;

use super::{
    Applied, ApplyError, Effect, Target,
    budget::{Budget, Turn},
    now,
};
use crate::core::condition::chain;

impl Target {
    /// Waits for the turn; `None` if Portreeve is asked to end before.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        if !self.is_located {
            let program = self.program.key().await;
            self.is_located = program.is_ok();
            let program = program.unwrap_or_else(|error| {
                tracing::debug!("target {}: who else uses its program is not known yet: {}", self.name, chain(&error));
                None
            });
            let program = program.unwrap_or_else(|| format!("target {}", self.name));
            let keys = BTreeSet::from_iter([program].into_iter().chain(self.probe.as_ref().map(ToString::to_string)));
            self.shared = self.budgets.find(&keys);
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(Budget::turn(&self.shared)).await
    }

    /// Notes the reload of a pass, so that the next one keeps its distance. The reload that takes files back belongs to
    /// the one before: a removal of another target must not wait for it.
    pub(super) fn spend(&mut self, turn: &mut Turn, applied: &Result<Applied, ApplyError>) {
        let wrote = matches!(applied, Ok(Applied::Done { written, effect: Effect::NoReload }) if !written.is_empty());
        if std::mem::take(&mut self.was_told) || wrote {
            turn.spend(self.pace.interval(), now());
        }
    }
}
