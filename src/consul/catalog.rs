//! `/v1/catalog`: names of services, nodes, and what runs on one of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Client, Error, Node, QueryOptions, Reply, Service, client::ApiRequest, health::null_is_default, path};

/// A node and its services, if there is such a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogNode {
    /// `None`: nobody has registered it, or the token may not read it.
    pub node: Option<Node>,
    /// In no particular order.
    #[serde(deserialize_with = "null_is_default")]
    pub services: Vec<Service>,
}

impl Client {
    /// The names of all services, each with the tags of its instances in no particular order. `filter` is ignored by
    /// agents that do not know it.
    ///
    /// # Errors
    /// As for any read. A token that may not read a service does not see it, without an error.
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

    /// All nodes; sorted by the round-trip time from `near` if it is given.
    ///
    /// # Errors
    /// As for any read. A token that may not read a node does not see it, without an error.
    pub async fn catalog_nodes(
        &self,
        near: Option<&str>,
        filter: Option<&str>,
        read: &QueryOptions<'_>,
    ) -> Result<Reply<Vec<Node>>, Error> {
        let call = ApiRequest::get("/v1/catalog/nodes").with_optional("near", near).with_optional("filter", filter);
        let response = self.read(call, read).await?;
        let are_consuls = |nodes: &Vec<Node>| nodes.iter().all(|node| !node.node.is_empty());
        Ok(Reply { value: response.json_matching(are_consuls)?, meta: response.meta })
    }

    /// One node and its services.
    ///
    /// # Errors
    /// As for any read. It is none if there is no such node.
    pub async fn catalog_node(&self, name: &str, read: &QueryOptions<'_>) -> Result<Reply<CatalogNode>, Error> {
        let call = ApiRequest::get(path::with_name("/v1/catalog/node-services", name)?);
        let response = self.read(call, read).await?;
        let is_consuls = |found: &CatalogNode| {
            found.node.as_ref().is_none_or(|node| !node.node.is_empty())
                && found.services.iter().all(|service| !service.id.is_empty())
        };
        Ok(Reply { value: response.json_matching(is_consuls)?, meta: response.meta })
    }
}
