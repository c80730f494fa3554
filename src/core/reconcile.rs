//! THE loop: wake up, make one pass over the whole state, sleep until there is a reason to look again.
//!
//! A pass observes, plans and applies. Whatever could not be done is simply still different at the next pass. There is
//! one pass at a time, and nothing but this loop has a clock.

use std::{future::Future, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Something that can be brought in line with what is wanted, one pass at a time.
pub trait Reconcile: Send {
    /// Observes, plans, applies.
    fn pass(&mut self, cause: PassCause) -> impl Future<Output = NextPass> + Send;
}

/// Why a pass is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassCause {
    /// The bell rang, or the time that the last pass asked for has come.
    Wake,
    /// Nothing is known to have changed: the regular look, the first pass, and each retry. Observe everything anew.
    Resync,
}

/// When the next pass is due, if the bell does not ring before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPass {
    /// At the next resync.
    Idle,
    /// After this time.
    After(Duration),
    /// Something upstream is in trouble: with back-off. A bell is heard before that, see [`Pace::retry_floor`].
    Retry,
}

/// The rhythm of a loop.
#[derive(Clone, Copy, Debug)]
pub struct LoopTimings {
    /// Time between two regular looks.
    pub resync: Duration,
    /// Wait after the first failed pass; doubles with each further one.
    pub retry_min: Duration,
    /// The longest wait between two failed passes.
    pub retry_max: Duration,
    /// The least time between a failed pass and one that the bell asks for: what is in trouble must not hold up news, and
    /// many rings must not defeat the back-off.
    pub retry_floor: Duration,
}

impl LoopTimings {
    /// Retries from 100 ms up to 5 s: short, since the first pass after a recovery is what users wait for.
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

/// Runs passes until `stop` is cancelled or the bell's store is gone. A pass that has begun is completed.
pub async fn run(
    worker: &mut impl Reconcile,
    mut bell: watch::Receiver<u64>,
    pace: LoopTimings,
    stop: CancellationToken,
) {
    let mut cause = PassCause::Resync;
    let mut delays = pace.delays();
    let mut resync_at = Instant::now() + pace.resync;
    while !stop.is_cancelled() {
        bell.mark_unchanged();
        let next = worker.pass(cause).await;
        let now = Instant::now();
        if cause == PassCause::Resync {
            resync_at = now + pace.resync;
        }
        let (hear_at, wake_at, then) = match next {
            NextPass::Retry => {
                (now + pace.retry_floor, now + delays.next().unwrap_or(pace.retry_max), PassCause::Resync)
            }
            NextPass::After(wait) if now + wait < resync_at => (now, now + wait, PassCause::Wake),
            NextPass::Idle | NextPass::After(_) => (now, resync_at, PassCause::Resync),
        };
        if next != NextPass::Retry {
            delays = pace.delays();
        }
        let rang = async {
            tokio::time::sleep_until(hear_at).await;
            bell.changed().await
        };
        cause = tokio::select! {
            () = stop.cancelled() => return,
            rang = rang => match rang {
                // After a failed pass, nothing that it observed may be relied on.
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

    /// Answers from a script, notes when it was called, and stops the loop when the script is over.
    struct ScriptedPasses {
        answers: VecDeque<NextPass>,
        passes: Vec<(u64, PassCause)>,
        begin: Instant,
        stop: CancellationToken,
    }

    impl Reconcile for ScriptedPasses {
        async fn pass(&mut self, cause: PassCause) -> NextPass {
            self.passes.push((self.begin.elapsed().as_secs(), cause));
            self.answers.pop_front().unwrap_or_else(|| {
                self.stop.cancel();
                NextPass::Idle
            })
        }
    }

    async fn play(
        answers: &[NextPass],
        ring: impl Future<Output = ()>,
        bell: watch::Receiver<u64>,
    ) -> Vec<(u64, PassCause)> {
        let stop = CancellationToken::new();
        let answers = answers.iter().copied().collect();
        let mut script = ScriptedPasses { answers, passes: Vec::new(), begin: Instant::now(), stop: stop.clone() };
        let pace = LoopTimings {
            resync: Duration::from_secs(30),
            retry_min: Duration::from_secs(8),
            retry_max: Duration::from_secs(16),
            retry_floor: Duration::from_secs(1),
        };
        tokio::join!(run(&mut script, bell, pace, stop), ring);
        script.passes
    }

    #[tokio::test(start_paused = true)]
    async fn looks_again_at_resync_and_when_a_pass_asks_for_it() {
        let (_bell, heard) = watch::channel(0);
        let passes = play(&[NextPass::Idle, NextPass::After(Duration::from_secs(7))], async {}, heard).await;
        assert_eq!(passes, [(0, PassCause::Resync), (30, PassCause::Resync), (37, PassCause::Wake)]);
    }

    #[tokio::test(start_paused = true)]
    async fn waking_often_does_not_put_the_resync_off() {
        let (_bell, heard) = watch::channel(0);
        let often =
            [NextPass::Idle, NextPass::After(Duration::from_secs(20)), NextPass::After(Duration::from_secs(20))];
        let passes = play(&often, async {}, heard).await;
        assert_eq!(
            passes,
            [(0, PassCause::Resync), (30, PassCause::Resync), (50, PassCause::Wake), (60, PassCause::Resync)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_rings_make_one_pass() {
        let (bell, heard) = watch::channel(0);
        let ring = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            (0..1000).for_each(|_| bell.send_modify(|rings| *rings += 1));
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        let passes = play(&[NextPass::Idle, NextPass::Idle], ring, heard).await;
        assert_eq!(passes[..2], [(0, PassCause::Resync), (3, PassCause::Wake)]);
        assert_eq!(passes[2].1, PassCause::Resync);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_pass_backs_off_and_looks_at_everything_again() {
        let (_bell, heard) = watch::channel(0);
        let passes = play(&[NextPass::Retry, NextPass::Retry], async {}, heard).await;
        assert!(passes.len() == 3 && passes.iter().all(|(_, cause)| *cause == PassCause::Resync), "{passes:?}");
        assert!(passes[1].0 >= 8 && passes[2].0 >= 24, "{passes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn news_is_heard_during_back_off_and_many_rings_do_not_defeat_it() {
        let (bell, heard) = watch::channel(0);
        let ring = async {
            for _ in 0..350 {
                bell.send_modify(|rings| *rings += 1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        };
        let passes = play(&[NextPass::Retry; 5], ring, heard).await;
        let times: Vec<_> = passes.iter().map(|(at, _)| *at).collect();
        // One ring for each second of the storm; the last of them is heard after it.
        assert_eq!(times[..5], [0, 1, 2, 3, 4], "{passes:?}");
        assert!(times[5] >= 20 && passes.iter().all(|(_, cause)| *cause == PassCause::Resync), "{passes:?}");
    }
}
