//! The program that is supervised: it outlives what changes around it, and we end as it does.

use anyhow::Context;
use portreeve::exec::{ChildSpec, ExecError, Settings, supervise};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{CommandFailure, run_failure};

/// Does `work` until it ends, or until the child has ended, if it has ordered one.
pub(super) async fn run_beside(
    work: impl Future<Output = Result<(), CommandFailure>>,
    orders: watch::Receiver<ChildSpec>,
    stop: &CancellationToken,
) -> Result<(), CommandFailure> {
    let child = async {
        let ended = supervise(orders, stop.clone()).await;
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

/// Runs it to its end.
pub(super) async fn run_alone(settings: Settings, stop: CancellationToken) -> Result<(), CommandFailure> {
    // There is nothing to be read again, and no reason to die and leave the child alone.
    let _unheard = signal(SignalKind::hangup()).context("cannot listen for SIGHUP").map_err(CommandFailure::Run)?;
    let (_orders, ordered) = watch::channel(ChildSpec { settings: Some(settings), ..ChildSpec::default() });
    exit_result(supervise(ordered, stop).await)
}

fn exit_result(ended: Result<u8, ExecError>) -> Result<(), CommandFailure> {
    match ended.map_err(run_failure)? {
        0 => Ok(()),
        code => Err(CommandFailure::ChildExit(code)),
    }
}
