//! What `register` would make of a container of a service. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use super::{
    compose::{Entry, Network, Service},
    publication::Published,
};
use crate::{
    docker::{Binding, Container, NetworkAddress, Port},
    register::{
        Settings,
        instances::{Host, Verdict, verdicts},
        metadata::{Metadata, Scope, Setting, Source},
    },
};

/// A port that Docker may choose when any will do.
const ANY: u16 = 32768;

/// A service with everything that follows from it.
pub(super) struct Subject<'a> {
    pub(super) service: &'a Service,
    pub(super) internal: bool,
    pub(super) metadata: Metadata,
    pub(super) verdicts: Vec<Verdict>,
}

/// A key that a service gives, and where.
pub(super) struct Said<'a> {
    pub(super) scope: Scope,
    pub(super) key: &'a str,
    pub(super) entry: &'a Entry,
}

impl<'a> Subject<'a> {
    pub(super) fn new(service: &'a Service, settings: &Settings) -> Self {
        let container = container(service);
        let host = Host {
            engine: String::new(),
            hostname: "host".to_owned(),
            root: String::new(),
            advertised: "192.0.2.1".to_owned(),
            // A template over containers says nothing about a file.
            settings: Settings { tags: None, ..settings.clone() },
        };
        Self {
            service,
            internal: settings.internal,
            metadata: Metadata::read(&container),
            verdicts: verdicts(&container, &BTreeMap::new(), &host, Timestamp::UNIX_EPOCH),
        }
    }

    /// Every key that the service gives, in ascending order of precedence.
    pub(super) fn said(&self) -> impl Iterator<Item = Said<'_>> {
        self.metadata.said().filter_map(|(scope, key, setting)| Some(Said { scope, key, entry: self.entry(setting)? }))
    }

    /// What stands in the file for a setting.
    pub(super) fn entry(&self, setting: Setting<'_>) -> Option<&'a Entry> {
        let label = setting.source != Source::Variable;
        let same = |entry: &&Entry| entry.label == label && entry.name == setting.spelled;
        self.service.entries.iter().rfind(same)
    }

    /// What stands in the file for the value that a key has for a port.
    pub(super) fn winner(&self, port: Port, key: &str) -> Option<&'a Entry> {
        self.metadata.for_port(port).get(key).and_then(|setting| self.entry(setting))
    }

    /// Whether all ports of its containers can be known: none comes from an image, a variable, or another service.
    pub(super) fn ports_are_known(&self) -> bool {
        let service = self.service;
        let own = service.network == Network::Own && !service.extends && service.misshapen.is_empty() && !self.internal;
        own && service.ports.iter().all(|port| port.target.is_some())
    }
}

/// As Docker would describe it.
fn container(service: &Service) -> Container {
    let pairs = |label| {
        let entries = service.effective().filter(move |entry| entry.label == label);
        entries.map(|entry| (entry.name.clone(), entry.value.value.clone()))
    };
    let image = service.image.as_ref().map(|image| image.text.value.clone()).unwrap_or_default();
    let address = NetworkAddress { v4: Some(IpAddr::from([172, 18, 0, 2])), ..NetworkAddress::default() };
    Container {
        id: service.name.clone(),
        name: service.name.clone(),
        image,
        env: pairs(false).collect(),
        labels: pairs(true).collect(),
        running: true,
        paused: false,
        started_at: String::new(),
        exit_code: None,
        health: None,
        starts: Vec::new(),
        exposed: service.exposed.iter().copied().chain(service.ports.iter().flat_map(|port| port.ports())).collect(),
        odd_ports: Vec::new(),
        bindings: bindings(service),
        network_mode: if service.network == Network::Host { "host" } else { "default" }.to_owned(),
        networks: BTreeMap::from([("default".to_owned(), address)]),
        stop_signal: 15,
        stop_sent: None,
    }
}

fn bindings(service: &Service) -> BTreeMap<Port, Vec<Binding>> {
    let mut bindings = BTreeMap::<_, BTreeSet<_>>::new();
    for publication in service.ports.iter().filter(|_| service.network == Network::Own) {
        let first = match &publication.published {
            Published::Fixed(range) => *range.start(),
            Published::Any | Published::Unknown => ANY,
        };
        for (offset, port) in publication.ports().enumerate() {
            let ip = publication.ip.unwrap_or(IpAddr::from([0, 0, 0, 0]));
            bindings
                .entry(port)
                .or_default()
                .insert(Binding { ip, port: first.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX)) });
        }
    }
    bindings.into_iter().map(|(port, places)| (port, places.into_iter().collect())).collect()
}
