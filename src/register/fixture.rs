//! Containers, hosts and instances for unit tests.

use std::collections::BTreeMap;

use super::{Settings, host::Host};
use crate::{
    docker::{Container, PortBinding},
    registry::{Instance, Owner},
};

/// A running container on the default network that exposes nothing.
pub(crate) fn container(name: &str) -> Container {
    Container {
        id: format!("{name:0>64}"),
        name: name.into(),
        image: "nginx".into(),
        env: Vec::new(),
        labels: BTreeMap::new(),
        running: true,
        paused: false,
        exit_code: None,
        health: None,
        starts: Vec::new(),
        started_at: "2026-11-20T10:00:00Z".into(),
        exposed_ports: [].into(),
        invalid_ports: Vec::new(),
        bindings: BTreeMap::new(),
        network_mode: "default".into(),
        networks: BTreeMap::new(),
        stop_signal: 15,
        stop_signal_sent_at: None,
    }
}

/// A host whose agent advertises 10.0.0.1.
pub(crate) fn host() -> Host {
    Host {
        engine: "E".into(),
        hostname: "h".into(),
        data_dir: String::new(),
        advertised: "10.0.0.1".into(),
        settings: Settings::default(),
    }
}

/// An instance of a service `web` at port 80.
pub(crate) fn instance(id: &str, container: &str) -> Instance {
    Instance {
        id: id.into(),
        name: "web".into(),
        address: "10.0.0.1".into(),
        port: 80,
        tags: Vec::new(),
        meta: BTreeMap::new(),
        tagged_addresses: BTreeMap::new(),
        weights: None,
        tag_override: false,
        checks: Vec::new(),
        reports: BTreeMap::new(),
        owner: Owner { engine: "E".into(), host: "h".into(), container: container.into(), started: "now".into() },
        out_of_traffic: None,
    }
}

impl Container {
    /// Publishes a port: `80/tcp` at `0.0.0.0:8000`; without a binding the port is only exposed.
    pub(crate) fn publish(mut self, port: &str, addresses: &[&str]) -> Self {
        let port = port.parse().expect("a port");
        let binding = |address: &&str| {
            let address: std::net::SocketAddr = address.parse().expect("ip:port");
            PortBinding { ip: address.ip(), port: address.port() }
        };
        self.exposed_ports.insert(port);
        self.bindings.insert(port, addresses.iter().map(binding).collect());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}
