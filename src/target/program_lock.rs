//! A target takes turns with those that share its program or its probe: one that is at work with files that are not
//! proven yet must not be blamed, or rolled back, for another one's.

use std::collections::BTreeSet;

use super::{
    ApplyError, ApplyOutcome, Effect, Target, now,
    reload_budget::{ProgramGuard, ReloadBudget},
};
use crate::core::condition::error_chain;

impl Target {
    /// Waits for the turn; `None` if Portreeve is asked to end before.
    pub(super) async fn lock_program(&mut self) -> Option<ProgramGuard> {
        if !self.is_program_known {
            let program = self.program.budget_key().await;
            self.is_program_known = program.is_ok();
            let program = program.unwrap_or_else(|error| {
                tracing::debug!(
                    "target {}: who else uses its program is not known yet: {}",
                    self.name,
                    error_chain(&error)
                );
                None
            });
            let program = program.unwrap_or_else(|| format!("target {}", self.name));
            let keys = BTreeSet::from_iter([program].into_iter().chain(self.probe.as_ref().map(ToString::to_string)));
            self.shared_budgets = self.budgets.find(&keys);
        }
        let stop = self.stop.clone();
        stop.run_until_cancelled(ReloadBudget::lock(&self.shared_budgets)).await
    }

    /// Notes the reload of a pass, so that the next one keeps its distance. The reload that takes files back belongs to
    /// the one before: a removal of another target must not wait for it.
    pub(super) fn charge_reload(&mut self, turn: &mut ProgramGuard, applied: &Result<ApplyOutcome, ApplyError>) {
        let wrote =
            matches!(applied, Ok(ApplyOutcome::Applied { written, effect: Effect::NoReload }) if !written.is_empty());
        if std::mem::take(&mut self.was_notified) || wrote {
            turn.charge(self.scheduler.interval(), now());
        }
    }
}
