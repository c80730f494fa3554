//! The ids, names and statuses of Consul's checks. Pure.

use crate::registry::{Check, CheckRecord, Status};

/// The id of the check that puts a whole node into maintenance mode.
pub(crate) const NODE_MAINTENANCE_ID: &str = "_node_maintenance";
/// The name that Consul gives to that check.
pub(crate) const NODE_MAINTENANCE_NAME: &str = "Node Maintenance Mode";
/// The start of the id of the check that puts a service into maintenance mode; the id of the service follows.
const SERVICE_MAINTENANCE_PREFIX: &str = "_service_maintenance:";
/// The name that Consul gives to that check.
pub(crate) const SERVICE_MAINTENANCE_NAME: &str = "Service Maintenance Mode";

/// The id of the check that puts a service into maintenance mode.
pub(crate) fn service_maintenance_id(service_id: &str) -> String {
    format!("{SERVICE_MAINTENANCE_PREFIX}{service_id}")
}

/// Whether a check is the maintenance mode of a service.
pub(super) fn is_service_maintenance(id: &str) -> bool {
    id.starts_with(SERVICE_MAINTENANCE_PREFIX)
}

/// The id of a check on its agent. The first check has the id that Consul gives to the only check of a service.
/// Registrator registers it under that id, so an adopted check keeps its state.
pub(crate) fn check_id(service_id: &str, key: &str) -> String {
    if key == Check::FIRST { format!("service:{service_id}") } else { format!("service:{service_id}:{key}") }
}

/// The name that Consul gives to a check without a name.
pub(crate) fn default_name(service: &str) -> String {
    format!("Service '{service}' check")
}

/// The name of a status in Consul.
pub(crate) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Passing => "passing",
        Status::Warning => "warning",
        Status::Critical | Status::Maintenance => "critical",
    }
}

/// Parses a status of Consul. An unknown one counts as critical.
pub(super) fn parse_status(text: &str) -> Status {
    match text {
        "passing" => Status::Passing,
        "warning" => Status::Warning,
        _ => Status::Critical,
    }
}

/// The worst status of the checks of an instance and its node.
pub(crate) fn worst_status(checks: &[CheckRecord]) -> Status {
    let status = |CheckRecord { id, status, .. }: &CheckRecord| {
        let in_maintenance = id == NODE_MAINTENANCE_ID || is_service_maintenance(id);
        if in_maintenance { Status::Maintenance } else { parse_status(status) }
    };
    checks.iter().map(status).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_check_counts() {
        let worst = |checks: &[(&str, &str)]| {
            let check = |(id, status): &(&str, &str)| CheckRecord {
                id: (*id).into(),
                status: (*status).into(),
                ..CheckRecord::default()
            };
            worst_status(&checks.iter().map(check).collect::<Vec<_>>())
        };
        for (checks, expected) in [
            (&[][..], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "passing")], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "warning")], Status::Warning),
            (&[("service:a", "warning"), ("serfHealth", "critical")], Status::Critical),
            (&[("service:a", "unheard of")], Status::Critical),
            (&[("service:a", "critical"), ("_node_maintenance", "critical")], Status::Maintenance),
            (&[("_service_maintenance:a", "critical"), ("service:a", "passing")], Status::Maintenance),
        ] {
            assert_eq!(worst(checks), expected, "{checks:?}");
        }
    }
}
