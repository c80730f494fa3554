//! The loop of every reconciler: one pass over the whole state, then sleep until the next one is due.
//!
//! ```text
//! bell, due time, resync, retry ──► pass: observe, plan, apply ──► NextPass: idle, after a time, retry with back-off
//!           ▲                                                          │
//!           └──────────────────────────────────────────────────────────┘
//! ```
//!
//! There is one pass at a time. What a pass could not do still differs at the next one.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::supervise;

/// Makes the actual state equal to the desired one, pass by pass.
pub trait Reconcile: Send {
    /// Observes, plans, applies.
    fn pass(&mut self, cause: PassCause) -> impl Future<Output = NextPass> + Send;
}

/// Why a pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassCause {
    /// The bell rang, or the time that the last pass returned has come.
    Wake,
    /// The first pass, the regular resync, or a retry: observe everything again.
    Resync,
}

/// When the next pass is due, unless the bell rings before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPass {
    /// At the next resync.
    Idle,
    /// After this time.
    After(Duration),
    /// The pass failed: retry with back-off. The bell wakes the loop before that, see [`LoopTimings::retry_floor`].
    Retry,
}

/// The intervals of a loop.
#[derive(Clone, Copy, Debug)]
pub struct LoopTimings {
    /// Time between two resyncs.
    pub resync: Duration,
    /// The wait after the first failed pass. It doubles with each further one.
    pub retry_min: Duration,
    /// The longest wait between two failed passes.
    pub retry_max: Duration,
    /// The minimum time between a failed pass and a pass that the bell causes. A change must not wait for the whole
    /// back-off, and a bell that rings often must not bypass it.
    pub retry_floor: Duration,
}

impl LoopTimings {
    /// Retries after 100 ms up to 5 s: short, since users wait for the first pass after a recovery.
    pub fn with_resync(resync: Duration) -> Self {
        Self {
            resync,
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(5),
            retry_floor: Duration::from_millis(500),
        }
    }

