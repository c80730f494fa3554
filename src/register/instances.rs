//! Derives the instances of a container. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    address::{AddressResolver, AddressSource, ServiceAddress},
    checks::CheckBuilder,
    gate::{self, ReadinessGate},
    health,
    host::Host,
    meta::meta,
    metadata::Metadata,
    naming, ports,
    skip_reason::SkipReason,
    tagged_addresses::tagged_addresses,
    traffic,
};
use crate::{
    consul::limits,
    docker::{Container, Observation, Port, PortBinding},
    registry::{Instance, Owner},
};

/// The result for one port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOutcome {
    /// The port inside the container.
    pub port: Port,
    /// The instance, or why there is none.
    pub instance: Result<Instance, SkipReason>,
    /// Where the address of the instance was taken from.
    pub address_source: Option<AddressSource>,
    /// The probe that must succeed once before the instance is registered for the first time.
    pub readiness_gate: Option<ReadinessGate>,
    /// What could not be done as configured.
    pub notes: Vec<String>,
}

/// The results for all ports of a container; none if it is not running. `others` are all containers of the host.
pub fn port_outcomes(
    container: &Container,
    others: &BTreeMap<String, Observation>,
    host: &Host,
    now: Timestamp,
) -> Vec<PortOutcome> {
    if !container.running {
        return Vec::new();
    }
    let owner = ports::network_owner(container, others);
    let ports = ports::ports(container, owner);
    let metadata = Metadata::read(container);
    let can_be_registered =
        |bindings: &Vec<PortBinding>| host.settings.internal || !bindings.is_empty() || owner.id != container.id;
    let has_several_ports = ports.iter().filter(|(_, bindings)| can_be_registered(bindings)).count() > 1;
    let to_outcome = |(port, bindings): &(Port, Vec<PortBinding>)| {
        let metadata = metadata.for_port(*port);
        InstanceBuilder {
            address_resolver: AddressResolver {
                container,
                network_owner: owner,
                port: *port,
                bindings,
                metadata: &metadata,
            },
            host,
            has_several_ports,
        }
        .port_outcome(now)
    };
    ports.iter().map(to_outcome).collect()
}

/// Notes about a container that belong to none of its ports.
pub fn container_notes(container: &Container) -> Vec<String> {
    let invalid = container.invalid_ports.iter();
    invalid
        .map(|port| format!("the port {port:?} is left out: it is not a port from 1 to 65535 of tcp, udp or sctp"))
        .collect()
}

/// One port of a container, with everything that its instance depends on.
struct InstanceBuilder<'a> {
    address_resolver: AddressResolver<'a>,
    host: &'a Host,
    /// Whether the container has several ports to register.
    has_several_ports: bool,
}

impl InstanceBuilder<'_> {
    fn port_outcome(&self, now: Timestamp) -> PortOutcome {
        let mut notes = Vec::new();
        let Self { address_resolver, host, .. } = self;
        let (port, metadata) = (address_resolver.port, address_resolver.metadata);
        let service_address = address_resolver.resolve(host, &mut notes);
        let address_source = service_address.as_ref().ok().map(|service_address| service_address.source.clone());
        let instance = match service_address {
            _ if metadata.is_enabled("ignore") => Err(SkipReason::Ignored),
            _ if host.settings.explicit && metadata.value("name").is_none() => Err(SkipReason::NoServiceName),
            Err(skip) => Err(skip),
            Ok(_) if traffic::is_starting(address_resolver.container, host) => Err(SkipReason::HealthStarting),
            Ok(service_address) => self.build(service_address, now, &mut notes),
        };
        let readiness_gate = instance.as_ref().ok().and_then(|instance| {
            let probed = address_resolver.resolve_local(host);
            gate::readiness_gate(metadata, instance, port, probed, &mut notes)
        });
        PortOutcome { port, instance, address_source, readiness_gate, notes }
    }

    fn build(
        &self,
        service_address: ServiceAddress,
        now: Timestamp,
        notes: &mut Vec<String>,
    ) -> Result<Instance, SkipReason> {
        let Self {
            address_resolver: AddressResolver { container, network_owner: owner, port, bindings, metadata },
            host,
            has_several_ports,
        } = *self;
        let id = naming::service_id(container, port, metadata, host, notes);
        if !limits::is_valid_id(&id) {
            notes.push(format!("port {port} is not registered as {id:?}: {}", SkipReason::InvalidId));
            return Err(SkipReason::InvalidId);
        }
        let ServiceAddress { address, port: published, .. } = service_address;
        let scripts = host.settings.allow_script_checks;
        let mut checks = CheckBuilder {
            container,
            metadata,
            port,
            address: &address,
            address_port: published,
            allow_scripts: scripts,
        }
        .build_all(notes);
        let reported = health::reported_checks(container, &host.settings);
        let reports = reported.iter().map(|(check, report)| (check.key.clone(), report.clone())).collect();
        checks.extend(reported.into_iter().map(|(check, _)| check));
        Ok(Instance {
            id,
            name: naming::service_name(container, port, metadata, has_several_ports, notes),
            tags: naming::tags(container, metadata, port, host, notes),
            meta: meta(metadata, notes),
            tagged_addresses: tagged_addresses(owner, port, bindings, notes),
            weights: naming::weights(metadata, notes),
            tag_override: metadata.is_enabled("tag_override"),
            checks,
            reports,
            owner: Owner {
                engine: host.engine.clone(),
                host: host.owner_host(),
                container: container.id.clone(),
                started: container.started_at.clone(),
            },
            out_of_traffic: traffic::out_of_traffic(container, host, now),
            address,
            port: published,
        })
    }
}

#[cfg(test)]
mod tests;
