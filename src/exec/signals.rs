//! The signals that have no meaning for Portreeve and are forwarded to the child.

use std::{future::poll_fn, io, task::Poll};

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

const FORWARDED: [Signal; 6] =
    [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGQUIT, Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGALRM];

/// Receives these signals. Once it is created, they no longer have their default effect on Portreeve.
pub(super) struct ForwardedSignals(Vec<(Signal, unix::Signal)>);

impl ForwardedSignals {
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |name: Signal| Ok((name, signal(SignalKind::from_raw(name as i32))?));
        FORWARDED.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// The next signal. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let mut received = self.0.iter_mut().map(|(name, listener)| (*name, listener.poll_recv(context)));
            let next = received.find(|(_, poll)| poll.is_ready());
            next.map_or(Poll::Pending, |(name, _)| Poll::Ready(name))
        })
        .await
    }
}
