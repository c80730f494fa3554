//! Explains whether a port gets traffic, and if not, why and since when. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::registration_state::RegistrationState;
use crate::{
    core::value::one_line,
    docker::{Container, HealthStatus},
    register::{health, settings::Settings, skip_reason::SkipReason},
    registry::{Entries, Entry, FailingCheck, Instance, OutOfTraffic, Status},
};

/// The longest output of a check that is shown, in characters.
const MAX_QUOTED: usize = 300;

/// Whether the registry directs traffic to a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// `None` if that is unknown.
    pub ok: Option<bool>,
    /// Why not, or why it is unknown.
    pub reason: Option<String>,
    /// Since when the reason applies, if that is known.
    pub since: Option<String>,
}

impl Traffic {
    fn no(reason: impl Into<String>) -> Self {
        Self { ok: Some(false), reason: Some(reason.into()), since: None }
    }

    pub(super) fn unknown(reason: impl Into<String>) -> Self {
        Self { ok: None, ..Self::no(reason) }
    }

    fn since(self, since: &str) -> Self {
        Self { since: Some(since.to_owned()).filter(|since| !since.is_empty()), ..self }
    }
}

/// The traffic of a port that gives no instance.
pub(super) fn skipped_port_traffic(skip: SkipReason, container: &Container) -> Traffic {
    let traffic = Traffic::no(format!("not registered: {skip}"));
    if skip == SkipReason::HealthStarting { traffic.since(&container.started_at) } else { traffic }
}

/// The traffic of a container without ports to register.
pub(super) fn portless_container_traffic(container: &Container, settings: &Settings) -> Traffic {
    let ended = match container.exit_code {
        Some(code) => format!("the container has ended with exit code {code}"),
        None => "the container is not running".to_owned(),
    };
    if container.running {
        Traffic::no("not registered: the container has no port to register; publish one")
    } else if settings.crash_starts > 0 && container.starts.len() >= settings.crash_starts {
        Traffic::no(format!("not registered: crash loop: {ended}"))
    } else {
        Traffic::no(format!("not registered: {ended}"))
    }
}

/// The traffic of an instance. `entries` are the registry's entries, if known; `limit` is a problem that the registry
/// may refuse the instance for.
pub(super) fn instance_traffic(
    container: &Container,
    instance: &Instance,
    state: &RegistrationState,
    entries: Option<&Entries>,
    limit: Option<&String>,
) -> Traffic {
    match state {
        RegistrationState::Unknown { reason } => return Traffic::unknown(reason.clone()),
        RegistrationState::Foreign { .. } | RegistrationState::Refused { .. } => return Traffic::no(state.to_string()),
        RegistrationState::Missing { waits_for: Some(probe) } => {
            let reason = format!("not registered: waits until it is ready (SERVICE_READY): {probe} must answer once");
            return Traffic::no(reason).since(&container.started_at);
        }
        RegistrationState::Missing { waits_for: None } => {
            let limit = limit.map(|limit| format!("; {limit}")).unwrap_or_default();
            let reason =
                format!("not registered: register has not written it yet, or was refused (see its log){limit}");
            return Traffic::no(reason);
        }
        RegistrationState::InLine | RegistrationState::OutOfTraffic { .. } | RegistrationState::Differs { .. } => {}
    }
    let Some((entries, entry)) = entries.and_then(|entries| Some((entries, entries.owned.get(&instance.id)?))) else {
        return Traffic::no("not registered");
    };
    if (&entry.address, entry.port) != (&instance.address, instance.port) {
        let there = format!("{}:{}", entry.address, entry.port);
        return Traffic::no(format!(
            "the registry sends it to {there}, where the container is not; is register running?"
        ));
    }
    // Docker's present state has precedence over what was sent to the registry earlier.
    let out = instance.out_of_traffic.map(|reason| maintenance_traffic(&reason.to_string()));
    let out = entry.out_of_traffic.is_none().then_some(out).flatten();
    let of_host = || {
        (entry.out_of_traffic.is_none() && entries.failing_host_checks.is_empty())
            .then(|| unhealthy(container, instance))
    };
    let with_exit_code = |traffic: Traffic| match (container.exit_code, instance.out_of_traffic) {
        (Some(code), Some(OutOfTraffic::CrashLoop)) => {
            let reason = traffic.reason.map(|reason| format!("{reason}, the last time with exit code {code}"));
            Traffic { reason, ..traffic }
        }
        _ => traffic,
    };
    with_exit_code(
        out.or_else(|| of_host().flatten()).unwrap_or_else(|| entry_traffic(entry, &entries.failing_host_checks)),
    )
}

