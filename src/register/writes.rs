//! Writes that run beside the loop: at most one for each entry, and always what the newest plan wants.
//!
//! A pass replaces the queue; a worker that is free sends the next step of it. A write that hangs therefore holds up
//! its own entry only, and nothing is sent that was planned from an older state.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, task::JoinSet};

use super::plan::Step;
use crate::registry::{Ledger, LedgerError, OUT_PREFIX};

/// How many writes are open at once. Many can hang before the others have to wait, and an agent's limit of 200
/// connections for each client has room for a `render` beside it.
const AT_ONCE: usize = 64;

/// What is to be written to one entry next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The entry.
    pub(super) id: String,
    /// The first step of its plan.
    pub(super) step: Step,
    /// Whether the plan has further steps for it.
    pub(super) more: bool,
    /// Whether an operator may have taken the entry out of traffic since it was read: it is there already.
    pub(super) replaces: bool,
}

/// What came of a [`Write`].
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) id: String,
    /// What was sent.
    pub(super) step: Step,
    /// Why an operator had taken the entry out of traffic, if it was removed.
    pub(super) maintained: Option<String>,
    pub(super) result: Result<(), LedgerError>,
}

/// The writes of one registrar. Dropped, it breaks off those that are open.
#[derive(Debug)]
pub(super) struct Writes<L> {
    ledger: Arc<L>,
    shared: Arc<Shared>,
    workers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bell: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Write>,
    /// Entries whose write was sent and not collected yet, each with whether a pass waits for it.
    sent: BTreeMap<String, bool>,
    done: Vec<Outcome>,
    workers: usize,
}

impl<L: Ledger> Writes<L> {
    /// Rings `bell` when a pass has something to decide.
    pub(super) fn new(ledger: Arc<L>, bell: watch::Sender<u64>) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), bell });
        Self { ledger, shared, workers: JoinSet::new() }
    }

    /// Takes the writes that have ended since the last call.
    pub(super) fn collect(&mut self) -> Vec<Outcome> {
        let mut state = self.shared.lock();
        let done = std::mem::take(&mut state.done);
        for outcome in &done {
            state.sent.remove(&outcome.id);
        }
        done
    }

    /// Replaces all that was not sent yet. An entry whose last write was not collected yet is left out: what it needs
    /// is known only then, and the bell rings for it.
    pub(super) fn replace(&mut self, writes: impl IntoIterator<Item = Write>) {
        while let Some(ended) = self.workers.try_join_next() {
            propagate(ended);
        }
        let mut state = self.shared.lock();
        let State { queue, sent, .. } = &mut *state;
        queue.clear();
        for write in writes {
            match sent.get_mut(&write.id) {
                Some(awaited) => *awaited = true,
                None => queue.push_back(write),
            }
        }
        let more = state.queue.len().min(AT_ONCE.saturating_sub(state.workers));
        state.workers += more;
        for _ in 0..more {
            self.workers.spawn(work(Arc::clone(&self.ledger), Arc::clone(&self.shared)));
        }
    }

    /// Forgets what was not sent yet.
    pub(super) fn clear(&mut self) {
        self.shared.lock().queue.clear();
    }

    /// Whether nothing waits to be sent, answered or collected.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.shared.lock();
        state.queue.is_empty() && state.sent.is_empty()
    }

    /// Waits until the queue is empty and every write has ended.
    pub(super) async fn settle(&mut self) {
        while let Some(ended) = self.workers.join_next().await {
            propagate(ended);
        }
    }
}

impl Shared {
    /// The next write, or the end of the worker that asks.
    fn next(&self) -> Option<Write> {
        let mut state = self.lock();
        let next = state.queue.pop_front();
        match &next {
            Some(write) => {
                state.sent.insert(write.id.clone(), write.more);
            }
            None => state.workers -= 1,
        }
        next
    }

