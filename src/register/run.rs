//! `register` as a daemon: the watch of Docker and the reconcile loop.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{pass_error::PassError, registrar::Registrar, settings::Settings};
use crate::{
    core::{
        reconcile::{self, LoopTimings},
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    docker,
    registry::Ledger,
};

/// The time limit of `--on-exit` at a clean stop.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs until `end` is cancelled. If `stop`, of which `end` must be a child, is cancelled too,
/// [`OnExit`](super::OnExit) decides what happens to the entries. Otherwise another run takes over, and they stay as
/// they are.
///
/// # Errors
/// A task panicked, or `--on-exit` could not be carried out.
pub async fn run<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: Arc<L>,
    stop: CancellationToken,
    end: CancellationToken,
) -> Result<(), RegisterError> {
    let containers = Store::default();
    let (result, mut received) = oneshot::channel();
    let mut tasks = TaskSet::new(end.clone());
    tasks.spawn("docker watch", docker::watch(docker.clone(), containers.clone(), settings.resync, end.clone()));
    tasks.spawn("registrar", async move {
        let timings = LoopTimings::with_resync(settings.resync);
        let mut registrar = Registrar::new(settings, docker, containers.clone(), ledger);
        let passes = reconcile::run(&mut registrar, containers.bell(), timings, end.clone());
        // Dropping a pass is harmless: what it did not complete is still different at the next start.
        tokio::select! {
            () = passes => {}
            () = end.cancelled() => {}
        }
        // Sending cannot fail: the receiver outlives the tasks.
        drop(result.send(shut_down(&mut registrar, stop.is_cancelled()).await));
    });
    tasks.join().await?;
    received.try_recv().unwrap_or(Ok(()))
}

/// Why [`run`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
    /// The registry did not carry out what [`OnExit`](super::OnExit) requires.
    #[error("--on-exit: entries stay in the registry as they are")]
    OnExit(#[source] PassError),
    /// The registry did not answer in time.
    #[error("--on-exit: the registry did not answer within {0:?}: entries stay as they are")]
    TimedOut(Duration),
}

/// Waits for the writes in flight, even if another run takes over: they must not overwrite its entries.
async fn shut_down<L: Ledger>(registrar: &mut Registrar<L>, is_stop: bool) -> Result<(), RegisterError> {
    let finishing = async {
        registrar.finish_writes().await;
        if is_stop { registrar.apply_on_exit().await } else { Ok(()) }
    };
    let finished =
        tokio::time::timeout(EXIT_TIMEOUT, finishing).await.map_err(|_| RegisterError::TimedOut(EXIT_TIMEOUT))?;
    finished.map_err(RegisterError::OnExit)
}
