//! SIGTERM and SIGINT: the first one starts a clean stop, the second one aborts it.

use std::{thread, time::Duration};

use anyhow::Context;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The time between the second signal and the exit, in which the supervised child is killed.
const EXIT_DELAY: Duration = Duration::from_secs(1);

/// Cancels `stop` at the first signal and `abort` at the second one, and exits 1 s after that.
///
/// The signals are received in a thread with its own runtime, so that a signal works even if the main runtime hangs or
/// shuts down.
pub(super) fn stop_on_signals(stop: CancellationToken, abort: CancellationToken) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot listen for signals")?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    drop(entered);
    let listen = async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        tracing::info!("{}: stopping", next().await);
        stop.cancel();
        tracing::warn!("{} again: not waiting any longer", next().await);
        abort.cancel();
        sleep(EXIT_DELAY).await;
        std::process::exit(1)
    };
    let started = thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen));
    started.map(drop).context("cannot start the thread that listens for signals")
}
