//! The reload budget of one program, shared by all its targets: one target at a time, and a minimum interval between
//! reloads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

/// The budgets of a process, by pid file, container, reload command or URL of a probe.
#[derive(Clone, Debug, Default)]
pub struct ReloadBudgets(Arc<Mutex<BTreeMap<String, Arc<ReloadBudget>>>>);

/// The budget of one program.
#[derive(Debug, Default)]
pub(super) struct ReloadBudget {
    state: Arc<tokio::sync::Mutex<BudgetState>>,
    change_count: AtomicU64,
}

/// The reloads of a program so far. Pure.
///
/// Each reload uses up one `interval`. An urgent change (a removal, or the first instance of a service) may be applied
/// one `interval` early: so a removal does not wait for the reload before it, and the replacement of a single instance
/// does not wait for its removal. All other changes wait until one `interval` has passed for each reload so far, so
/// that the next removal can be applied immediately. On average there is at most one reload per `interval`.
#[derive(Debug, Default)]
pub(super) struct BudgetState {
    next_regular_reload: Option<Instant>,
}

/// The right to change the files and to reload the program, until it is dropped.
#[derive(Debug)]
pub(super) struct ProgramGuard(Vec<OwnedMutexGuard<BudgetState>>);

impl ReloadBudgets {
    pub(super) fn find(&self, keys: &BTreeSet<String>) -> Vec<Arc<ReloadBudget>> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| Arc::clone(budgets.entry(key.clone()).or_default())).collect()
    }
}

impl ReloadBudget {
    /// Waits until no other target uses any of `budgets`. All callers pass them in the same order, which prevents
    /// deadlocks.
    pub(super) async fn lock(budgets: &[Arc<Self>]) -> ProgramGuard {
        let mut guards = Vec::with_capacity(budgets.len());
        for budget in budgets {
            guards.push(Arc::clone(&budget.state).lock_owned().await);
        }
        ProgramGuard(guards)
    }

    /// Records that files that the program reads were changed.
    pub(super) fn count_change(budgets: &[Arc<Self>]) {
        for budget in budgets {
            budget.change_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of these changes so far.
    pub(super) fn change_count(budgets: &[Arc<Self>]) -> u64 {
        budgets.iter().map(|budget| budget.change_count.load(Ordering::Relaxed)).sum()
    }
}

impl ProgramGuard {
    /// When one `interval` has passed for each reload so far; `None` if there was no reload.
    pub(super) fn next_regular_reload(&self) -> Option<Instant> {
        self.0.iter().filter_map(|state| state.next_regular_reload).max()
    }

    pub(super) fn charge(&mut self, interval: Duration, now: Instant) {
        self.0.iter_mut().for_each(|state| state.charge(interval, now));
    }
}

impl BudgetState {
    fn charge(&mut self, interval: Duration, now: Instant) {
        let from = self.next_regular_reload.map_or(now, |at| at.max(now));
        self.next_regular_reload = Some(from + interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reload_uses_up_one_interval() {
        let (mut state, begin, interval) = (BudgetState::default(), Instant::now(), Duration::from_secs(1));
        for reloads in 1..=3 {
            state.charge(interval, begin);
            assert_eq!(state.next_regular_reload, Some(begin + interval * reloads));
        }
        let later = begin + Duration::from_secs(20);
        state.charge(interval, later);
        assert_eq!(state.next_regular_reload, Some(later + interval), "after a pause only the new reload counts");
    }

    #[tokio::test]
    async fn targets_with_a_common_budget_wait_for_each_other() {
        let budgets = ReloadBudgets::default();
        let find = |keys: &[&str]| budgets.find(&keys.iter().map(ToString::to_string).collect());
        let (one, other, third) = (find(&["nginx", "probe"]), find(&["other", "probe"]), find(&["third"]));
        let guard = ReloadBudget::lock(&one).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), ReloadBudget::lock(&other)).await.is_err());
        drop(ReloadBudget::lock(&third).await);
        ReloadBudget::count_change(&other);
        assert_eq!((ReloadBudget::change_count(&one), ReloadBudget::change_count(&third)), (1, 0));
        drop(guard);
        drop(ReloadBudget::lock(&other).await);
    }
}