/// The traffic of an entry, from what the registry reports.
pub(super) fn entry_traffic(entry: &Entry, host_failing: &[FailingCheck]) -> Traffic {
    if let Some(reason) = &entry.out_of_traffic {
        return maintenance_traffic(reason);
    }
    let of_host = host_failing.iter().map(|check| check_failure(check, " of the whole host"));
    let mut failing: Vec<_> =
        of_host.chain(entry.failing_checks.iter().map(|check| check_failure(check, ""))).collect();
    failing.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
    if failing.is_empty() {
        return Traffic { ok: Some(true), reason: None, since: None };
    }
    let reasons: Vec<_> = failing.into_iter().map(|(_, reason)| reason).collect();
    Traffic::no(reasons.join("; "))
}

/// The traffic of an entry in maintenance mode.
fn maintenance_traffic(reason: &str) -> Traffic {
    match OutOfTraffic::parse(reason, Timestamp::UNIX_EPOCH) {
        Some(OutOfTraffic::Draining { since }) if since > Timestamp::UNIX_EPOCH => {
            Traffic::no(reason.rsplit_once(" at ").map_or(reason, |(reason, _)| reason)).since(&since.to_string())
        }
        Some(_) => Traffic::no(reason),
        None if reason.is_empty() => Traffic::no("maintenance mode, by an operator who gave no reason"),
        None => Traffic::no(format!("maintenance mode, by an operator: {:?}", quoted(reason))),
    }
}

/// The failure of Docker's HEALTHCHECK, if its status is registered and not healthy.
fn unhealthy(container: &Container, instance: &Instance) -> Option<Traffic> {
    let health = container.health.as_ref().filter(|_| instance.reports.contains_key(health::DOCKER_CHECK))?;
    match health.status {
        HealthStatus::Healthy => None,
        HealthStatus::Starting => {
            Some(Traffic::no("Docker's HEALTHCHECK is starting: it has no result yet").since(&container.started_at))
        }
        HealthStatus::Unhealthy => {
            Some(Traffic::no(format!("Docker's HEALTHCHECK is unhealthy: {}", output_text(&health.output))))
        }
    }
}

/// Describes a failing check. The number is its severity: a higher one is worse.
fn check_failure(check: &FailingCheck, whose: &str) -> (u8, String) {
    let FailingCheck { name, status, output } = check;
    match status {
        Status::Maintenance => (3, format!("maintenance mode{whose}, by an operator: {:?}", quoted(output))),
        Status::Warning => {
            let reason = format!(
                "check {name:?}{whose} is warning, which DNS includes and templates do not: {}",
                output_text(output)
            );
            (1, reason)
        }
        _ => (2, format!("check {name:?}{whose} is critical: {}", output_text(output))),
    }
}

fn output_text(output: &str) -> String {
    let output = quoted(output);
    if output.is_empty() { "it has no output yet".to_owned() } else { output }
}

