//! Targets that share a program or a probe work one at a time. Otherwise a target could be rolled back because of the
//! unverified files of another one.

use std::collections::BTreeSet;

use super::{
    ApplyError, ApplyOutcome, Effect, Target, now,
    reload_budget::{ProgramGuard, ReloadBudget},
};
use crate::core::condition::error_chain;

impl Target {
    /// Waits for the other targets of the program; `None` if Portreeve is asked to stop meanwhile.
    pub(super) async fn lock_program(&mut self) -> Option<ProgramGuard> {
        if !self.is_program_known {
            let program = self.program.budget_key().await;
            self.is_program_known = program.is_ok();
            let program = program.unwrap_or_else(|error| {
                tracing::debug!(
                    "target {}: it is not known yet which targets share its program: {}",
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

    /// Charges the reload of a pass to the program's budget. The reload of a rollback is not charged on top of it: a
    /// removal at another target must not wait for it.
    pub(super) fn charge_reload(&mut self, guard: &mut ProgramGuard, applied: &Result<ApplyOutcome, ApplyError>) {
        let wrote =
            matches!(applied, Ok(ApplyOutcome::Applied { written, effect: Effect::NoReload }) if !written.is_empty());
        if std::mem::take(&mut self.was_notified) || wrote {
            guard.charge(self.scheduler.interval(), now());
        }
    }
}
