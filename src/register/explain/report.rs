//! The report about a container. Pure.

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

/// The report about one container.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContainerReport {
    /// The container itself.
    pub container: ContainerInfo,
    /// Why the registry could not be read, if it could not.
    pub trouble: Option<String>,
    /// Why the container gets no traffic, if it has no ports.
    pub traffic: Option<Traffic>,
    /// Its ports in their order; none if it is not running.
    pub ports: Vec<PortReport>,
    /// Notes that belong to none of its ports.
    pub notes: Vec<String>,
    /// Entries of the container that should not exist.
    pub left: Vec<LeftoverEntry>,
    /// Whether `register` would write nothing.
    pub in_line: bool,
    /// Whether `register` would write nothing, and every port that should get traffic gets it.
    pub ok: bool,
}

/// A container, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerInfo {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image, as it was started.
    pub image: String,
    /// Running, paused, or ended.
    pub state: String,
    /// The status of its HEALTHCHECK, if it has one.
    pub health: Option<String>,
    /// What a single inspection cannot report.
    pub unseen: Option<String>,
}

/// One port.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PortReport {
    /// The port inside the container: `80/tcp`.
    pub port: String,
    /// Whether it gets traffic.
    pub traffic: Traffic,
    /// Why it is not registered.
    pub skipped: Option<String>,
    /// The instance that is or should be registered.
    pub instance: Option<InstanceReport>,
    /// The variables and labels that apply to the port.
    pub keys: Vec<KeyReport>,
    /// What could not be done as configured.
    pub notes: Vec<String>,
}

/// An instance and its state in the registry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceReport {
    /// Its id.
    pub id: String,
    /// Where the id was taken from.
    pub id_from: String,
    /// The service's name.
    pub name: String,
    /// Where the name was taken from.
    pub name_from: String,
    /// The address at which other hosts reach it.
    pub address: String,
    /// The port that belongs to the address.
    pub port: u16,
    /// Where the address was taken from.
    pub address_from: String,
    /// What Consul refuses or cannot serve.
    pub limits: Vec<String>,
    /// The state in the registry.
    pub registry: RegistrationState,
    /// The registration body.
    pub body: Value,
}

/// A key with all its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// In lower case: `check_http`.
    pub key: String,
    /// The setting that has precedence.
    pub won: SettingReport,
    /// The others, in descending order of precedence.
    pub lost: Vec<SettingReport>,
}

/// A variable or label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingReport {
    /// The value as it was written.
    pub value: String,
    /// Its name.
    pub from: String,
    /// `variable` or `label`.
    pub source: &'static str,
}

/// Builds the report. `entries` are those of the registry, or why they are unknown.
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
    let mut intents = Vec::new();
    let port = |outcome: PortOutcome| {
        let keys = keys(&metadata, outcome.port);
        intents.push(TrafficIntent::of(outcome.instance.as_ref().err()));
        let address_from = outcome.address_source.map(|source| source.to_string()).unwrap_or_default();
        let (traffic, instance, skipped) = match outcome.instance {
            Err(skip) => (traffic::skipped_port_traffic(skip, container), None, Some(skip.to_string())),
            Ok(instance) => {
                let registry = match entries {
                    Ok(entries) => registration_state::registration_state(&instance, desired, entries),
                    Err(reason) => RegistrationState::Unknown { reason: reason.to_owned() },
                };
                let problems = limits::instance_problems(&instance);
                let entries_if_known = entries.ok();
                let traffic =
                    traffic::instance_traffic(container, &instance, &registry, entries_if_known, problems.first());
                let registered = InstanceReport {
                    id_from: winning_setting(&keys, "id")
                        .map_or_else(|| "host, container and port".to_owned(), origin_text),
                    name_from: name_from(&instance, outcome.port, &keys),
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
        PortReport { port: outcome.port.to_string(), traffic, skipped, instance, keys, notes: outcome.notes }
    };
    let outcomes = instances::port_outcomes(container, containers, host, now);
    let outcome_ports: Vec<_> = outcomes.iter().map(|outcome| outcome.port).collect();
    let ports: Vec<_> = outcomes.into_iter().map(port).collect();
    let left = entries
        .map_or_else(|_| Vec::new(), |entries| registration_state::leftover_entries(container, desired, entries));
    let in_line = left.is_empty() && ports.iter().flat_map(|port| &port.instance).all(|i| i.registry.is_in_sync());
    let served = |(intent, port): (&TrafficIntent, &PortReport)| {
        *intent != TrafficIntent::Intended || port.traffic.ok == Some(true)
    };
    let is_anything_asked = !intents.iter().all(|intent| *intent == TrafficIntent::Refused) || ports.is_empty();
    let ok = in_line
        && entries.is_ok()
        && intents.iter().zip(&ports).all(served)
        && (ports.iter().any(|port| port.instance.is_some()) || !is_anything_asked);
    let traffic = ports.is_empty().then(|| traffic::portless_container_traffic(container, &host.settings));
    let trouble = entries.err().map(str::to_owned);
    let mut notes = instances::container_notes(container);
    notes.extend(key_notes::key_notes(container, &metadata, &outcome_ports));
    notes.extend(host.unreachable_address_note().filter(|_| ports.iter().any(|port| port.instance.is_some())));
    ContainerReport { container: container_info(container), trouble, traffic, ports, notes, left, in_line, ok }
}

/// Whether a port is intended to get traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrafficIntent {
    /// It is registered, or only a mistake or the time prevents it.
    Intended,
    /// It was not requested: the port is only exposed, or published for this host only.
    NotRequested,
    /// The settings exclude it.
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
    // Only events report these, and `explain` reads the events of the last minutes.
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
    let setting = winning_setting(keys, "name");
    let base = setting.map_or_else(|| "from the image, or else the container".to_owned(), origin_text);
    let suffix = format!("-{}", port.number);
    let extended = setting.map_or(instance.name.ends_with(&suffix), |setting| setting.value != instance.name);
    if extended { format!("{base}, with the port, as the container has several") } else { base }
}