fn quoted(text: &str) -> String {
    one_line(text, MAX_QUOTED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{docker::Health, register::fixture};

    fn entry() -> Entry {
        Entry::expected(&fixture::instance("web", "c"))
    }

    fn failing(name: &str, status: Status, output: &str) -> FailingCheck {
        FailingCheck { name: name.into(), status, output: output.into() }
    }

    #[test]
    fn failing_checks_are_explained_the_worst_first() {
        type TrafficChange = fn(&mut Entry, &mut Vec<FailingCheck>);
        let cases: [(TrafficChange, &str); 9] = [
            (|_, _| {}, "yes"),
            (
                |entry, _| entry.out_of_traffic = Some("disk swap".into()),
                "no: maintenance mode, by an operator: \"disk swap\"",
            ),
            (
                |entry, _| entry.out_of_traffic = Some(String::new()),
                "no: maintenance mode, by an operator who gave no reason",
            ),
            (
                |entry, _| {
                    entry.out_of_traffic =
                        Some("portreeve: draining, the container was told to stop at 2026-11-20T10:00:00Z".into())
                },
                "no: portreeve: draining, the container was told to stop since 2026-11-20T10:00:00Z",
            ),
            (
                |entry, _| entry.out_of_traffic = Some("portreeve: draining, the container was told to stop".into()),
                "no: portreeve: draining, the container was told to stop",
            ),
            (
                |entry, _| entry.failing_checks = vec![failing("up", Status::Critical, "")],
                "no: check \"up\" is critical: it has no output yet",
            ),
            (
                |entry, _| {
                    entry.failing_checks = vec![
                        failing("slow", Status::Warning, "2 s"),
                        failing("up", Status::Critical, "HTTP GET:\n 500 "),
                    ];
                },
                "no: check \"up\" is critical: HTTP GET: 500; check \"slow\" is warning, which DNS includes and templates do not: 2 s",
            ),
            (
                |_, host| host.push(failing("Node Maintenance Mode", Status::Maintenance, "new disk")),
                "no: maintenance mode of the whole host, by an operator: \"new disk\"",
            ),
            (
                |_, host| host.push(failing("Serf Health Status", Status::Critical, "lost")),
                "no: check \"Serf Health Status\" of the whole host is critical: lost",
            ),
        ];
        for (change, expected) in cases {
            let (mut entry, mut host) = (entry(), Vec::new());
            change(&mut entry, &mut host);
            assert_eq!(entry_traffic(&entry, &host).to_string(), expected);
        }
        assert_eq!(quoted(&"é".repeat(400)).chars().count(), MAX_QUOTED + 1);
    }

    #[test]
    fn a_container_without_ports_is_explained() {
        let settings = Settings { crash_starts: 3, ..Settings::default() };
        let explained = |running, exit_code, starts| {
            let starts = vec![Timestamp::UNIX_EPOCH; starts];
            portless_container_traffic(&Container { running, exit_code, starts, ..fixture::container("w") }, &settings)
                .to_string()
        };
        assert_eq!(explained(true, None, 1), "no: not registered: the container has no port to register; publish one");
        assert_eq!(explained(false, None, 0), "no: not registered: the container is not running");
        assert_eq!(explained(false, Some(3), 1), "no: not registered: the container has ended with exit code 3");
        let expected = "no: not registered: crash loop: the container has ended with exit code 3";
        assert_eq!(explained(false, Some(3), 3), expected);
    }

    #[test]
    fn a_healthcheck_is_explained_with_its_output() {
        let explained = |status, reported: bool| {
            let container = Container {
                health: Some(Health { status, output: "no\nroute".into() }),
                started_at: "T".into(),
                ..fixture::container("w")
            };
            let mut instance = fixture::instance("web", "c");
            if reported {
                let report = crate::registry::StatusReport { status: Status::Critical, output: String::new() };
                instance.reports.insert(health::DOCKER_CHECK.into(), report);
            }
            unhealthy(&container, &instance).map(|traffic| traffic.to_string())
        };
        assert_eq!(explained(HealthStatus::Healthy, true), None);
        assert_eq!(explained(HealthStatus::Unhealthy, false), None, "--no-docker-health");
        let unhealthy = explained(HealthStatus::Unhealthy, true);
        assert_eq!(unhealthy.as_deref(), Some("no: Docker's HEALTHCHECK is unhealthy: no route"));
        let starting = explained(HealthStatus::Starting, true);
        assert_eq!(starting.as_deref(), Some("no: Docker's HEALTHCHECK is starting: it has no result yet since T"));
    }
}
