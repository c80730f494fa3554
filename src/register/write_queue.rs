//! Runs the planned writes outside of the reconcile loop: at most one at a time for each entry, and always those of the
//! newest plan.
//!
//! Each pass replaces the queue, and an idle worker sends its next write. A write that hangs therefore delays only its
//! own entry, and nothing is sent that was planned from an older state.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, task::JoinSet};

use super::plan::Step;
use crate::{
    core::supervise::{part_of_current, propagate_panic},
    registry::{Ledger, LedgerError, MAINTENANCE_PREFIX},
};

/// The maximum number of writes in flight. Many can hang before others must wait, and an agent's limit of 200
/// connections per client leaves room for a `render` on the same host.
const MAX_CONCURRENT: usize = 64;

/// The next write of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueuedWrite {
    /// The id of the entry.
    pub(super) id: String,
    /// The first step of the entry's plan.
    pub(super) step: Step,
    /// Whether the plan has more steps for this entry.
    pub(super) has_more_steps: bool,
    /// Whether the entry exists, so that an operator may have taken it out of traffic since it was read.
    pub(super) entry_exists: bool,
}

/// The result of a [`QueuedWrite`].
#[derive(Debug)]
pub(super) struct WriteOutcome {
    pub(super) id: String,
    /// The step that was sent.
    pub(super) step: Step,
    /// The reason of an operator's maintenance of an entry that was removed.
    pub(super) operator_reason: Option<String>,
    pub(super) result: Result<(), LedgerError>,
}

/// The writes of one registrar. Dropping it cancels those that are in flight.
#[derive(Debug)]
pub(super) struct WriteQueue<L> {
    ledger: Arc<L>,
    shared: Arc<SharedQueue>,
    workers: JoinSet<()>,
}

#[derive(Debug)]
struct SharedQueue {
    state: Mutex<QueueState>,
    bell: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct QueueState {
    queue: VecDeque<QueuedWrite>,
    /// Entries whose write was sent and not collected yet; the value is true if a pass waits for it.
    in_flight: BTreeMap<String, bool>,
    finished: Vec<WriteOutcome>,
    workers: usize,
}

impl<L: Ledger> WriteQueue<L> {
    /// `bell` rings after each write whose end a pass must react to.
    pub(super) fn new(ledger: Arc<L>, bell: watch::Sender<u64>) -> Self {
        let shared = Arc::new(SharedQueue { state: Mutex::default(), bell });
        Self { ledger, shared, workers: JoinSet::new() }
    }

    /// Returns the writes that have ended since the last call.
    pub(super) fn collect(&mut self) -> Vec<WriteOutcome> {
        let mut state = self.shared.lock();
        let done = std::mem::take(&mut state.finished);
        for outcome in &done {
            state.in_flight.remove(&outcome.id);
        }
        done
    }

    /// Replaces all writes that were not sent yet. An entry whose last write is not collected yet is left out: its next
    /// write depends on the result, and the bell rings when that is known.
    pub(super) fn replace(&mut self, writes: impl IntoIterator<Item = QueuedWrite>) {
        while let Some(ended) = self.workers.try_join_next() {
            propagate_panic(ended);
        }
        let mut state = self.shared.lock();
        let QueueState { queue, in_flight, .. } = &mut *state;
        queue.clear();
        for write in writes {
            match in_flight.get_mut(&write.id) {
                Some(awaited) => *awaited = true,
                None => queue.push_back(write),
            }
        }
        let more = state.queue.len().min(MAX_CONCURRENT.saturating_sub(state.workers));
        state.workers += more;
        for _ in 0..more {
            self.workers.spawn(part_of_current(run_worker(Arc::clone(&self.ledger), Arc::clone(&self.shared))));
        }
    }

    /// Removes all writes that were not sent yet.
    pub(super) fn clear(&mut self) {
        self.shared.lock().queue.clear();
    }

    /// Whether no write is queued, in flight or uncollected.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.shared.lock();
        state.queue.is_empty() && state.in_flight.is_empty()
    }

    /// Waits until the queue is empty and every write has ended.
    pub(super) async fn wait_until_idle(&mut self) {
        while let Some(ended) = self.workers.join_next().await {
            propagate_panic(ended);
        }
    }
}

