//! The tasks of one run: a panic in one is seen, and all end together.

use std::{future::Future, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a task may take to complete what it has begun after it was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// A set of named tasks that share one end.
#[derive(Debug)]
pub struct TaskSet {
    set: JoinSet<()>,
    stop: CancellationToken,
}

/// A task panicked: a bug in Portreeve.
#[derive(Debug, thiserror::Error)]
#[error("a task ended by a panic, which is a bug in portreeve: {0}")]
pub struct TaskPanicked(String);

impl TaskSet {
    /// No tasks yet. Cancelling `stop` asks all of them to end.
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    /// Starts a task. It has to end soon after `stop` is cancelled.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(task);
    }

    /// Waits until every task has ended; one that does not end within 10 s after it was asked to is dropped.
    ///
    /// # Errors
    /// A task panicked: the others were asked to stop.
    pub async fn join(mut self) -> Result<(), TaskPanicked> {
        let mut panicked = None;
        let late = async {
            self.stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::pin!(late);
        loop {
            tokio::select! {
                ended = self.set.join_next() => match ended {
                    None => break,
                    Some(Err(error)) if error.is_panic() => {
                        self.stop.cancel();
                        panicked = Some(TaskPanicked(error.to_string()));
                    }
                    Some(_) => {}
                },
                () = &mut late => {
                    tracing::warn!("something did not end within {GRACE:?} after it was asked to; it is cut short");
                    break;
                }
            }
        }
        panicked.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_others_and_is_told() {
        let stop = CancellationToken::new();
        let mut tasks = TaskSet::new(stop.clone());
        tasks.spawn(async move { stop.cancelled().await });
        tasks.spawn(async { panic!("deliberate") });
        let error = tasks.join().await.expect_err("a panic");
        assert!(error.to_string().contains("deliberate"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_cut_short() {
        let stop = CancellationToken::new();
        let mut tasks = TaskSet::new(stop.clone());
        tasks.spawn(std::future::pending());
        stop.cancel();
        assert!(tasks.join().await.is_ok());
    }
}
