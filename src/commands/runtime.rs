//! The tokio runtime.

use std::time::Duration;

use anyhow::Context;

use super::CommandFailure;

/// How long to wait at the end for blocking work: a swap of files is completed, a thread that hangs is abandoned.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs `work` on a multi-thread runtime.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(CommandFailure::Run)?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    Ok(done)
}
