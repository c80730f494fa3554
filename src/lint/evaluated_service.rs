//! The instances that `register` would derive from a container of a service. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::Timestamp;

use super::{
    compose::{ComposeService, NetworkMode, VariableOrLabel},
    port_mapping::HostPorts,
};
use crate::{
    docker::{Container, NetworkAddress, Port, PortBinding},
    register::{
        Settings,
        host::Host,
        instances::{PortOutcome, port_outcomes},
        metadata::{KeyScope, Metadata, MetadataSource, Setting},
    },
};

/// A port that Docker may choose if none is given.
const ANY_HOST_PORT: u16 = 32768;

/// A service with its metadata and port outcomes.
pub(super) struct EvaluatedService<'a> {
    pub(super) service: &'a ComposeService,
    pub(super) is_internal: bool,
    pub(super) metadata: Metadata,
    pub(super) port_outcomes: Vec<PortOutcome>,
}

/// A declared key and its position.
pub(super) struct DeclaredKey<'a> {
    pub(super) scope: KeyScope,
    pub(super) key: &'a str,
    pub(super) variable: &'a VariableOrLabel,
}

impl<'a> EvaluatedService<'a> {
    pub(super) fn new(service: &'a ComposeService, settings: &Settings) -> Self {
        let container = container(service);
        let host = Host {
            engine: String::new(),
            hostname: "host".to_owned(),
            data_dir: String::new(),
            advertised: "192.0.2.1".to_owned(),
            // `--tags` is a template over running containers, so it is left out.
            settings: Settings { tags: None, ..settings.clone() },
        };
        Self {
            service,
            is_internal: settings.internal,
            metadata: Metadata::read(&container),
            port_outcomes: port_outcomes(&container, &BTreeMap::new(), &host, Timestamp::UNIX_EPOCH),
        }
    }

    /// All declarations of the service, in ascending order of precedence.
    pub(super) fn declared_keys(&self) -> impl Iterator<Item = DeclaredKey<'_>> {
        self.metadata
            .declarations()
            .filter_map(|(scope, key, setting)| Some(DeclaredKey { scope, key, variable: self.variable(setting)? }))
    }

    /// The variable or label in the file that declares a setting.
    pub(super) fn variable(&self, setting: Setting<'_>) -> Option<&'a VariableOrLabel> {
        let is_label = setting.source != MetadataSource::Variable;
        let matches = |entry: &&VariableOrLabel| entry.is_label == is_label && entry.name == setting.name;
        self.service.variables.iter().rfind(matches)
    }

    /// The variable or label in the file that sets a key for a port.
    pub(super) fn winning_variable(&self, port: Port, key: &str) -> Option<&'a VariableOrLabel> {
        self.metadata.for_port(port).get(key).and_then(|setting| self.variable(setting))
    }

    /// Whether all ports of its containers are known: none comes from an image, a variable, or another service.
    pub(super) fn has_known_ports(&self) -> bool {
        let service = self.service;
        let own = service.network == NetworkMode::Own
            && !service.extends
            && service.shape_problems.is_empty()
            && !self.is_internal;
        own && service.ports.iter().all(|port| port.container_ports.is_some())
    }
}

/// The container as Docker would report it.
fn container(service: &ComposeService) -> Container {
    let pairs = |is_label| {
        let entries = service.effective_variables().filter(move |entry| entry.is_label == is_label);
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
        exposed_ports: service
            .exposed
            .iter()
            .copied()
            .chain(service.ports.iter().flat_map(|port| port.ports()))
            .collect(),
        invalid_ports: Vec::new(),
        bindings: bindings(service),
        network_mode: if service.network == NetworkMode::Host { "host" } else { "default" }.to_owned(),
        networks: BTreeMap::from([("default".to_owned(), address)]),
        stop_signal: 15,
        stop_signal_sent_at: None,
    }
}

fn bindings(service: &ComposeService) -> BTreeMap<Port, Vec<PortBinding>> {
    let mut bindings = BTreeMap::<_, BTreeSet<_>>::new();
    for publication in service.ports.iter().filter(|_| service.network == NetworkMode::Own) {
        let first = match &publication.host_ports {
            HostPorts::Fixed(range) => *range.start(),
            HostPorts::Any | HostPorts::Unknown => ANY_HOST_PORT,
        };
        for (offset, port) in publication.ports().enumerate() {
            let ip = publication.host_ip.unwrap_or(IpAddr::from([0, 0, 0, 0]));
            bindings
                .entry(port)
                .or_default()
                .insert(PortBinding { ip, port: first.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX)) });
        }
    }
    bindings.into_iter().map(|(port, bound)| (port, bound.into_iter().collect())).collect()
}
