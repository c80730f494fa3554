//! What there is to say about a container. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    key_notes,
    registration_state::{self, LeftoverEntry, RegistrationState},
    traffic::{self, Traffic},
};
use crate::{
    consul::limits,
    docker::{Container, HealthStatus, Observation, Port},
    register::{
        desired::DesiredInstances,
        host::Host,
        instances::{self, PortOutcome},
        metadata::{self, Metadata, MetadataSource},
        skip_reason::SkipReason,
    },
    registry::{Entries, Instance},
};

/// Everything about one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerReport {
    /// The container itself.
    pub container: ContainerInfo,
    /// Why the registry could not be asked, if it could not.
    pub trouble: Option<String>,
    /// Why it gets no traffic on any port, if that is not said of each port.
    pub traffic: Option<Traffic>,
    /// Its ports, in their order. None if it does not run.
    pub ports: Vec<PortReport>,
    /// What is said of none of its ports.
    pub notes: Vec<String>,
    /// What the registry still holds of it and should not.
    pub left: Vec<LeftoverEntry>,
    /// Whether `register` would have nothing to do.
    pub in_line: bool,
    /// Whether that is so, and every port that should get traffic gets it.
    pub ok: bool,
}

/// A container, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerInfo {
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
    pub instance: Option<InstanceReport>,
    /// The variables and labels that hold for the port.
    pub keys: Vec<KeyReport>,
    /// What could not be done as asked.
    pub notes: Vec<String>,
}

/// An instance, and what the registry has of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceReport {
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
    pub registry: RegistrationState,
    /// What is sent to the registry.
    pub body: Value,
}

/// A key, and who decided about its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// In lower case: `check_http`.
    pub key: String,
    /// What counts.
    pub won: SettingReport,
    /// What does not, the strongest first.
    pub lost: Vec<SettingReport>,
}

/// A variable or label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingReport {
    /// As it was written.
    pub value: String,
    /// Its name.
    pub from: String,
    /// `variable` or `label`.
    pub source: &'static str,
}

/// Puts everything together. `entries` is an error that tells why they are not known.
pub(super) fn container_report(
    container: &Container,
    containers: &BTreeMap<String, Observation>,
    host: &Host,
    desired: &DesiredInstances,
    entries: Result<&Entries, &str>,
    body: fn(&Instance) -> Value,
    now: Timestamp,
) -> ContainerReport {
    let metadata = Metadata::read(container);
    let mut wants = Vec::new();
    let port = |verdict: PortOutcome| {
        let keys = keys(&metadata, verdict.port);
        wants.push(TrafficIntent::of(verdict.instance.as_ref().err()));
        let address_from = verdict.address_source.map(|origin| origin.to_string()).unwrap_or_default();
        let (traffic, instance, skipped) = match verdict.instance {
            Err(skip) => (traffic::skipped_port_traffic(skip, container), None, Some(skip.to_string())),
            Ok(instance) => {
                let registry = match entries {
                    Ok(entries) => registration_state::registration_state(&instance, desired, entries),
                    Err(reason) => RegistrationState::Unknown { reason: reason.to_owned() },
                };
                let problems = limits::instance_problems(&instance);
                let known = entries.ok();
                let traffic = traffic::instance_traffic(container, &instance, &registry, known, problems.first());
                let registered = InstanceReport {
                    id_from: winning_setting(&keys, "id")
                        .map_or_else(|| "host, container and port".to_owned(), origin_text),
                    name_from: name_from(&instance, verdict.port, &keys),
                    limits: problems,
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
    let verdicts = instances::port_outcomes(container, containers, host, now);
    let outcome_ports: Vec<_> = verdicts.iter().map(|verdict| verdict.port).collect();
    let ports: Vec<_> = verdicts.into_iter().map(port).collect();
    let left = entries
        .map_or_else(|_| Vec::new(), |entries| registration_state::leftover_entries(container, desired, entries));
    let in_line = left.is_empty() && ports.iter().flat_map(|port| &port.instance).all(|i| i.registry.is_in_sync());
    let served =
        |(want, port): (&TrafficIntent, &PortReport)| *want != TrafficIntent::Intended || port.traffic.ok == Some(true);
    let is_anything_asked = !wants.iter().all(|want| *want == TrafficIntent::Refused) || ports.is_empty();
    let ok = in_line
        && entries.is_ok()
        && wants.iter().zip(&ports).all(served)
        && (ports.iter().any(|port| port.instance.is_some()) || !is_anything_asked);
    let traffic = ports.is_empty().then(|| traffic::portless_container_traffic(container, &host.settings));
    let trouble = entries.err().map(str::to_owned);
    let mut notes = instances::container_notes(container);
    notes.extend(key_notes::key_notes(container, &metadata, &outcome_ports));
    notes.extend(host.unreachable_address_note().filter(|_| ports.iter().any(|port| port.instance.is_some())));
    ContainerReport { container: container_info(container), trouble, traffic, ports, notes, left, in_line, ok }
}

/// Whether a port is meant to get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrafficIntent {
    /// It is registered, or only a mistake or the time stands against it.
    Intended,
    /// Nobody has asked for it: it is exposed, or published for this host only.
    NotRequested,
    /// It is said that it is not.
    Refused,
}

impl TrafficIntent {
    fn of(skip: Option<&SkipReason>) -> Self {
        match skip {
            Some(SkipReason::Ignored | SkipReason::NoServiceName) => Self::Refused,
            Some(SkipReason::NotPublished | SkipReason::Loopback) => Self::NotRequested,
            _ => Self::Intended,
        }
    }
}

fn container_info(container: &Container) -> ContainerInfo {
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
    ContainerInfo { id, name, image, state, health, unseen }
}

fn keys(metadata: &Metadata, port: Port) -> Vec<KeyReport> {
    let setting = |setting: metadata::Setting<'_>| SettingReport {
        value: setting.value.to_owned(),
        from: setting.name.to_owned(),
        source: if setting.source == MetadataSource::Variable { "variable" } else { "label" },
    };
    let keys = metadata.settings_by_precedence(port).into_iter().filter_map(|(key, settings)| {
        let mut settings = settings.into_iter().map(setting);
        Some(KeyReport { key: key.to_owned(), won: settings.next()?, lost: settings.collect() })
    });
    keys.collect()
}

fn winning_setting<'a>(keys: &'a [KeyReport], key: &str) -> Option<&'a SettingReport> {
    keys.iter().find(|found| found.key == key).map(|found| &found.won).filter(|won| !won.value.is_empty())
}

fn origin_text(setting: &SettingReport) -> String {
    format!("from {}", setting.from)
}

fn name_from(instance: &Instance, port: Port, keys: &[KeyReport]) -> String {
    let said = winning_setting(keys, "name");
    let base = said.map_or_else(|| "what the image, or else the container, is called".to_owned(), origin_text);
    let suffix = format!("-{}", port.number);
    let extended = said.map_or(instance.name.ends_with(&suffix), |said| said.value != instance.name);
    if extended { format!("{base}, with the port, as the container has several") } else { base }
}
