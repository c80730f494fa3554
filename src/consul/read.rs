//! Reads that may wait for a change: what all of them have in common.

use std::time::Duration;

use super::{
    Client, Error,
    client::Call,
    response::{Response, Stamp},
};

/// How a read is made. The default asks the leader and is answered at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read<'a> {
    /// Another datacenter than the one in [`Settings`](super::Settings).
    pub dc: Option<&'a str>,
    /// What the caller has seen, and how long the agent may wait for something newer.
    pub newer_than: Option<(u64, Duration)>,
    /// Any server may answer, even if its leader knows better.
    pub stale: bool,
}

/// The answer to a [`Read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<T> {
    /// The data.
    pub value: T,
    /// What the headers say of it.
    pub stamp: Stamp,
}

impl Client {
    /// Sends a read that has to succeed and to come from a server with a leader.
    pub(super) async fn read(&self, call: Call, read: &Read<'_>) -> Result<Response, Error> {
        self.read_any(call, read).await?.success()
    }

    /// The same with any status: for calls where 404 is an answer.
    pub(super) async fn read_any(&self, mut call: Call, read: &Read<'_>) -> Result<Response, Error> {
        if let Some(dc) = read.dc.or(self.settings().datacenter.as_deref()) {
            call = call.with("dc", dc);
        }
        if let Some((index, wait)) = read.newer_than {
            call = call.with("index", index.to_string()).with("wait", format!("{}ms", wait.as_millis()));
            call.wait = wait;
        }
        if read.stale {
            call = call.with("stale", "");
        }
        let response = self.exchange(call).await?;
        if response.stamp.known_leader { Ok(response) } else { Err(Error::Leaderless { call: response.call }) }
    }
}
