//! Converts nodes and the services of a node.

use super::{SortOrder, or_default, port, sorted};
use crate::{
    consul::{CatalogNode, Node, Service},
    registry::{NodeRecord, NodeService, NodeServices},
};

/// The nodes, sorted by name and address unless `order` keeps the order of the agent.
pub(in crate::consul) fn nodes(nodes: Vec<Node>, order: SortOrder) -> Vec<NodeRecord> {
    let mut nodes: Vec<_> = nodes.into_iter().map(node_record).collect();
    if order == SortOrder::Stable {
        nodes.sort_by(|a, b| (&a.node, &a.address).cmp(&(&b.node, &b.address)));
    }
    nodes
}

/// The node with its services, sorted by name and id; `None` if there is no such node.
pub(in crate::consul) fn node(found: CatalogNode) -> Option<NodeServices> {
    let node = node_record(found.node?);
    let mut services: Vec<_> = found.services.into_iter().map(|service| node_service(service, &node.address)).collect();
    services.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Some(NodeServices { node, services })
}

fn node_record(node: Node) -> NodeRecord {
    let Node { id, node, address, datacenter, tagged_addresses, meta } = node;
    NodeRecord { id, node, address, datacenter, tagged_addresses, meta }
}

fn node_service(service: Service, node_address: &str) -> NodeService {
    NodeService {
        id: service.id,
        name: service.service,
        address: or_default(service.address, node_address),
        port: port(service.port),
        tags: sorted(service.tags),
        meta: service.meta,
        tag_override: service.enable_tag_override,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(value: serde_json::Value) -> CatalogNode {
        serde_json::from_value(value).expect("what Consul sends")
    }

    #[test]
    fn an_unknown_node_is_none() {
        assert_eq!(node(found(json!({"Node": null, "Services": null}))), None);
    }

    #[test]
    fn services_are_sorted_by_name_and_id_and_have_an_address() {
        let service = |name: &str, id: &str| json!({"ID": id, "Service": name, "Port": 1, "Tags": ["b", "a"]});
        let services = [service("web", "web-2"), service("web", "web-1"), service("api", "z")];
        let found = found(json!({"Node": {"ID": "i", "Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": {"wan": "9.9.9.9"}, "Meta": {"rack": "r1"}}, "Services": services}));
        let NodeServices { node, services } = node(found).expect("the node");
        assert_eq!((&*node.node, &*node.address, &*node.datacenter), ("n1", "10.0.0.1", "dc1"));
        assert_eq!((&*node.tagged_addresses["wan"], &*node.meta["rack"]), ("9.9.9.9", "r1"));
        let ids: Vec<_> = services.iter().map(|service| service.id.as_str()).collect();
        assert_eq!(ids, ["z", "web-1", "web-2"]);
        assert_eq!((&*services[0].address, services[0].port), ("10.0.0.1", 1));
        assert_eq!(services[0].tags, ["a", "b"]);
    }

    #[test]
    fn nodes_keep_the_order_of_the_agent_only_if_asked_to() {
        let list = |order| {
            let node = |name: &str| Node { node: name.to_owned(), ..Node::default() };
            let nodes = nodes(vec![node("b"), node("a")], order);
            nodes.into_iter().map(|node| node.node).collect::<Vec<_>>()
        };
        assert_eq!(
            (list(SortOrder::Stable), list(SortOrder::AsReceived)),
            (vec!["a".into(), "b".into()], vec!["b".into(), "a".into()])
        );
    }
}
