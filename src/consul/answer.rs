//! From Consul's JSON to what a template sees.

use std::collections::BTreeMap;

use super::health::{HealthCheck, HealthEntry};
use crate::registry::{ServiceRecord, Status};

/// The id of the check that stands for the maintenance mode of a whole node.
const NODE_MAINTENANCE: &str = "_node_maintenance";
/// How the id of the check begins that stands for the maintenance mode of a service; its id follows.
pub(super) const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// The instances by node, then id.
pub(super) fn records(entries: Vec<HealthEntry>) -> Vec<ServiceRecord> {
    let mut records: Vec<_> = entries.into_iter().map(record).collect();
    records.sort_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
    records
}

/// The names of services, with sorted tags.
pub(super) fn services(mut services: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    services.values_mut().for_each(|tags| tags.sort());
    services
}

fn record(entry: HealthEntry) -> ServiceRecord {
    let HealthEntry { node, service, checks } = entry;
    let status = status(&checks);
    let mut tags = service.tags;
    tags.sort();
    ServiceRecord {
        address: if service.address.is_empty() { node.address.clone() } else { service.address },
        node: node.node,
        node_id: node.id,
        node_address: node.address,
        node_meta: node.meta,
        id: service.id,
        name: service.service,
        port: u16::try_from(service.port).unwrap_or(0),
        tags,
        meta: service.meta,
        weight: service.weights.and_then(|weights| u32::try_from(weights.passing).ok()).unwrap_or(1).max(1),
        status,
        healthy: status == Status::Passing,
        ..ServiceRecord::default()
    }
}

/// The worst of the checks.
fn status(checks: &[HealthCheck]) -> Status {
    let one = |check: &HealthCheck| match check.status.as_str() {
        _ if check.check_id == NODE_MAINTENANCE || check.check_id.starts_with(SERVICE_MAINTENANCE) => {
            Status::Maintenance
        }
        "passing" => Status::Passing,
        "warning" => Status::Warning,
        _ => Status::Critical,
    };
    checks.iter().map(one).max().unwrap_or(Status::Passing)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: serde_json::Value) -> HealthEntry {
        serde_json::from_value(value).expect("an entry")
    }

    #[test]
    fn the_worst_check_counts() {
        let of = |checks: &[(&str, &str)]| {
            let checks: Vec<_> = checks
                .iter()
                .map(|(id, status)| HealthCheck { check_id: (*id).into(), status: (*status).into() })
                .collect();
            status(&checks)
        };
        for (checks, worst) in [
            (&[][..], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "passing")], Status::Passing),
            (&[("serfHealth", "passing"), ("service:a", "warning")], Status::Warning),
            (&[("service:a", "warning"), ("serfHealth", "critical")], Status::Critical),
            (&[("service:a", "unheard of")], Status::Critical),
            (&[("service:a", "critical"), ("_node_maintenance", "critical")], Status::Maintenance),
            (&[("_service_maintenance:a", "critical"), ("service:a", "passing")], Status::Maintenance),
        ] {
            assert_eq!(of(checks), worst, "{checks:?}");
        }
    }

    #[test]
    fn a_complete_entry_is_carried_over() {
        let record = record(entry(json!({
            "Node": {"ID": "n-1", "Node": "host-1", "Address": "10.0.0.1", "Meta": {"rack": "r1"}, "Datacenter": "dc1"},
            "Service": {"ID": "web-1", "Service": "web", "Address": "10.0.0.9", "Port": 8080, "Tags": ["b", "a"],
                "Meta": {"host": "a.example"}, "Weights": {"Passing": 5, "Warning": 1}, "Proxy": {}},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing", "Output": "alive"}],
        })));
        let meta = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let expected = ServiceRecord {
            node: "host-1".into(),
            node_id: "n-1".into(),
            node_address: "10.0.0.1".into(),
            node_meta: meta("rack", "r1"),
            id: "web-1".into(),
            name: "web".into(),
            address: "10.0.0.9".into(),
            port: 8080,
            tags: vec!["a".into(), "b".into()],
            meta: meta("host", "a.example"),
            weight: 5,
            status: Status::Passing,
            healthy: true,
            ..ServiceRecord::default()
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn what_is_missing_has_a_meaning() {
        let bare = record(entry(json!({
            "Node": {"ID": "", "Node": "host-1", "Address": "10.0.0.1", "Meta": null},
            "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 0, "Tags": null, "Meta": null},
            "Checks": null,
        })));
        assert_eq!((bare.address.as_str(), bare.port, bare.weight), ("10.0.0.1", 0, 1));
        assert!(bare.healthy && bare.tags.is_empty() && bare.meta.is_empty());
        let odd = record(entry(json!({"Service": {"Port": -1, "Weights": {"Passing": 0}}})));
        assert_eq!((odd.port, odd.weight), (0, 1));
    }

    #[test]
    fn instances_come_by_node_then_id() {
        let at = |node: &str, id: &str| entry(json!({"Node": {"Node": node}, "Service": {"ID": id}}));
        let sorted = records(vec![at("b", "1"), at("a", "2"), at("a", "1")]);
        let order: Vec<_> = sorted.iter().map(|record| (record.node.as_str(), record.id.as_str())).collect();
        assert_eq!(order, [("a", "1"), ("a", "2"), ("b", "1")]);
    }
}
