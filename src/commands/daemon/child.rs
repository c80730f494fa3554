//! The program that is supervised: it outlives what changes around it, and we end as it does.

use anyhow::Context;
use portreeve::exec::{ExecError, Order, Settings, supervise};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{Failure, failed};

/// Does `work` until it ends, or until the child has ended, if it has ordered one.
pub(super) async fn beside(
    work: impl Future<Output = Result<(), Failure>>,
    orders: watch::Receiver<Order>,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    let child = async {
        let ended = supervise(orders, stop.clone()).await;
        stop.cancel();
        exited(ended)
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
pub(super) async fn alone(settings: Settings, stop: CancellationToken) -> Result<(), Failure> {
    // There is nothing to be read again, and no reason to die and leave the child alone.
    let _unheard = signal(SignalKind::hangup()).context("cannot listen for SIGHUP").map_err(Failure::Run)?;
    let (_orders, ordered) = watch::channel(Order { settings: Some(settings), ..Order::default() });
    exited(supervise(ordered, stop).await)
}

fn exited(ended: Result<u8, ExecError>) -> Result<(), Failure> {
    match ended.map_err(failed)? {
        0 => Ok(()),
        code => Err(Failure::Child(code)),
    }
}