    fn ended(&self, outcome: Outcome) {
        let mut state = self.lock();
        if matches!(outcome.result, Err(LedgerError::Unavailable { .. })) {
            // Perhaps nobody is there any more: what the rest is worth, the next pass finds out.
            state.queue.clear();
        }
        let awaited = state.sent.get(&outcome.id).is_none_or(|awaited| *awaited);
        let rings = awaited || outcome.result.is_err() || state.queue.is_empty();
        state.done.push(outcome);
        drop(state);
        if rings {
            self.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    /// A task that panicked inside a method leaves at worst a worker too many in the count.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work<L: Ledger>(ledger: Arc<L>, shared: Arc<Shared>) {
    while let Some(write) = shared.next() {
        shared.ended(carry_out(ledger.as_ref(), write).await);
    }
}

/// An operator's maintenance mode may be younger than our last look: a registration would end it, and a removal lose it.
async fn carry_out(ledger: &impl Ledger, Write { id, mut step, replaces, .. }: Write) -> Outcome {
    let asks = replaces && matches!(step, Step::Put(..) | Step::Remove { .. });
    let found = if asks { ledger.maintenance(&id).await } else { Ok(None) };
    let operators = |reason: &String| !reason.starts_with(OUT_PREFIX);
    let mut maintained = None;
    match (found, &mut step) {
        (Ok(reason), Step::Put(_, out)) => *out = reason.filter(operators).or_else(|| out.take()),
        (Ok(reason), _) => maintained = reason.filter(operators),
        (Err(error), Step::Put(..)) => return Outcome { id, step, maintained, result: Err(error) },
        // A dead address is worse than a lost maintenance mode.
        (Err(error), _) => tracing::debug!(instance = id, "removed all the same: {}", error.cause()),
    }
    let result = send(ledger, &step).await;
    Outcome { id, step, maintained, result }
}

/// Every call of a ledger has a time limit of its own.
async fn send(ledger: &impl Ledger, step: &Step) -> Result<(), LedgerError> {
    match step {
        Step::Put(instance, out) => ledger.put(instance, out.as_deref()).await,
        Step::Report { id, key, report } => ledger.report(id, key, report).await,
        Step::TakeOut { id, reason } => ledger.take_out(id, reason).await,
        Step::BringBack { id } => ledger.bring_back(id).await,
        Step::Remove { id, .. } => ledger.remove(id).await,
    }
}

fn propagate(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
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
    use crate::registry::{Entries, Instance, Report};

    /// Removes an entry when there is a permit for it; never those that hang.
    #[derive(Default)]
    struct Slow {
        removed: Mutex<Vec<String>>,
        open: Mutex<(usize, usize)>,
        permits: Option<Semaphore>,
        hang: BTreeSet<String>,
        away: bool,
    }

    impl Ledger for Slow {
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

        async fn report(&self, _: &str, _: &str, _: &Report) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn take_out(&self, _: &str, _: &str) -> Result<(), LedgerError> {
            Ok(())
        }

        async fn bring_back(&self, _: &str) -> Result<(), LedgerError> {
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

    fn removals(ids: std::ops::Range<usize>) -> Vec<Write> {
        ids.map(|id| id.to_string())
            .map(|id| Write {
                step: Step::Remove { id: id.clone(), why: "gone".into() },
                id,
                more: false,
                replaces: false,
            })
            .collect()
    }

    fn writes(ledger: Slow) -> (Writes<Slow>, Arc<Slow>, Receiver<u64>) {
        let (bell, heard) = watch::channel(0);
        let ledger = Arc::new(ledger);
        (Writes::new(Arc::clone(&ledger), bell), ledger, heard)
    }

    async fn heard(bell: &mut Receiver<u64>) {
        timeout(Duration::from_secs(60), bell.changed()).await.expect("a ring").expect("the bell is there");
    }

    #[tokio::test]
    async fn writes_that_hang_hold_up_their_own_entries_only() {
        let hang = (0..AT_ONCE - 1).map(|id| id.to_string()).collect();
        let (mut writes, ledger, mut bell) = writes(Slow { hang, ..Slow::default() });
        writes.replace(removals(0..400));
        while ledger.removed.lock().expect("no panic").len() < 400 - (AT_ONCE - 1) {
            heard(&mut bell).await;
        }
        assert!(ledger.open.lock().expect("no panic").1 <= AT_ONCE);
        assert_eq!(writes.collect().len(), 400 - (AT_ONCE - 1));
        assert!(!writes.is_idle());
        writes.replace(removals(0..1));
        assert_eq!(ledger.open.lock().expect("no panic").0, AT_ONCE - 1, "one write at a time for each entry");
    }

    #[tokio::test]
    async fn what_is_sent_is_what_the_newest_plan_wants() {
        let permits = Some(Semaphore::new(0));
        let (mut writes, ledger, mut bell) = writes(Slow { permits, ..Slow::default() });
        writes.replace(removals(0..400));
        while ledger.open.lock().expect("no panic").0 < AT_ONCE {
            tokio::task::yield_now().await;
        }
        writes.replace(removals(0..2));
        ledger.permits.as_ref().expect("it has some").add_permits(400);
        while ledger.removed.lock().expect("no panic").len() < AT_ONCE {
            heard(&mut bell).await;
        }
        assert_eq!(ledger.removed.lock().expect("no panic").len(), AT_ONCE, "the rest was never sent");
        assert_eq!(writes.collect().len(), AT_ONCE);
        assert!(writes.is_idle(), "what was sent already was left out of the new plan");
        writes.replace(removals(0..2));
        writes.settle().await;
        assert_eq!(writes.collect().len(), 2);
    }

    #[tokio::test]
    async fn where_nobody_answers_the_rest_is_not_sent() {
        let (mut writes, ledger, _bell) = writes(Slow { away: true, ..Slow::default() });
        writes.replace(removals(0..400));
        writes.settle().await;
        assert!(ledger.open.lock().expect("no panic").1 <= AT_ONCE);
        let outcomes = writes.collect();
        assert!(outcomes.len() <= AT_ONCE && outcomes.iter().all(|outcome| outcome.result.is_err()));
        assert!(writes.is_idle());
    }
}
