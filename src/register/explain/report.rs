//! What there is to say about a container. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    held::{self, Held, Left},
    key_notes,
    traffic::{self, Traffic},
};
use crate::{
    docker::{Container, HealthStatus, Port, Sight},
    register::{
        desired::Desired,
        instances::{self, Host, Verdict},
        limits,
        metadata::{self, Metadata, Source},
        skip::Skip,
    },
    registry::{Entries, Instance},
};

/// Everything about one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The container itself.
    pub container: Subject,
    /// Why the registry could not be asked, if it could not.
    pub trouble: Option<String>,
    /// Why it gets no traffic on any port, if that is not said of each port.
    pub traffic: Option<Traffic>,
    /// Its ports, in their order. None if it does not run.
    pub ports: Vec<PortReport>,
    /// What is said of none of its ports.
    pub notes: Vec<String>,
    /// What the registry still holds of it and should not.
    pub left: Vec<Left>,
    /// Whether `register` would have nothing to do.
    pub in_line: bool,
    /// Whether that is so, and every port that should get traffic gets it.
    pub ok: bool,
}

/// A container, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// Running, paused, or ended.
    pub state: String,
    /// What its HEALTHCHECK says, if it has one.
    pub health: Option<String>,
    /// What one look cannot show.
    pub unseen: Option<String>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortReport {
    /// The port inside the container: `80/tcp`.
    pub port: String,
    /// Whether it gets traffic.
    pub traffic: Traffic,
    /// Why it is not to be registered.
    pub skipped: Option<String>,
    /// What is registered, or should be.
    pub instance: Option<Registered>,
    /// The variables and labels that hold for the port.
    pub keys: Vec<Key>,
    /// What could not be done as asked.
    pub notes: Vec<String>,
}

/// An instance, and what the registry has of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registered {
    /// Its id.
    pub id: String,
    /// Where the id came from.
    pub id_from: String,
    /// The service's name.
    pub name: String,
    /// Where the name came from.
    pub name_from: String,
    /// Where others reach it.
    pub address: String,
    /// The port that belongs to the address.
    pub port: u16,
    /// Where the address came from.
    pub address_from: String,
    /// What Consul refuses, or cannot serve.
    pub limits: Vec<String>,
    /// What the registry has.
    pub registry: Held,
    /// What is sent to the registry.
    pub body: Value,
}

/// A key, and who decided about its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    /// In lower case: `check_http`.
    pub key: String,
    /// What counts.
    pub won: Setting,
    /// What does not, the strongest first.
    pub lost: Vec<Setting>,
}

/// A variable or label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// As it was written.
    pub value: String,
    /// Its name.
    pub from: String,
    /// `variable` or `label`.
    pub source: &'static str,
}