    fn delays(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.retry_min)
            .with_max_delay(self.retry_max)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

/// Runs passes until `stop` is cancelled or the store of the bell is dropped. A pass that has begun is completed.
pub async fn run(
    worker: &mut impl Reconcile,
    mut bell: watch::Receiver<u64>,
    timings: LoopTimings,
    stop: CancellationToken,
) {
    let task = supervise::current();
    let mut cause = PassCause::Resync;
    let mut delays = timings.delays();
    let mut resync_at = Instant::now() + timings.resync;
    while !stop.is_cancelled() {
        bell.mark_unchanged();
        task.report_running();
        let next = worker.pass(cause).await;
        let now = Instant::now();
        if cause == PassCause::Resync {
            resync_at = now + timings.resync;
        }
        let (bell_from, wake_at, then) = match next {
            NextPass::Retry => {
                (now + timings.retry_floor, now + delays.next().unwrap_or(timings.retry_max), PassCause::Resync)
            }
            NextPass::After(wait) if now + wait < resync_at => (now, now + wait, PassCause::Wake),
            NextPass::Idle | NextPass::After(_) => (now, resync_at, PassCause::Resync),
        };
        task.report_run(next != NextPass::Retry, wake_at - now);
        if next != NextPass::Retry {
            delays = timings.delays();
        }
        let rang = async {
            tokio::time::sleep_until(bell_from).await;
            bell.changed().await
        };
        cause = tokio::select! {
            () = stop.cancelled() => return,
            rang = rang => match rang {
                // What a failed pass observed may be wrong.
                Ok(()) if next == NextPass::Retry => PassCause::Resync,
                Ok(()) => PassCause::Wake,
                Err(_) => return,
            },
            () = tokio::time::sleep_until(wake_at) => then,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::core::{
        condition::Condition,
        supervise::TaskSet,
        task_table::{TaskState, TaskTable},
    };

    /// Returns scripted results, records when it was called, and stops the loop after the last one.
    struct ScriptedPasses {
        results: VecDeque<NextPass>,
        passes: Vec<(u64, PassCause)>,
        begin: Instant,
        stop: CancellationToken,
    }

    impl Reconcile for ScriptedPasses {
        async fn pass(&mut self, cause: PassCause) -> NextPass {
            self.passes.push((self.begin.elapsed().as_secs(), cause));
            self.results.pop_front().unwrap_or_else(|| {
                self.stop.cancel();
                NextPass::Idle
            })
        }
    }

    async fn play(
        results: &[NextPass],
        ring: impl Future<Output = ()>,
        bell: watch::Receiver<u64>,
    ) -> Vec<(u64, PassCause)> {
        let stop = CancellationToken::new();
        let results = results.iter().copied().collect();
        let mut script = ScriptedPasses { results, passes: Vec::new(), begin: Instant::now(), stop: stop.clone() };
        let timings = LoopTimings {
            resync: Duration::from_secs(30),
            retry_min: Duration::from_secs(8),
            retry_max: Duration::from_secs(16),
            retry_floor: Duration::from_secs(1),
        };
        tokio::join!(run(&mut script, bell, timings, stop), ring);
        script.passes
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_made_at_resync_and_when_the_last_pass_asked_for_it() {
        let (_bell, receiver) = watch::channel(0);
        let passes = play(&[NextPass::Idle, NextPass::After(Duration::from_secs(7))], async {}, receiver).await;
        assert_eq!(passes, [(0, PassCause::Resync), (30, PassCause::Resync), (37, PassCause::Wake)]);
    }

    #[tokio::test(start_paused = true)]
    async fn frequent_wake_ups_do_not_postpone_the_resync() {
        let (_bell, receiver) = watch::channel(0);
        let often =
            [NextPass::Idle, NextPass::After(Duration::from_secs(20)), NextPass::After(Duration::from_secs(20))];
        let passes = play(&often, async {}, receiver).await;
        assert_eq!(
            passes,
            [(0, PassCause::Resync), (30, PassCause::Resync), (50, PassCause::Wake), (60, PassCause::Resync)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_rings_make_one_pass() {
        let (bell, receiver) = watch::channel(0);
        let ring = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            (0..1000).for_each(|_| bell.send_modify(|rings| *rings += 1));
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        let passes = play(&[NextPass::Idle, NextPass::Idle], ring, receiver).await;
        assert_eq!(passes[..2], [(0, PassCause::Resync), (3, PassCause::Wake)]);
        assert_eq!(passes[2].1, PassCause::Resync);
    }

    #[tokio::test(start_paused = true)]
    async fn the_status_of_the_task_follows_the_passes() {
        /// Fails once, and notes the status of its task in each pass.
        struct FailingOnce(Condition, TaskTable, Vec<TaskState>, CancellationToken);

        impl Reconcile for FailingOnce {
            async fn pass(&mut self, _: PassCause) -> NextPass {
                let Self(condition, table, states, stop) = self;
                states.push(table.snapshot().remove(0).state);
                match states.len() {
                    1 => {
                        condition.report_problem(&std::io::Error::other("refused"));
                        return NextPass::Retry;
                    }
                    2 => condition.report_ok(),
                    _ => stop.cancel(),
                }
                NextPass::Idle
            }
        }
        let (bell, receiver) = watch::channel(0);
        let stop = CancellationToken::new();
        let mut tasks = TaskSet::new(stop.clone());
        let table = tasks.table();
        let mut worker = FailingOnce(Condition::new("Consul"), table.clone(), Vec::new(), stop.clone());
        tasks.spawn("worker", async move {
            run(&mut worker, receiver, LoopTimings::with_resync(Duration::from_secs(3600)), stop).await;
            assert_eq!(worker.2, vec![TaskState::Running; 3], "in each pass");
        });
        let status = || table.snapshot().remove(0);
        while status().state != TaskState::Idle {
            if let TaskState::Waiting(subjects) = status().state {
                assert_eq!(subjects, ["Consul".to_owned()].into());
                assert!(status().last_success.is_none());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(status().last_success.is_some() && status().next_run.is_some(), "{table:?}");
        assert_eq!(status().last_error.map(|error| error.message).as_deref(), Some("Consul: refused"));
        bell.send_replace(1);
        tasks.join().await.expect("no panic");
        assert_eq!(status().state, TaskState::Ended);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_pass_backs_off_and_observes_everything_anew() {
        let (_bell, receiver) = watch::channel(0);
        let passes = play(&[NextPass::Retry, NextPass::Retry], async {}, receiver).await;
        assert!(passes.len() == 3 && passes.iter().all(|(_, cause)| *cause == PassCause::Resync), "{passes:?}");
        assert!(passes[1].0 >= 8 && passes[2].0 >= 24, "{passes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_bell_wakes_during_back_off_and_many_rings_do_not_defeat_it() {
        let (bell, receiver) = watch::channel(0);
        let ring = async {
            for _ in 0..350 {
                bell.send_modify(|rings| *rings += 1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        let passes = play(&[NextPass::Retry; 5], ring, receiver).await;
        let times: Vec<_> = passes.iter().map(|(at, _)| *at).collect();
        // One pass for each second in which the bell rings, and one afterwards.
        assert_eq!(times[..5], [0, 1, 2, 3, 4], "{passes:?}");
        assert!(times[5] >= 20 && passes.iter().all(|(_, cause)| *cause == PassCause::Resync), "{passes:?}");
    }
}
