//! Converts an [`Instance`] into a registration, and the lists of an agent into [`Entry`]s. Pure.
//!
//! ```text
//! Instance --service_definition--> ServiceDefinition --> agent --> AgentService, AgentCheck --entries--> Entry
//! ```

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    AgentCheck, AgentService,
    check::{self, check_id, status_text},
};
use crate::registry::{
    Check, CheckProbe, Entries, Entry, FailingCheck, Instance, META_PREFIX, Owner, RegisteredCheck, Status, Weights,
};

/// The Meta key of [`Instance::digest`].
const DIGEST_KEY: &str = "portreeve-digest";

/// The TTL of the maintenance check: ten years. Consul accepts no check without a probe or a TTL in a registration.
const MAINTENANCE_TTL: &str = "87600h";

/// The field of an HTTP/2 ping. Agents before 1.10 do not support it; their error contains this name.
pub(super) const H2PING_FIELD: &str = "H2PING";

/// The body of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceDefinition<'a> {
    /// Unique on the agent.
    #[serde(rename = "ID")]
    pub id: &'a str,
    /// The service's name.
    pub name: &'a str,
    /// The address at which others reach the service.
    pub address: &'a str,
    /// The port at `address`.
    pub port: u16,
    /// The tags, in this order.
    pub tags: &'a [String],
    /// The pairs of the instance, the owner and the digest.
    pub meta: BTreeMap<&'a str, &'a str>,
    /// Further addresses, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<&'a str, TaggedAddressDefinition<'a>>,
    /// The weights in load balancing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Whether others may change the tags.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enable_tag_override: bool,
    /// All checks of the service.
    pub checks: Vec<CheckDefinition<'a>>,
}

/// A further address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaggedAddressDefinition<'a> {
    /// An IP address.
    pub address: &'a str,
    /// The port at that address.
    pub port: u16,
}

/// A check in a [`ServiceDefinition`]. Unset fields are not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDefinition<'a> {
    /// Unique on the agent. It is the same in each registration, so the check keeps its state.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// The URL of an HTTP check.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<&'a str>,
    /// The method of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// The headers of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<&'a BTreeMap<String, Vec<String>>>,
    /// The body of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
    /// Accept any certificate.
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "std::ops::Not::not")]
    pub tls_skip_verify: bool,
    /// The address of a TCP check.
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<&'a str>,
    /// The address of a gRPC check.
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    pub grpc: Option<&'a str>,
    /// Whether a gRPC check uses TLS.
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "std::ops::Not::not")]
    pub grpc_use_tls: bool,
    /// The address of an HTTP/2 ping.
    #[serde(rename = "H2PING", skip_serializing_if = "Option::is_none")]
    pub h2ping: Option<&'a str>,
    /// Whether an HTTP/2 ping uses TLS. Consul's default is true.
    #[serde(rename = "H2PingUseTLS", skip_serializing_if = "Option::is_none")]
    pub h2ping_use_tls: Option<bool>,
    /// The program of a script or Docker check, and its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<&'a [String]>,
    /// The container of a Docker check.
    #[serde(rename = "DockerContainerID", skip_serializing_if = "Option::is_none")]
    pub docker_container_id: Option<&'a str>,
    /// The shell of a Docker check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<&'a str>,
    /// The time to live of a report.
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'a str>,
    /// Free text. On the check of maintenance mode: the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<&'a str>,
    /// The interval of the probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<&'a str>,
    /// The time limit of a probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<&'a str>,
    /// The status before the first result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// The agent removes the service after it has been critical for this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<&'a str>,
    /// The number of successful probes before the status is passing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_before_passing: Option<u32>,
    /// The number of failed probes before the status is critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures_before_critical: Option<u32>,
}

