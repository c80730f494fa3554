//! Ports: in keys, published or not, and fixed ones of several containers.

use std::collections::BTreeSet;

use super::RuleFinding;
use crate::{
    lint::{
        compose::NetworkMode,
        evaluated_service::{DeclaredKey, EvaluatedService},
        port_mapping::HostPorts,
    },
    register::{key_problems, known_keys, metadata::KeyScope, skip_reason::SkipReason},
};

/// Keys for a port that the service does not publish, and keys that were meant to be for a port.
pub(super) fn wrong_port_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    subjects
        .iter()
        .flat_map(|subject| subject.declared_keys().filter_map(move |said| wrong_port(subject, &said)))
        .collect()
}

fn wrong_port(subject: &EvaluatedService<'_>, said: &DeclaredKey<'_>) -> Option<RuleFinding> {
    let (name, place) = (&said.variable.name, said.variable.position);
    if let Some(problem) = key_problems::invalid_port(name, said.scope, said.key) {
        return Some(RuleFinding::from_key_problem(subject, place, problem));
    }
    if said.scope == KeyScope::Global {
        return None;
    }
    // A port that is ignored although it would not be registered does no harm.
    if said.key == "ignore" || !subject.has_known_ports() {
        return None;
    }
    let all = || subject.port_outcomes.iter().map(|verdict| verdict.port);
    let published = || subject.service.ports.iter().flat_map(|port| port.ports());
    if published().any(|port| said.scope.applies_to(port)) {
        return None;
    }
    if all().any(|port| said.scope.applies_to(port)) {
        let message = format!("{name} has no effect: the port is exposed, but not published");
        return Some(
            RuleFinding::error(subject, place, message).help("publish it under ports, or run register with --internal"),
        );
    }
    let ports: BTreeSet<_> = published().collect();
    let has = match ports.len() {
        0 => "none".to_owned(),
        1..=8 => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        more => format!("{more} others"),
    };
    let message = format!("{name} has no effect: the service does not publish that port");
    Some(
        RuleFinding::error(subject, place, message)
            .help(format!("it publishes {has}; the key names the port inside the container")),
    )
}

/// Services that are meant to be registered, and have no port for it.
pub(super) fn unpublished_services(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let silent = subjects.iter().filter_map(|subject| {
        let wanted = subject.declared_keys().find(|said| known_keys::is_known(said.key) && said.key != "ignore")?;
        let none = match subject.service.network {
            NetworkMode::Own => subject.has_known_ports() && subject.service.ports.is_empty(),
            NetworkMode::None => true,
            NetworkMode::Host | NetworkMode::Shared => false,
        };
        let message =
            format!("{} has no effect: the service publishes no port, so nothing is registered", wanted.variable.name);
        let found = RuleFinding::error(subject, wanted.variable.position, message);
        none.then(|| found.help("publish a port under ports, or run register with --internal"))
    });
    let loopback = subjects.iter().flat_map(|subject| {
        let ports = subject
            .service
            .ports
            .iter()
            .filter(|_| subject.has_known_ports() && subject.declared_keys().next().is_some());
        let ports = ports.filter(|port| port.host_ip.is_some_and(|ip| ip.is_loopback()));
        ports.filter_map(|port| {
            let skipped = subject.port_outcomes.iter().any(|verdict| {
                verdict.instance.as_ref().is_err_and(|skip| *skip == SkipReason::Loopback)
                    && port.ports().any(|inside| inside == verdict.port)
            });
            let message = "published on a loopback address only: it is not registered";
            skipped.then(|| {
                RuleFinding::warning(subject, port.position, message)
                    .help("SERVICE_<port>_IGNORE says that this is meant")
            })
        })
    });
    silent.chain(loopback).collect()
}

/// Fixed ports of the host that several containers want.
pub(super) fn host_port_conflicts(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let replicas = subject.service.replicas.unwrap_or(1);
        let own = subject.service.ports.iter().filter(|port| !port.is_ingress);
        let few = own.filter_map(|port| {
            let HostPorts::Fixed(range) = &port.host_ports else { return None };
            let wanted = u64::try_from(port.ports().count()).unwrap_or(u64::MAX).saturating_mul(replicas);
            let there = u64::try_from(range.clone().count()).unwrap_or(u64::MAX);
            let message = format!("{replicas} containers need {wanted} ports of one host, of which {there} are given");
            let found = RuleFinding::error(subject, port.position, message);
            (replicas > 1 && wanted > there).then(|| found.help("leave the host's port out: Docker chooses a free one"))
        });
        few.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