impl SharedQueue {
    /// The next write. If there is none, the calling worker ends.
    fn next(&self) -> Option<QueuedWrite> {
        let mut state = self.lock();
        let next = state.queue.pop_front();
        match &next {
            Some(write) => {
                state.in_flight.insert(write.id.clone(), write.has_more_steps);
            }
            None => state.workers -= 1,
        }
        next
    }

    fn finish(&self, outcome: WriteOutcome) {
        let mut state = self.lock();
        if matches!(outcome.result, Err(LedgerError::Unavailable { .. })) {
            // The registry may be unreachable: the next pass plans the rest again.
            state.queue.clear();
        }
        let awaited = state.in_flight.get(&outcome.id).is_none_or(|awaited| *awaited);
        let must_ring = awaited || outcome.result.is_err() || state.queue.is_empty();
        state.finished.push(outcome);
        drop(state);
        if must_ring {
            self.bell.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// If a task panics while it holds the lock, at worst the count of workers is one too high.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn run_worker<L: Ledger>(ledger: Arc<L>, shared: Arc<SharedQueue>) {
    while let Some(write) = shared.next() {
        shared.finish(execute(ledger.as_ref(), write).await);
    }
}

/// Sends a write. Before an existing entry is replaced or removed, its maintenance mode is read again: an operator may
/// have enabled it meanwhile, a registration would end it, and a removal would lose it.
async fn execute(ledger: &impl Ledger, QueuedWrite { id, mut step, entry_exists, .. }: QueuedWrite) -> WriteOutcome {
    let checks_maintenance = entry_exists && matches!(step, Step::Put(..) | Step::Remove { .. });
    let found = if checks_maintenance { ledger.maintenance(&id).await } else { Ok(None) };
    let is_operators = |reason: &String| !reason.starts_with(MAINTENANCE_PREFIX);
    let mut operator_reason = None;
    match (found, &mut step) {
        (Ok(reason), Step::Put(_, out)) => *out = reason.filter(is_operators).or_else(|| out.take()),
        (Ok(reason), _) => operator_reason = reason.filter(is_operators),
        (Err(error), Step::Put(..)) => {
            return WriteOutcome { id, step, operator_reason, result: Err(error) };
        }
        // An address that no longer answers is worse than a lost maintenance mode.
        (Err(error), _) => {
            tracing::debug!(instance = id, "removed without knowing its maintenance mode: {}", error.cause())
        }
    }
    let result = send(ledger, &step).await;
    WriteOutcome { id, step, operator_reason, result }
}

/// The ledger limits the time of each call.
async fn send(ledger: &impl Ledger, step: &Step) -> Result<(), LedgerError> {
    match step {
        Step::Put(instance, out) => ledger.put(instance, out.as_deref()).await,
        Step::Report { id, key, report } => ledger.report(id, key, report).await,
        Step::EnableMaintenance { id, reason } => ledger.enable_maintenance(id, reason).await,
        Step::DisableMaintenance { id } => ledger.disable_maintenance(id).await,
        Step::Remove { id, .. } => ledger.remove(id).await,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use tokio::{
        sync::{Semaphore, watch::Receiver},
        time::timeout,
    };

    use super::*;
    use crate::registry::{Entries, Instance, StatusReport};

    /// Removes an entry when a permit is available; never those in `hang`.
    #[derive(Default)]
    struct SlowLedger {
        removed: Mutex<Vec<String>>,
        open: Mutex<(usize, usize)>,
        permits: Option<Semaphore>,
        hang: BTreeSet<String>,
        away: bool,
    }

    impl Ledger for SlowLedger {
        fn name(&self) -> String {
            "slow".into()
        }

        async fn entries(&self) -> Result<Entries, LedgerError> {
            Ok(Entries::default())
        }

        async fn maintenance(&self, _: &str) -> Result<Option<String>, LedgerError> {
            Ok(None)
        }

        async fn put(&self, _: &Instance, _: Option<&str>) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn report(&self, _: &str, _: &str, _: &StatusReport) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn enable_maintenance(&self, _: &str, _: &str) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn disable_maintenance(&self, _: &str) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn remove(&self, id: &str) -> Result<(), LedgerError> {
            {
                let (open, most) = &mut *self.open.lock().expect("no panic");
                *open += 1;
                *most = (*most).max(*open);
            }
            if self.hang.contains(id) {
                std::future::pending::<()>().await;
            }
            if let Some(permits) = &self.permits {
                permits.acquire().await.expect("never closed").forget();
            }
            self.open.lock().expect("no panic").0 -= 1;
            if self.away {
                return Err(LedgerError::Unavailable { what: id.into(), source: "away".into() });
            }
            self.removed.lock().expect("no panic").push(id.to_owned());
            Ok(())
        }

        async fn advertised_address(&self) -> Result<String, LedgerError> {
            Ok(String::new())
        }
    }

    fn removals(ids: std::ops::Range<usize>) -> Vec<QueuedWrite> {
        ids.map(|id| id.to_string())
            .map(|id| QueuedWrite {
                step: Step::Remove { id: id.clone(), reason: "gone".into() },
                id,
                has_more_steps: false,
                entry_exists: false,
            })
            .collect()
    }

    fn writes(ledger: SlowLedger) -> (WriteQueue<SlowLedger>, Arc<SlowLedger>, Receiver<u64>) {
        let (bell, receiver) = watch::channel(0);
        let ledger = Arc::new(ledger);
        (WriteQueue::new(Arc::clone(&ledger), bell), ledger, receiver)
    }

    async fn wait_for_bell(bell: &mut Receiver<u64>) {
        timeout(Duration::from_secs(60), bell.changed()).await.expect("the bell rings").expect("the bell exists");
    }

    #[tokio::test]
    async fn a_write_that_hangs_delays_only_its_own_entry() {
        let hang = (0..MAX_CONCURRENT - 1).map(|id| id.to_string()).collect();
        let (mut writes, ledger, mut bell) = writes(SlowLedger { hang, ..SlowLedger::default() });
        writes.replace(removals(0..400));
        while ledger.removed.lock().expect("no panic").len() < 400 - (MAX_CONCURRENT - 1) {
            wait_for_bell(&mut bell).await;
        }
        assert!(ledger.open.lock().expect("no panic").1 <= MAX_CONCURRENT);
        assert_eq!(writes.collect().len(), 400 - (MAX_CONCURRENT - 1));
        assert!(!writes.is_idle());
        writes.replace(removals(0..1));
        assert_eq!(ledger.open.lock().expect("no panic").0, MAX_CONCURRENT - 1, "one write at a time for each entry");
    }

    #[tokio::test]
    async fn only_the_newest_plan_is_sent() {
        let permits = Some(Semaphore::new(0));
        let (mut writes, ledger, mut bell) = writes(SlowLedger { permits, ..SlowLedger::default() });
        writes.replace(removals(0..400));
        while ledger.open.lock().expect("no panic").0 < MAX_CONCURRENT {
            tokio::task::yield_now().await;
        }
        writes.replace(removals(0..2));
        ledger.permits.as_ref().expect("it has some").add_permits(400);
        while ledger.removed.lock().expect("no panic").len() < MAX_CONCURRENT {
            wait_for_bell(&mut bell).await;
        }
        assert_eq!(ledger.removed.lock().expect("no panic").len(), MAX_CONCURRENT, "the rest was never sent");
        assert_eq!(writes.collect().len(), MAX_CONCURRENT);
        assert!(writes.is_idle(), "what was sent already was left out of the new plan");
        writes.replace(removals(0..2));
        writes.wait_until_idle().await;
        assert_eq!(writes.collect().len(), 2);
    }

    #[tokio::test]
    async fn after_an_unavailable_registry_the_rest_is_not_sent() {
        let (mut writes, ledger, _bell) = writes(SlowLedger { away: true, ..SlowLedger::default() });
        writes.replace(removals(0..400));
        writes.wait_until_idle().await;
        assert!(ledger.open.lock().expect("no panic").1 <= MAX_CONCURRENT);
        let outcomes = writes.collect();
        assert!(outcomes.len() <= MAX_CONCURRENT && outcomes.iter().all(|outcome| outcome.result.is_err()));
        assert!(writes.is_idle());
    }
}
