//! The reload budget of one program, shared by all targets that use it: one target at a time, and a minimum time
//! between reloads.

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
pub struct Budgets(Arc<Mutex<BTreeMap<String, Arc<Budget>>>>);

/// The budget of one program.
#[derive(Debug, Default)]
pub(super) struct Budget {
    spending: Arc<tokio::sync::Mutex<Spending>>,
    changes: AtomicU64,
}

/// How much of a program's budget is spent. Pure.
///
/// Each reload uses up one `interval`. An urgent change (a removal, or the first instance of a service) may be applied
/// one `interval` early: so a removal does not wait for the reload before it, and the replacement of a single instance
/// does not wait for its removal. All other changes wait until one `interval` has passed for each reload so far, so
/// that the next removal can be applied at once. On average there is at most one reload per `interval`.
#[derive(Debug, Default)]
pub(super) struct Spending {
    paid_until: Option<Instant>,
}

/// The right to touch the files and the program, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Vec<OwnedMutexGuard<Spending>>);

impl Budgets {
    pub(super) fn find(&self, keys: &BTreeSet<String>) -> Vec<Arc<Budget>> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|key| Arc::clone(budgets.entry(key.clone()).or_default())).collect()
    }
}

impl Budget {
    /// Waits for the turn in all of `budgets`. All callers pass them in the same order, so there is no deadlock.
    pub(super) async fn turn(budgets: &[Arc<Self>]) -> Turn {
        let mut guards = Vec::with_capacity(budgets.len());
        for budget in budgets {
            guards.push(Arc::clone(&budget.spending).lock_owned().await);
        }
        Turn(guards)
    }

    /// Notes that files that the program reads were changed.
    pub(super) fn note_change(budgets: &[Arc<Self>]) {
        for budget in budgets {
            budget.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A number that differs after each change of a file that the program reads.
    pub(super) fn changes(budgets: &[Arc<Self>]) -> u64 {
        budgets.iter().map(|budget| budget.changes.load(Ordering::Relaxed)).sum()
    }
}

impl Turn {
    /// When one `interval` has passed for each reload so far; `None` if there was no reload.
    pub(super) fn paid_until(&self) -> Option<Instant> {
        self.0.iter().filter_map(|spending| spending.paid_until).max()
    }

    pub(super) fn spend(&mut self, interval: Duration, now: Instant) {
        self.0.iter_mut().for_each(|spending| spending.spend(interval, now));
    }
}

impl Spending {
    fn spend(&mut self, interval: Duration, now: Instant) {
        let from = self.paid_until.map_or(now, |until| until.max(now));
        self.paid_until = Some(from + interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reload_is_paid_for_after_those_before_it() {
        let (mut spending, begin, interval) = (Spending::default(), Instant::now(), Duration::from_secs(1));
        for reloads in 1..=3 {
            spending.spend(interval, begin);
            assert_eq!(spending.paid_until, Some(begin + interval * reloads));
        }
        let later = begin + Duration::from_secs(20);
        spending.spend(interval, later);
        assert_eq!(spending.paid_until, Some(later + interval), "after a calm nothing is left to pay");
    }

    #[tokio::test]
    async fn who_shares_anything_waits() {
        let budgets = Budgets::default();
        let find = |keys: &[&str]| budgets.find(&keys.iter().map(ToString::to_string).collect());
        let (one, other, third) = (find(&["nginx", "probe"]), find(&["other", "probe"]), find(&["third"]));
        let turn = Budget::turn(&one).await;
        assert!(tokio::time::timeout(Duration::from_millis(20), Budget::turn(&other)).await.is_err());
        drop(Budget::turn(&third).await);
        Budget::note_change(&other);
        assert_eq!((Budget::changes(&one), Budget::changes(&third)), (1, 0));
        drop(turn);
        drop(Budget::turn(&other).await);
    }
}