/// Puts everything together. `entries` is an error that tells why they are not known.
pub(super) fn report(
    container: &Container,
    containers: &BTreeMap<String, Sight>,
    host: &Host,
    desired: &Desired,
    entries: Result<&Entries, &str>,
    body: fn(&Instance) -> Value,
    now: Timestamp,
) -> Report {
    let metadata = Metadata::read(container);
    let mut wants = Vec::new();
    let port = |verdict: Verdict| {
        let keys = keys(&metadata, verdict.port);
        wants.push(Want::of(verdict.outcome.as_ref().err()));
        let address_from = verdict.origin.map(|origin| origin.to_string()).unwrap_or_default();
        let (traffic, instance, skipped) = match verdict.outcome {
            Err(skip) => (traffic::of_skipped(skip, container), None, Some(skip.to_string())),
            Ok(instance) => {
                let registry = match entries {
                    Ok(entries) => held::held(&instance, desired, entries),
                    Err(reason) => Held::Unknown { reason: reason.to_owned() },
                };
                let limits = limits::instance(&instance);
                let known = entries.ok();
                let traffic = traffic::of_instance(container, &instance, &registry, known, limits.first());
                let registered = Registered {
                    id_from: won(&keys, "id").map_or_else(|| "host, container and port".to_owned(), from),
                    name_from: name_from(&instance, verdict.port, &keys),
                    limits,
                    registry,
                    body: body(&instance),
                    id: instance.id,
                    name: instance.name,
                    address: instance.address,
                    port: instance.port,
                    address_from,
                };
                (traffic, Some(registered), None)
            }
        };
        PortReport { port: verdict.port.to_string(), traffic, skipped, instance, keys, notes: verdict.notes }
    };
    let verdicts = instances::verdicts(container, containers, host, now);
    let ports: Vec<_> = verdicts.into_iter().map(port).collect();
    let left = entries.map_or_else(|_| Vec::new(), |entries| held::left(container, desired, entries));
    let in_line = left.is_empty() && ports.iter().flat_map(|port| &port.instance).all(|i| i.registry.in_line());
    let served = |(want, port): (&Want, &PortReport)| *want != Want::Yes || port.traffic.ok == Some(true);
    let is_anything_asked = !wants.iter().all(|want| *want == Want::Refused) || ports.is_empty();
    let ok = in_line
        && entries.is_ok()
        && wants.iter().zip(&ports).all(served)
        && (ports.iter().any(|port| port.instance.is_some()) || !is_anything_asked);
    let traffic = ports.is_empty().then(|| traffic::without_ports(container, &host.settings));
    let trouble = entries.err().map(str::to_owned);
    let mut notes = instances::notes(container);
    notes.extend(key_notes::key_notes(container, &metadata, &ports));
    notes.extend(host.note().filter(|_| ports.iter().any(|port| port.instance.is_some())));
    Report { container: subject(container), trouble, traffic, ports, notes, left, in_line, ok }
}

/// Whether a port is meant to get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// It is registered, or only a mistake or the time stands against it.
    Yes,
    /// Nobody has asked for it: it is exposed, or published for this host only.
    Unasked,
    /// It is said that it is not.
    Refused,
}

impl Want {
    fn of(skip: Option<&Skip>) -> Self {
        match skip {
            Some(Skip::Ignored | Skip::Unnamed) => Self::Refused,
            Some(Skip::NotPublished | Skip::Loopback) => Self::Unasked,
            _ => Self::Yes,
        }
    }
}

fn subject(container: &Container) -> Subject {
    let state = match (container.running, container.paused, container.exit_code) {
        (true, true, _) => format!("paused, started {}", container.started_at),
        (true, false, _) => format!("running since {}", container.started_at),
        (false, _, Some(code)) => format!("ended with exit code {code}"),
        (false, _, None) => "not running".to_owned(),
    };
    let health = container.health.as_ref().map(|health| {
        let word = match health.status {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        };
        word.to_owned()
    });
    // Only events report these, and `explain` reads those of the last minutes.
    let unseen = container
        .running
        .then(|| "events older than 10 minutes, or that Docker no longer has: a stop signal, starts".to_owned());
    let (id, name, image) = (container.id.clone(), container.name.clone(), container.image.clone());
    Subject { id, name, image, state, health, unseen }
}

fn keys(metadata: &Metadata, port: Port) -> Vec<Key> {
    let setting = |setting: metadata::Setting<'_>| Setting {
        value: setting.value.to_owned(),
        from: setting.spelled.to_owned(),
        source: if setting.source == Source::Variable { "variable" } else { "label" },
    };
    let keys = metadata.contenders(port).into_iter().filter_map(|(key, settings)| {
        let mut settings = settings.into_iter().map(setting);
        Some(Key { key: key.to_owned(), won: settings.next()?, lost: settings.collect() })
    });
    keys.collect()
}

fn won<'a>(keys: &'a [Key], key: &str) -> Option<&'a Setting> {
    keys.iter().find(|found| found.key == key).map(|found| &found.won).filter(|won| !won.value.is_empty())
}

fn from(setting: &Setting) -> String {
    format!("from {}", setting.from)
}

fn name_from(instance: &Instance, port: Port, keys: &[Key]) -> String {
    let said = won(keys, "name");
    let base = said.map_or_else(|| "what the image, or else the container, is called".to_owned(), from);
    let suffix = format!("-{}", port.number);
    let extended = said.map_or(instance.name.ends_with(&suffix), |said| said.value != instance.name);
    if extended { format!("{base}, with the port, as the container has several") } else { base }
}
