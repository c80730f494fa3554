//! Requests from the network that the hosts are attached to.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::{self, Answer, Request};
use crate::namespace;
use crate::stream::Stream;

/// Works in the network namespace of the bridge; its address there is 192.168.50.1.
#[derive(Clone)]
pub struct Client {
    network: PathBuf,
}

impl Client {
    pub(crate) fn new(network: PathBuf) -> Self {
        Self { network }
    }

    /// Runs `work` inside the network, on a thread of its own. It may use any blocking client.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::in_network(&self.network, work)
    }

    /// `GET url`, on a new connection, within 10 seconds.
    pub fn get(&self, url: &str) -> io::Result<Answer> {
        self.send(&Request::get(url))
    }

    /// Sends a request on a new connection.
    pub fn send(&self, request: &Request<'_>) -> io::Result<Answer> {
        self.run(|| http::send(request))
    }

    /// Starts to send `GET url` at a fixed rate, each on a new connection.
    pub fn stream(&self, url: &str, per_second: u32) -> Stream {
        Stream::start(self.network.clone(), url.to_owned(), Duration::from_secs(1) / per_second)
    }
}
