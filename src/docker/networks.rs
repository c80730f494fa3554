//! The networks of an engine. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Container, fields};

/// The properties of a network that decide which hosts reach its containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// `bridge`, `overlay`, `macvlan`, or the driver of a plugin.
    pub driver: String,
    /// `local` for a network of this host alone, otherwise `swarm` or `global`.
    pub scope: String,
    /// Created with `--internal`: only its own containers reach each other.
    pub internal: bool,
    /// The network of swarm's routing mesh.
    pub ingress: bool,
}

/// The networks of an engine. The properties of an id never change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Networks {
    by_id: BTreeMap<String, Network>,
    by_name: BTreeMap<String, Network>,
}

impl Networks {
    /// Reads a list. An invalid item does not affect the others.
    pub(super) fn read(list: &Value) -> Self {
        let mut networks = Self::default();
        for item in fields::list(list) {
            let text = |key: &str| fields::text(&item[key]).unwrap_or_default();
            let flag = |key: &str| fields::flag(&item[key]).unwrap_or_default();
            let network = Network {
                driver: text("Driver"),
                scope: text("Scope"),
                internal: flag("Internal"),
                ingress: flag("Ingress"),
            };
            networks.by_name.insert(text("Name"), network.clone());
            networks.by_id.insert(text("Id"), network);
        }
        networks
    }

    /// Whether every network of an inspected container is known.
    pub(super) fn contain_all_of(&self, inspect: &Value) -> bool {
        let mut endpoints = fields::map(&inspect["NetworkSettings"]["Networks"]);
        endpoints.all(|(name, endpoint)| self.find(name, endpoint["NetworkID"].as_str().unwrap_or_default()).is_some())
    }

    /// The container with the properties of its networks; `None` if nothing changes.
    pub(super) fn annotate(&self, container: &Container) -> Option<Container> {
        let mut networks = container.networks.clone();
        for (name, address) in &mut networks {
            if let Some(network) = self.find(name, &address.id) {
                address.network = network.clone();
            }
        }
        (networks != container.networks).then(|| Container { networks, ..container.clone() })
    }

    /// Finds a network by its id, or by its name for engines that leave the id out.
    fn find(&self, name: &str, id: &str) -> Option<&Network> {
        if id.is_empty() { self.by_name.get(name) } else { self.by_id.get(id) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn networks_are_found_by_id_or_name_despite_invalid_fields() {
        let mesh = json!({"Id": "a1", "Name": "mesh", "Driver": "overlay", "Scope": "swarm", "Ingress": true});
        let back = json!({"Id": "b2", "Name": "back", "Driver": 7, "Scope": null, "Internal": "true"});
        let networks = Networks::read(&json!([mesh, back, null, "odd", {"Id": [], "Internal": []}]));
        let found = networks.find("renamed", "a1").expect("by id");
        assert_eq!((found.driver.as_str(), found.scope.as_str(), found.ingress), ("overlay", "swarm", true));
        assert!(networks.find("back", "").is_some_and(|back| back.internal && back.scope.is_empty()));
        assert_eq!(networks.find("back", "c3"), None, "another network with this name");
        let on = |endpoints: Value| json!({"NetworkSettings": {"Networks": endpoints}});
        assert!(networks.contain_all_of(&on(json!({"back": {"NetworkID": "b2"}, "mesh": null}))));
        assert!(!networks.contain_all_of(&on(json!({"new": {"NetworkID": "c3"}}))));
        assert!(networks.contain_all_of(&json!(null)));
        for odd in [json!(null), json!("odd"), json!({"a": 1})] {
            assert_eq!(Networks::read(&odd), Networks::default());
        }
    }
}
