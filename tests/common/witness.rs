//! Reads the registered services with an independent client, the crate `consul`.
//!
//! That client blocks, so each call runs on its own thread, in the network namespace of the lab's clients.

use std::collections::HashMap;

use consul::{Client, Config, catalog::Catalog, health::Health, kv::KV};
use portreeve_lab::{Lab, host::Host};

/// An instance in the answer of the independent client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The service id.
    pub id: String,
    /// `address:port`.
    pub at: String,
    /// The tags, in the order of the registration.
    pub tags: Vec<String>,
    /// The name of the node on which it is registered.
    pub node: String,
    /// The index of the last change.
    pub modified: u64,
}

/// The instances of a service, sorted by id; with `passing`, only those in traffic.
pub fn instances(lab: &Lab, service: &str, passing: bool) -> Vec<Instance> {
    let entries = ask(lab, |client| client.service(service, None, passing, None).map(|(entries, _)| entries));
    let instance = |entry: consul::health::ServiceEntry| Instance {
        at: format!("{}:{}", entry.Service.Address, entry.Service.Port),
        id: entry.Service.ID,
        tags: entry.Service.Tags.unwrap_or_default(),
        node: entry.Node.Node,
        modified: entry.Service.ModifyIndex,
    };
    let mut instances: Vec<_> = entries.into_iter().map(instance).collect();
    instances.sort();
    instances
}

/// The addresses of the instances in traffic, sorted.
pub fn places(lab: &Lab, service: &str) -> Vec<String> {
    let mut places: Vec<_> = instances(lab, service, true).into_iter().map(|instance| instance.at).collect();
    places.sort();
    places
}

/// All services with their tags.
pub fn services(lab: &Lab) -> HashMap<String, Vec<String>> {
    ask(lab, |client| Catalog::services(client, None).map(|(services, _)| services))
}

/// The value of a key, in base64; `None` if there is no such key.
pub fn key(lab: &Lab, key: &str) -> Option<String> {
    ask(lab, |client| KV::get(client, key, None).map(|(pair, _)| pair)).map(|pair| pair.Value)
}

fn ask<T: Send>(lab: &Lab, call: impl FnOnce(&Client) -> consul::errors::Result<T> + Send) -> T {
    let address = |host: &Host| format!("http://{}", host.address());
    let address = address(lab.host(1));
    lab.client().run(move || {
        let config = Config::new_from_consul_host(&address, Some(8500), None).expect("a client");
        call(&Client::new(config)).unwrap_or_else(|error| panic!("the independent client failed: {error}"))
    })
}
