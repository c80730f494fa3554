//! Our Consul client against a real agent; against a fake one only for what a real one cannot be made to do.

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

/// A client with default settings, but for the address.
fn client(address: &str) -> Client {
    Client::new(&settings(address)).expect("a client")
}

fn settings(address: &str) -> Settings {
    Settings { address: address.parse().expect("an address"), ..Settings::default() }
}
