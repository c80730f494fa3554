//! Sends the API call for a query, and converts the reply into an [`Answer`].

use super::{
    Client, Error, QueryOptions, Reply,
    answer::{self, SortOrder},
};
use crate::registry::{Answer, Query};

/// Fetches the answer to `query`, in the scope of `query`. The index of the reply is `None` if the call cannot wait for
/// a change.
pub(super) async fn fetch(client: &Client, query: &Query, read: QueryOptions<'_>) -> Result<Reply<Answer>, Error> {
    let read = &QueryOptions { scope: query.scope(), ..read };
    Ok(match query {
        Query::Service(query) => {
            let order = SortOrder::of(query.near.as_ref());
            let reply = client.health_service(query, read).await?;
            reply.map(|entries| Answer::Service(answer::records(entries, order)))
        }
        Query::Services { filter, .. } => {
            let reply = client.catalog_services(filter.as_deref(), read).await?;
            reply.map(|services| Answer::Services(answer::services(services)))
        }
        Query::Nodes { near, filter, .. } => {
            let reply = client.catalog_nodes(near.as_deref(), filter.as_deref(), read).await?;
            reply.map(|nodes| Answer::Nodes(answer::nodes(nodes, SortOrder::of(near.as_ref()))))
        }
        Query::Node { name, .. } => {
            let name = match name {
                Some(name) => name.clone(),
                None => client.own_node().await?,
            };
            client.catalog_node(&name, read).await?.map(|found| Answer::Node(answer::node(found)))
        }
        Query::Datacenters { reachable } => {
            let reply = match reachable {
                true => client.reachable_datacenters().await?,
                false => client.catalog_datacenters().await?,
            };
            reply.map(|names| Answer::Datacenters(answer::sorted(names)))
        }
        Query::Key { path, .. } => client.kv_get(path, read).await?.map(Answer::Key),
        Query::Keys { prefix, .. } => {
            let Reply { value, meta } = client.kv_list(prefix, read).await?;
            Reply { value: Answer::Keys(answer::pairs(prefix, value)), meta }
        }
        Query::Prepared { name, near, .. } => {
            let reply = client.execute_query(name, near.as_deref(), read).await?;
            reply.map(|entries| Answer::Service(answer::records(entries, SortOrder::of(near.as_ref()))))
        }
        Query::CaRoots => client.ca_roots(read).await?.map(|roots| Answer::CaRoots(answer::roots(roots))),
        Query::CaLeaf { service } => {
            client.ca_leaf(service, read).await?.map(|leaf| Answer::CaLeaf(answer::leaf(leaf)))
        }
        Query::File { .. } => return Err(Error::Unsupported { question: query.to_string() }),
    })
}
