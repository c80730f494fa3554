//! Converts instances of services.

use super::{SortOrder, or_default, port, sorted};
use crate::{
    consul::{self, HealthCheck, HealthEntry, ServiceWeights, check},
    registry::{CheckRecord, RecordWeights, ServiceRecord, Status, TaggedAddress},
};

/// The instances, sorted by node and id unless `order` keeps the order of the agent.
pub(in crate::consul) fn records(entries: Vec<HealthEntry>, order: SortOrder) -> Vec<ServiceRecord> {
    let mut records: Vec<_> = entries.into_iter().map(record).collect();
    if order == SortOrder::Stable {
        records.sort_by(|a, b| (&a.node, &a.id).cmp(&(&b.node, &b.id)));
    }
    records
}

fn record(entry: HealthEntry) -> ServiceRecord {
    let HealthEntry { node, service, checks } = entry;
    let checks = checks_by_id(checks);
    let status = check::worst_status(&checks);
    let weights = service.weights.map_or_else(RecordWeights::default, weights);
    ServiceRecord {
        address: or_default(service.address, &node.address),
        node: node.node,
        node_id: node.id,
        node_address: node.address,
        node_tagged_addresses: node.tagged_addresses,
        node_meta: node.meta,
        id: service.id,
        name: service.service,
        port: port(service.port),
        tagged_addresses: service.tagged_addresses.into_iter().map(|(name, at)| (name, tagged_address(at))).collect(),
        tags: sorted(service.tags),
        meta: service.meta,
        weight: weights.passing.max(1),
        weights,
        status,
        healthy: status == Status::Passing,
        checks,
    }
}

fn tagged_address(at: consul::ServiceTaggedAddress) -> TaggedAddress {
    TaggedAddress { address: at.address, port: port(at.port) }
}

/// Consul accepts any number. An invalid weight counts as 1.
fn weights(weights: ServiceWeights) -> RecordWeights {
    let weight = |number| u32::try_from(number).unwrap_or(1);
    RecordWeights { passing: weight(weights.passing), warning: weight(weights.warning) }
}

fn checks_by_id(checks: Vec<HealthCheck>) -> Vec<CheckRecord> {
    let to_record = |HealthCheck { check_id, name, status, service_id }| CheckRecord {
        id: check_id,
        name,
        status,
        of_node: service_id.is_empty(),
    };
    let mut checks: Vec<_> = checks.into_iter().map(to_record).collect();
    checks.sort_by(|a, b| a.id.cmp(&b.id));
    checks
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn entry(value: serde_json::Value) -> HealthEntry {
        serde_json::from_value(value).expect("an entry")
    }

    #[test]
    fn a_complete_entry_is_converted() {
        let record = record(entry(json!({
            "Node": {"ID": "n-1", "Node": "host-1", "Address": "10.0.0.1", "Meta": {"rack": "r1"}, "Datacenter": "dc1",
                "TaggedAddresses": {"lan": "10.0.0.1"}},
            "Service": {"ID": "web-1", "Service": "web", "Address": "10.0.0.9", "Port": 8080, "Tags": ["b", "a"],
                "Meta": {"host": "a.example"}, "Weights": {"Passing": 5, "Warning": 0}, "Proxy": {},
                "TaggedAddresses": {"wan": {"Address": "9.9.9.9", "Port": 80}}},
            "Checks": [
                {"CheckID": "service:web-1", "Name": "up", "Status": "passing", "ServiceID": "web-1"},
                {"CheckID": "serfHealth", "Name": "Serf", "Status": "passing", "Output": "alive", "ServiceID": ""},
            ],
        })));
        let check = |id: &str, name: &str, of_node| CheckRecord {
            id: id.into(),
            name: name.into(),
            status: "passing".into(),
            of_node,
        };
        let meta = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let expected = ServiceRecord {
            node: "host-1".into(),
            node_id: "n-1".into(),
            node_address: "10.0.0.1".into(),
            node_tagged_addresses: meta("lan", "10.0.0.1"),
            node_meta: meta("rack", "r1"),
            id: "web-1".into(),
            name: "web".into(),
            address: "10.0.0.9".into(),
            port: 8080,
            tagged_addresses: [("wan".into(), TaggedAddress { address: "9.9.9.9".into(), port: 80 })].into(),
            tags: vec!["a".into(), "b".into()],
            meta: meta("host", "a.example"),
            weight: 5,
            weights: RecordWeights { passing: 5, warning: 0 },
            status: Status::Passing,
            healthy: true,
            checks: vec![check("serfHealth", "Serf", true), check("service:web-1", "up", false)],
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn missing_and_invalid_fields_have_defaults() {
        let bare = record(entry(json!({
            "Node": {"ID": "", "Node": "host-1", "Address": "10.0.0.1", "Meta": null},
            "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 0, "Tags": null, "Meta": null},
            "Checks": null,
        })));
        assert_eq!((bare.address.as_str(), bare.port, bare.weight), ("10.0.0.1", 0, 1));
        assert!(bare.healthy && bare.tags.is_empty() && bare.meta.is_empty());
        let invalid = record(entry(json!({"Service": {"Port": -1, "Weights": {"Passing": 0, "Warning": -1}}})));
        assert_eq!((invalid.port, invalid.weight, invalid.weights), (0, 1, RecordWeights { passing: 0, warning: 1 }));
    }

    #[test]
    fn instances_are_sorted_by_node_and_id_or_keep_the_order_of_the_agent() {
        let at = |node: &str, id: &str| entry(json!({"Node": {"Node": node}, "Service": {"ID": id}}));
        let list = |order| {
            let records = records(vec![at("b", "1"), at("a", "2"), at("a", "1")], order);
            records.iter().map(|record| format!("{}{}", record.node, record.id)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((list(SortOrder::Stable).as_str(), list(SortOrder::AsReceived).as_str()), ("a1 a2 b1", "b1 a2 a1"));
    }
}