/// The registration of `instance`. `digest` is the digest of the instance. `out` is the reason of maintenance mode;
/// `None` if the instance is in traffic.
pub(super) fn service_definition<'a>(
    instance: &'a Instance,
    digest: &'a str,
    out: Option<&'a str>,
) -> ServiceDefinition<'a> {
    let Owner { engine, host, container, started } = &instance.owner;
    let owner_pairs = [
        (Owner::ENGINE_KEY, engine.as_str()),
        (Owner::HOST_KEY, host),
        (Owner::CONTAINER_KEY, container),
        (Owner::STARTED_KEY, started),
        (DIGEST_KEY, digest),
    ];
    let own = instance.meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let tagged = instance.tagged_addresses.iter();
    ServiceDefinition {
        id: &instance.id,
        name: &instance.name,
        address: &instance.address,
        port: instance.port,
        tags: &instance.tags,
        // The pairs of the owner come last, so a pair of the instance cannot replace them.
        meta: own.chain(owner_pairs).collect(),
        tagged_addresses: tagged
            .map(|(tag, (address, port))| (tag.as_str(), TaggedAddressDefinition { address, port: *port }))
            .collect(),
        weights: instance.weights,
        enable_tag_override: instance.tag_override,
        checks: {
            let checks = instance.checks.iter().map(|check| check_definition(instance, check));
            checks.chain(out.map(|reason| maintenance_check(&instance.id, reason))).collect()
        },
    }
}

/// The check of maintenance mode. Consul's API for maintenance mode only creates and removes a check with this id.
fn maintenance_check<'a>(id: &str, reason: &'a str) -> CheckDefinition<'a> {
    CheckDefinition {
        check_id: check::service_maintenance_id(id),
        name: Some(check::SERVICE_MAINTENANCE_NAME),
        notes: Some(reason),
        ttl: Some(MAINTENANCE_TTL),
        status: Some(status_text(Status::Critical)),
        ..CheckDefinition::default()
    }
}

fn check_definition<'a>(instance: &'a Instance, check: &'a Check) -> CheckDefinition<'a> {
    // A known report is part of the registration, so the check has its status immediately.
    let reported = instance.reports.get(&check.key).map(|report| status_text(report.status));
    let common = CheckDefinition {
        check_id: check_id(&instance.id, &check.key),
        name: check.name.as_deref(),
        interval: check.interval.as_deref(),
        timeout: check.timeout.as_deref(),
        status: reported.or(check.initial_status.as_deref()),
        deregister_critical_service_after: check.deregister_after.as_deref(),
        success_before_passing: check.success_before_passing,
        failures_before_critical: check.failures_before_critical,
        ..CheckDefinition::default()
    };
    match &check.probe {
        CheckProbe::Http { url, method, header, body, tls_skip_verify } => CheckDefinition {
            http: Some(url),
            method: method.as_deref(),
            header: Some(header).filter(|header| !header.is_empty()),
            body: body.as_deref(),
            tls_skip_verify: *tls_skip_verify,
            ..common
        },
        CheckProbe::Tcp { address } => CheckDefinition { tcp: Some(address), ..common },
        CheckProbe::Grpc { address, tls, tls_skip_verify } => {
            CheckDefinition { grpc: Some(address), grpc_use_tls: *tls, tls_skip_verify: *tls_skip_verify, ..common }
        }
        CheckProbe::H2ping { address, tls, tls_skip_verify } => CheckDefinition {
            h2ping: Some(address),
            h2ping_use_tls: Some(*tls),
            tls_skip_verify: *tls_skip_verify,
            ..common
        },
        CheckProbe::Script { arguments } => CheckDefinition { args: Some(arguments), ..common },
        CheckProbe::Docker { container, shell, arguments } => CheckDefinition {
            docker_container_id: Some(container),
            shell: shell.as_deref(),
            args: Some(arguments),
            ..common
        },
        CheckProbe::Report { ttl } => CheckDefinition { ttl: Some(ttl), ..common },
    }
}

