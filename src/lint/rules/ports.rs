//! Ports in keys, unpublished ports, and fixed host ports of several containers.

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

/// Finds keys for a port that the service does not publish, and keys with an invalid port.
pub(super) fn wrong_port_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    subjects
        .iter()
        .flat_map(|subject| subject.declared_keys().filter_map(move |declared| wrong_port(subject, &declared)))
        .collect()
}

fn wrong_port(subject: &EvaluatedService<'_>, declared: &DeclaredKey<'_>) -> Option<RuleFinding> {
    let (name, position) = (&declared.variable.name, declared.variable.position);
    if let Some(problem) = key_problems::invalid_port(name, declared.scope, declared.key) {
        return Some(RuleFinding::from_key_problem(subject, position, problem));
    }
    if declared.scope == KeyScope::Global {
        return None;
    }
    // It does no harm to ignore a port that would not be registered anyway.
    if declared.key == "ignore" || !subject.has_known_ports() {
        return None;
    }
    let all = || subject.port_outcomes.iter().map(|outcome| outcome.port);
    let published = || subject.service.ports.iter().flat_map(|port| port.ports());
    if published().any(|port| declared.scope.applies_to(port)) {
        return None;
    }
    if all().any(|port| declared.scope.applies_to(port)) {
        let message = format!("{name} has no effect: the port is exposed, but not published");
        return Some(
            RuleFinding::error(subject, position, message)
                .help("publish it under ports, or run register with --internal"),
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
        RuleFinding::error(subject, position, message)
            .help(format!("it publishes {has}; the key names the port inside the container")),
    )
}

/// Finds services with keys but without a port to register.
pub(super) fn unpublished_services(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let unpublished = subjects.iter().filter_map(|subject| {
        let needed =
            subject.declared_keys().find(|declared| known_keys::is_known(declared.key) && declared.key != "ignore")?;
        let none = match subject.service.network {
            NetworkMode::Own => subject.has_known_ports() && subject.service.ports.is_empty(),
            NetworkMode::None => true,
            NetworkMode::Host | NetworkMode::Shared => false,
        };
        let message =
            format!("{} has no effect: the service publishes no port, so nothing is registered", needed.variable.name);
        let found = RuleFinding::error(subject, needed.variable.position, message);
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
            let skipped = subject.port_outcomes.iter().any(|outcome| {
                outcome.instance.as_ref().is_err_and(|skip| *skip == SkipReason::Loopback)
                    && port.ports().any(|inside| inside == outcome.port)
            });
            let message = "published on a loopback address only: it is not registered";
            skipped.then(|| {
                RuleFinding::warning(subject, port.position, message)
                    .help("SERVICE_<port>_IGNORE confirms that this is intended")
            })
        })
    });
    unpublished.chain(loopback).collect()
}

/// Finds fixed host ports that several containers need.
pub(super) fn host_port_conflicts(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let replicas = subject.service.replicas.unwrap_or(1);
        let own = subject.service.ports.iter().filter(|port| !port.is_ingress);
        let conflicts = own.filter_map(|port| {
            let HostPorts::Fixed(range) = &port.host_ports else { return None };
            let needed = u64::try_from(port.ports().count()).unwrap_or(u64::MAX).saturating_mul(replicas);
            let there = u64::try_from(range.clone().count()).unwrap_or(u64::MAX);
            let message = format!("{replicas} containers need {needed} ports of one host, of which {there} are given");
            let found = RuleFinding::error(subject, port.position, message);
            (replicas > 1 && needed > there).then(|| found.help("leave the host's port out: Docker chooses a free one"))
        });
        conflicts.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
