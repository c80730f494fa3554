//! The supervised child process: it outlives changes of the configuration, and Portreeve exits with its exit code.

use anyhow::Context;
use portreeve::exec::{ChildSpec, ExecError, Settings, supervise};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{CommandFailure, run_failure};

/// Runs `work` and the child that it specifies, until one of them has ended; then the other is stopped.
pub(super) async fn run_beside(
    work: impl Future<Output = Result<(), CommandFailure>>,
    spec: watch::Receiver<ChildSpec>,
    stop: &CancellationToken,
) -> Result<(), CommandFailure> {
    let child = async {
        let ended = supervise(spec, stop.clone()).await;
        stop.cancel();
        exit_result(ended)
    };
    let work = async {
        let done = work.await;
        stop.cancel();
        done
    };
    let (done, exited) = tokio::join!(work, child);
    done.and(exited)
}

/// Runs the child until it ends, without any work beside it.
pub(super) async fn run_alone(settings: Settings, stop: CancellationToken) -> Result<(), CommandFailure> {
    // Otherwise SIGHUP would end this process and orphan the child. There is no configuration to read again.
    let _ignored = signal(SignalKind::hangup()).context("cannot listen for SIGHUP").map_err(CommandFailure::Run)?;
    let (_sender, spec) = watch::channel(ChildSpec { settings: Some(settings), ..ChildSpec::default() });
    exit_result(supervise(spec, stop).await)
}

fn exit_result(ended: Result<u8, ExecError>) -> Result<(), CommandFailure> {
    match ended.map_err(run_failure)? {
        0 => Ok(()),
        code => Err(CommandFailure::ChildExit(code)),
    }
}