/// The entries of an agent, separated into those with our ownership marks and the others.
pub(super) fn entries(services: BTreeMap<String, AgentService>, checks: &BTreeMap<String, AgentCheck>) -> Entries {
    let mut entries = Entries::default();
    let mut failing = failing_checks(checks);
    for (id, service) in services {
        let failing = failing.remove(id.as_str()).unwrap_or_default();
        let is_ours = service.meta.keys().any(|key| key.starts_with(META_PREFIX));
        let entry = Entry { failing_checks: failing, ..entry(service, checks) };
        if is_ours {
            entries.owned.insert(id, entry);
        } else {
            entries.foreign_entries.insert(id.clone(), entry);
            entries.foreign.insert(id, None);
        }
    }
    entries.failing_host_checks = failing.remove("").unwrap_or_default();
    entries
}

/// The checks that do not pass, by the id of their service. Those of maintenance mode are not included; see
/// [`Entry::out_of_traffic`].
fn failing_checks(checks: &BTreeMap<String, AgentCheck>) -> BTreeMap<&str, Vec<FailingCheck>> {
    let mut failing = BTreeMap::<_, Vec<_>>::new();
    for (id, check) in checks {
        let (status, output) = match check::parse_status(&check.status) {
            Status::Passing => continue,
            _ if check::is_service_maintenance(id) => continue,
            _ if id == check::NODE_MAINTENANCE_ID => (Status::Maintenance, &check.notes),
            status => (status, &check.output),
        };
        let failing_check = FailingCheck { name: check.name.clone(), status, output: output.clone() };
        failing.entry(check.service_id.as_str()).or_default().push(failing_check);
    }
    failing
}

fn entry(service: AgentService, checks: &BTreeMap<String, AgentCheck>) -> Entry {
    let maintenance = checks.get(&check::service_maintenance_id(&service.id));
    let seen = registered_checks(&service, checks);
    let (service_id, mut meta) = (service.id.clone(), service.meta);
    let mut take = |key| meta.remove(key).unwrap_or_default();
    let owner = Owner {
        engine: take(Owner::ENGINE_KEY),
        host: take(Owner::HOST_KEY),
        container: take(Owner::CONTAINER_KEY),
        started: take(Owner::STARTED_KEY),
    };
    let digest = take(DIGEST_KEY);
    meta.retain(|key, _| !key.starts_with(META_PREFIX));
    Entry {
        id: service.id,
        name: service.service,
        address: service.address,
        // An invalid port becomes 0, which no instance has, so the entry differs from its instance.
        port: u16::try_from(service.port).unwrap_or(0),
        tags: service.tags,
        meta,
        owner,
        digest,
        checks: seen,
        reported_statuses: reported_statuses(&service_id, checks),
        out_of_traffic: maintenance.map(|check| check.notes.clone()),
        failing_checks: Vec::new(),
    }
}

/// The checks of a service whose ids are from [`check_id`], by key.
fn registered_checks(
    service: &AgentService,
    checks: &BTreeMap<String, AgentCheck>,
) -> BTreeMap<String, RegisteredCheck> {
    let first = check_id(&service.id, Check::FIRST);
    let further = check_id(&service.id, "");
    let named_by_agent = check::default_name(&service.service);
    let ours = checks.range(first.clone()..).take_while(|(id, _)| id.starts_with(&first));
    let key = |id: &str| if id == first { Some(Check::FIRST) } else { id.strip_prefix(&further) }.map(str::to_owned);
    ours.filter(|(_, check)| check.service_id == service.id)
        .filter_map(|(id, AgentCheck { kind, name, .. })| {
            let kind = Some(kind.clone()).filter(|kind| !kind.is_empty());
            Some((key(id)?, RegisteredCheck { kind, name: Some(name.clone()).filter(|name| *name != named_by_agent) }))
        })
        .collect()
}

/// The statuses of the checks of a service, by key, without [`Check::FIRST`]. Checks that the agent probes are
/// included, which does no harm.
fn reported_statuses(id: &str, checks: &BTreeMap<String, AgentCheck>) -> BTreeMap<String, Status> {
    let prefix = check_id(id, "");
    let ours = checks.range(prefix.clone()..).take_while(|(check, _)| check.starts_with(&prefix));
    ours.map(|(id, check)| (id[prefix.len()..].to_owned(), check::parse_status(&check.status))).collect()
}

#[cfg(test)]
mod tests;
