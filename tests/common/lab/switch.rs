//! The network that the hosts are plugged into, and where their clients are.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::enter;
use super::http::{self, Answer, Request};
use super::stream::Stream;

/// The switch; its own address is 192.168.50.1.
#[derive(Clone)]
pub struct Switch {
    network: PathBuf,
}

impl Switch {
    pub(super) fn new(network: PathBuf) -> Self {
        Self { network }
    }

    /// The file that stands for the network.
    pub fn network(&self) -> &PathBuf {
        &self.network
    }

    /// Runs `work` where the clients are, on a thread of its own: any blocking client can be used in it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        enter::in_network(&self.network, work)
    }

    /// `GET url`, on a new connection, within 10 seconds.
    pub fn get(&self, url: &str) -> io::Result<Answer> {
        self.send(&Request::get(url))
    }

    /// Sends a request on a new connection.
    pub fn send(&self, request: &Request<'_>) -> io::Result<Answer> {
        self.run(|| http::send(request))
    }

    /// Starts a steady stream of `GET url`, each on a new connection.
    pub fn stream(&self, url: &str, per_second: u32) -> Stream {
        Stream::start(self.network.clone(), url.to_owned(), Duration::from_secs(1) / per_second)
    }
}
