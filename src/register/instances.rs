//! From a container to the instances that it gives: the heart of `register`. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    address::{Origin, Place, Subject},
    checks::Checked,
    health, limits,
    meta::meta,
    metadata::Metadata,
    names, ports,
    ready::{self, Gate},
    settings::Settings,
    tagged::tagged_addresses,
    traffic,
};
pub use super::{skip::Skip, traffic::due};
use crate::{
    docker::{Binding, Container, Engine, Port, Sight},
    registry::{Instance, Owner},
};

/// What does not depend on the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The Docker engine's own id.
    pub engine: String,
    /// The first part of each id.
    pub hostname: String,
    /// The engine's data directory; empty if the engine does not tell.
    pub root: String,
    /// The address that the registry's agent advertises.
    pub advertised: String,
    /// What the user has set.
    pub settings: Settings,
}

impl Host {
    /// The host of an engine, in the name that the user has set or the engine's own.
    pub fn new(engine: Engine, advertised: String, settings: Settings) -> Self {
        let hostname = settings.hostname.clone().unwrap_or(engine.name);
        Self { engine: engine.id, root: engine.root, hostname, advertised, settings }
    }

    /// What tells this host's engine apart from all others on its agent, as far as it can be told: see [`Owner::host`].
    pub fn mark(&self) -> String {
        if self.root.is_empty() { self.hostname.clone() } else { format!("{}:{}", self.hostname, self.root) }
    }

    /// Where others reach ports that are published on all addresses.
    pub fn outside_address(&self) -> String {
        self.forced_address().unwrap_or(&self.advertised).to_owned()
    }

    /// What to do if other hosts cannot reach the address, since it is loopback or link-local.
    pub(super) fn note(&self) -> Option<String> {
        let is_closed = self.outside_address().parse().is_ok_and(limits::is_closed);
        is_closed.then(|| match self.forced_address() {
            Some(ip) => format!("--ip {ip}: other hosts cannot reach the instances there"),
            None => format!(
                "the registry's agent advertises {}: other hosts cannot reach the instances there; set the agent's \
                 advertise_addr, or give --ip",
                self.advertised
            ),
        })
    }

    /// `--ip`; an empty one is none, as in registrator.
    pub(super) fn forced_address(&self) -> Option<&str> {
        self.settings.ip.as_deref().filter(|ip| !ip.is_empty())
    }
}

/// What became of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The port inside the container.
    pub port: Port,
    /// The instance, or why there is none.
    pub outcome: Result<Instance, Skip>,
    /// What the instance's address was taken from.
    pub origin: Option<Origin>,
    /// What has to succeed once before the instance is registered for the first time.
    pub gate: Option<Gate>,
    /// What could not be done as asked.
    pub notes: Vec<String>,
}

/// Looks at every port of a container. One that does not run gives nothing. `others` are all containers of the host.
pub fn verdicts(container: &Container, others: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Vec<Verdict> {
    if !container.running {
        return Vec::new();
    }
    let owner = ports::network_owner(container, others);
    let ports = ports::ports(container, owner);
    let metadata = Metadata::read(container);
    let counts = |bindings: &Vec<Binding>| host.settings.internal || !bindings.is_empty() || owner.id != container.id;
    let group = ports.iter().filter(|(_, bindings)| counts(bindings)).count() > 1;
    let verdict = |(port, bindings): &(Port, Vec<Binding>)| {
        let metadata = metadata.for_port(*port);
        Asked { subject: Subject { container, owner, port: *port, bindings, metadata: &metadata }, host, group }
            .verdict(now)
    };
    ports.iter().map(verdict).collect()
}

/// What of a container can be said of none of its ports.
pub fn notes(container: &Container) -> Vec<String> {
    let odd = container.odd_ports.iter();
    odd.map(|port| format!("the port {port:?} is left out: that is no port from 1 to 65535 of tcp, udp or sctp"))
        .collect()
}

/// One port, with what decides about it.
struct Asked<'a> {
    subject: Subject<'a>,
    host: &'a Host,
    /// Whether the container gives several.
    group: bool,
}

impl Asked<'_> {
    fn verdict(&self, now: Timestamp) -> Verdict {
        let mut notes = Vec::new();
        let Self { subject, host, .. } = self;
        let (port, metadata) = (subject.port, subject.metadata);
        let place = subject.place(host, &mut notes);
        let origin = place.as_ref().ok().map(|place| place.origin.clone());
        let outcome = match place {
            _ if metadata.is_on("ignore") => Err(Skip::Ignored),
            _ if host.settings.explicit && metadata.value("name").is_none() => Err(Skip::Unnamed),
            Err(skip) => Err(skip),
            Ok(_) if traffic::starting(subject.container, host) => Err(Skip::Starting),
            Ok(place) => self.instance(place, now, &mut notes),
        };
        let gate = outcome.as_ref().ok().and_then(|instance| {
            let probed = subject.own_place(host);
            ready::gate(metadata, instance, port, probed, &mut notes)
        });
        Verdict { port, outcome, origin, gate, notes }
    }

    fn instance(&self, place: Place, now: Timestamp, notes: &mut Vec<String>) -> Result<Instance, Skip> {
        let Self { subject: Subject { container, owner, port, bindings, metadata }, host, group } = *self;
        let id = names::id(container, port, metadata, host, notes);
        if !limits::is_id(&id) {
            notes.push(format!("port {port} is not registered as {id:?}: {}", Skip::Unnameable));
            return Err(Skip::Unnameable);
        }
        let Place { address, port: published, .. } = place;
        let scripts = host.settings.allow_script_checks;
        let mut checks = Checked { container, metadata, port, address: &address, published, scripts }.checks(notes);
        let reported = health::reported(container, &host.settings);
        let reports = reported.iter().map(|(check, report)| (check.key.clone(), report.clone())).collect();
        checks.extend(reported.into_iter().map(|(check, _)| check));
        Ok(Instance {
            id,
            name: names::name(container, port, metadata, group, notes),
            tags: names::tags(container, metadata, port, host, notes),
            meta: meta(metadata, notes),
            tagged_addresses: tagged_addresses(owner, port, bindings, notes),
            weights: names::weights(metadata, notes),
            tag_override: metadata.is_on("tag_override"),
            checks,
            reports,
            owner: Owner {
                engine: host.engine.clone(),
                host: host.mark(),
                container: container.id.clone(),
                started: container.started_at.clone(),
            },
            out: traffic::out(container, host, now),
            address,
            port: published,
        })
    }
}

#[cfg(test)]
mod tests;
