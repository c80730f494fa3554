//! What ends the process: the first SIGTERM or SIGINT asks for a clean stop, the second does not wait for one.

use std::{thread, time::Duration};

use anyhow::Context;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// How long the second signal leaves to whoever ends what is supervised.
const EXIT_DELAY: Duration = Duration::from_secs(1);

/// Cancels `stop` at the first signal and `at_once` at the second one, and ends the process soon after that.
///
/// A thread with a runtime of its own listens: whatever hangs elsewhere, even while the other runtime shuts down, does not
/// keep a signal from being heard.
pub(super) fn stop_on_signals(stop: CancellationToken, at_once: CancellationToken) -> anyhow::Result<()> {
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
        at_once.cancel();
        sleep(EXIT_DELAY).await;
        std::process::exit(1)
    };
    let started = thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen));
    started.map(drop).context("cannot start the thread that listens for signals")
}
