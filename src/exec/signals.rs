//! The signals that are not about us, and so go to the child.

use std::{future::poll_fn, io, task::Poll};

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

const FORWARDED: [Signal; 6] =
    [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGQUIT, Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGALRM];

/// Listens to them, from when it is made: they do no longer what they would do to us.
pub(super) struct ForwardedSignals(Vec<(Signal, unix::Signal)>);

impl ForwardedSignals {
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |name: Signal| Ok((name, signal(SignalKind::from_raw(name as i32))?));
        FORWARDED.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// The next one. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let mut came = self.0.iter_mut().map(|(name, listener)| (*name, listener.poll_recv(context)));
            let came = came.find(|(_, came)| came.is_ready());
            came.map_or(Poll::Pending, |(name, _)| Poll::Ready(name))
        })
        .await
    }
}
