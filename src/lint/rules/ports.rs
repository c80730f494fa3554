//! Ports: in keys, published or not, and fixed ones of several containers.

use std::collections::BTreeSet;

use super::Found;
use crate::{
    lint::{
        compose::Network,
        publication::Published,
        subject::{Said, Subject},
    },
    register::{instances::Skip, key_problems, known, metadata::Scope},
};

/// Keys for a port that the service does not publish, and keys that were meant to be for a port.
pub(super) fn of_key(subjects: &[Subject<'_>]) -> Vec<Found> {
    subjects.iter().flat_map(|subject| subject.said().filter_map(move |said| wrong_port(subject, &said))).collect()
}

fn wrong_port(subject: &Subject<'_>, said: &Said<'_>) -> Option<Found> {
    let (name, place) = (&said.entry.name, said.entry.place);
    if let Some(problem) = key_problems::no_port(name, said.scope, said.key) {
        return Some(Found::key(subject, place, problem));
    }
    if said.scope == Scope::Global {
        return None;
    }
    // A port that is ignored although it would not be registered does no harm.
    if said.key == "ignore" || !subject.ports_are_known() {
        return None;
    }
    let all = || subject.verdicts.iter().map(|verdict| verdict.port);
    let published = || subject.service.ports.iter().flat_map(|port| port.ports());
    if published().any(|port| said.scope.holds_for(port)) {
        return None;
    }
    if all().any(|port| said.scope.holds_for(port)) {
        let message = format!("{name} has no effect: the port is exposed, but not published");
        return Some(
            Found::error(subject, place, message).help("publish it under ports, or run register with --internal"),
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
        Found::error(subject, place, message)
            .help(format!("it publishes {has}; the key names the port inside the container")),
    )
}

/// Services that are meant to be registered, and have no port for it.
pub(super) fn not_published(subjects: &[Subject<'_>]) -> Vec<Found> {
    let silent = subjects.iter().filter_map(|subject| {
        let wanted = subject.said().find(|said| known::is_known(said.key) && said.key != "ignore")?;
        let none = match subject.service.network {
            Network::Own => subject.ports_are_known() && subject.service.ports.is_empty(),
            Network::None => true,
            Network::Host | Network::Shared => false,
        };
        let message =
            format!("{} has no effect: the service publishes no port, so nothing is registered", wanted.entry.name);
        let found = Found::error(subject, wanted.entry.place, message);
        none.then(|| found.help("publish a port under ports, or run register with --internal"))
    });
    let loopback = subjects.iter().flat_map(|subject| {
        let ports =
            subject.service.ports.iter().filter(|_| subject.ports_are_known() && subject.said().next().is_some());
        let ports = ports.filter(|port| port.ip.is_some_and(|ip| ip.is_loopback()));
        ports.filter_map(|port| {
            let skipped = subject.verdicts.iter().any(|verdict| {
                verdict.outcome.as_ref().is_err_and(|skip| *skip == Skip::Loopback)
                    && port.ports().any(|inside| inside == verdict.port)
            });
            let message = "published on a loopback address only: it is not registered";
            skipped.then(|| {
                Found::warning(subject, port.place, message).help("SERVICE_<port>_IGNORE says that this is meant")
            })
        })
    });
    silent.chain(loopback).collect()
}

/// Fixed ports of the host that several containers want.
pub(super) fn with_replicas(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let replicas = subject.service.replicas.unwrap_or(1);
        let own = subject.service.ports.iter().filter(|port| !port.ingress);
        let few = own.filter_map(|port| {
            let Published::Fixed(range) = &port.published else { return None };
            let wanted = u64::try_from(port.ports().count()).unwrap_or(u64::MAX).saturating_mul(replicas);
            let there = u64::try_from(range.clone().count()).unwrap_or(u64::MAX);
            let message = format!("{replicas} containers need {wanted} ports of one host, of which {there} are given");
            let found = Found::error(subject, port.place, message);
            (replicas > 1 && wanted > there).then(|| found.help("leave the host's port out: Docker chooses a free one"))
        });
        few.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
