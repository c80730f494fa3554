//! The Consul client against a real agent, and against a fake one where a real one cannot produce the situation.

mod catalog;
#[path = "../common/dev_agent.rs"]
mod dev_agent;
mod fake;
mod faults;
mod ledger;
mod permits;
mod reach;
mod restart;
mod source;
mod watched;

use portreeve::consul::{Client, Settings};

/// A client with default settings except the address.
fn client(address: &str) -> Client {
    Client::new(&settings(address)).expect("a client")
}

fn settings(address: &str) -> Settings {
    Settings { address: address.parse().expect("an address"), ..Settings::default() }
}
