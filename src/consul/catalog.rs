//! `/v1/catalog`: the names of services, the nodes, and the services of one node.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Client, Error, Node, QueryOptions, Reply, Service, client::ApiRequest, health::null_is_default, path};

/// A node and its services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogNode {
    /// `None` if the node does not exist or the token may not read it.
    pub node: Option<Node>,
    /// In no particular order.
    #[serde(deserialize_with = "null_is_default")]
    pub services: Vec<Service>,
}

impl Client {
    /// The names of all services, each with the tags of its instances in no particular order. Agents that do not
    /// support `filter` here ignore it.
    ///
    /// # Errors
    /// As for any read. Services that the token may not read are missing, without an error.
    pub async fn catalog_services(
        &self,
        filter: Option<&str>,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<BTreeMap<String, Vec<String>>>, Error> {
        let response = self.read(ApiRequest::get("/v1/catalog/services").with_optional("filter", filter), read).await?;
        let value: BTreeMap<String, Option<Vec<String>>> = response.json()?;
        let value = value.into_iter().map(|(name, tags)| (name, tags.unwrap_or_default())).collect();
        Ok(Reply { value, meta: response.meta })
    }

    /// All nodes, sorted by the round-trip time from the node `near` if it is given.
    ///
    /// # Errors
    /// As for any read. Nodes that the token may not read are missing, without an error.
    pub async fn catalog_nodes(
        &self,
        near: Option<&str>,
        filter: Option<&str>,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<Vec<Node>>, Error> {
        let call = ApiRequest::get("/v1/catalog/nodes").with_optional("near", near).with_optional("filter", filter);
        let response = self.read(call, read).await?;
        let has_names = |nodes: &Vec<Node>| nodes.iter().all(|node| !node.node.is_empty());
        Ok(Reply { value: response.json_matching(has_names)?, meta: response.meta })
    }

    /// One node and its services.
    ///
    /// # Errors
    /// As for any read. An unknown node is not an error: see [`CatalogNode::node`].
    pub async fn catalog_node(&self, name: &str, read: &QueryOptions<'_>) -> Result<Reply<CatalogNode>, Error> {
        let call = ApiRequest::get(path::with_name("/v1/catalog/node-services", name)?);
        let response = self.read(call, read).await?;
        let has_names = |found: &CatalogNode| {
            found.node.as_ref().is_none_or(|node| !node.node.is_empty())
                && found.services.iter().all(|service| !service.id.is_empty())
        };
        Ok(Reply { value: response.json_matching(has_names)?, meta: response.meta })
    }
}
