//! The catalog: four nodes beside the agent's own, five instances of `web` in every state, and some keys.

use serde_json::{Value, json};

use crate::dev_agent::DevAgent;

/// Registers the catalog with an empty agent.
pub(crate) async fn load(agent: &DevAgent) {
    for (node, status) in [("n1", "passing"), ("n2", "passing"), ("n3", "passing"), ("n4", "critical")] {
        let check = json!({"CheckID": "node-health", "Name": "Node", "Status": status});
        register(agent, node, json!({"Check": check})).await;
    }
    let passing = Some("passing");
    put(agent, "n2", "web-2", "", 8080, &["v1", "blue"], &[("weight", "2")], passing).await;
    put(agent, "n1", "web-1b", "10.1.0.12", 8081, &["blue"], &[("weight", "10")], passing).await;
    put(agent, "n1", "web-1a", "10.1.0.11", 8080, &["green", "v1"], &[], Some("warning")).await;
    put(agent, "n3", "web-3", "", 8080, &["v1"], &[], Some("critical")).await;
    put(agent, "n4", "web-4", "", 8080, &["v1"], &[], passing).await;
    put(agent, "n1", "api-1", "", 9000, &[], &[], None).await;
    put(agent, "n2", "maint-1", "", 7000, &[], &[], None).await;
    let check = json!({
        "CheckID": "_service_maintenance:maint-1", "Name": "Maintenance", "Status": "critical", "ServiceID": "maint-1",
    });
    register(agent, "n2", json!({"Check": check})).await;
    let keys = [
        ("app/max", "15"),
        ("app/empty", ""),
        ("app/db/host", "h"),
        ("app/db/port", "5432"),
        ("app/folder/", ""),
        ("apple", "z"),
        ("application/x", "y"),
        ("bad/a", "1"),
        ("bad/a/b", "2"),
    ];
    for (key, value) in keys {
        agent.put(&format!("/v1/kv/{key}"), value).await;
    }
}

/// Registers an instance on a node. The first part of its id is the name of its service.
#[expect(clippy::too_many_arguments, reason = "a row of a table")]
async fn put(
    agent: &DevAgent,
    node: &str,
    id: &str,
    address: &str,
    port: u16,
    tags: &[&str],
    meta: &[(&str, &str)],
    status: Option<&str>,
) {
    let name = id.split('-').next().expect("there is a first part");
    let meta: serde_json::Map<_, _> = meta.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let service = json!({"ID": id, "Service": name, "Address": address, "Port": port, "Tags": tags, "Meta": meta});
    register(agent, node, json!({"Service": service})).await;
    if let Some(status) = status {
        check(agent, node, id, status, "").await;
    }
}

/// Sets the status and the output of the check of an instance.
pub(crate) async fn check(agent: &DevAgent, node: &str, id: &str, status: &str, output: &str) {
    let check = json!({
        "CheckID": format!("service:{id}"), "Name": "Service", "Status": status, "ServiceID": id, "Output": output,
    });
    register(agent, node, json!({"Check": check})).await;
}

async fn register(agent: &DevAgent, node: &str, what: Value) {
    let address = format!("10.0.0.{}", node.trim_start_matches('n'));
    let mut body = json!({"Node": node, "Address": address, "SkipNodeUpdate": false});
    for (key, value) in what.as_object().expect("an object") {
        body[key] = value.clone();
    }
    agent.put("/v1/catalog/register", body.to_string()).await;
}
