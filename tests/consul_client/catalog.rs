//! Watches of nodes, datacenters, key prefixes, prepared queries and the mesh.

use std::time::{Duration, Instant};

use portreeve::{
    consul::{Client, Settings},
    registry::{Answer, KeyPair, NodeServices, Query, Scope, ServiceQuery},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client,
    dev_agent::{DevAgent, PATIENCE},
    settings,
    watched::{Watched, records},
};

/// A client with a short interval for queries that cannot wait for a change.
fn polling_client(agent: &DevAgent) -> Client {
    Client::new(&Settings { poll: Duration::from_secs(1), ..settings(&agent.address()) }).expect("a client")
}

/// The registration of an external node with one service.
fn external_node(node: &str, address: &str, service: &str) -> String {
    let service = json!({"ID": format!("{service}-1"), "Service": service, "Port": 80, "Tags": ["b", "a"],
        "TaggedAddresses": {"wan": {"Address": "9.9.9.9", "Port": 8080}}, "Weights": {"Passing": 3, "Warning": 2}});
    let checks = json!([
        {"CheckID": "z", "Name": "of the node", "Status": "passing"},
        {"CheckID": "a", "Name": "of the service", "Status": "passing", "ServiceID": service["ID"], "Output": "ok"},
    ]);
    json!({"Node": node, "Address": address, "TaggedAddresses": {"wan": "8.8.8.8"}, "NodeMeta": {"rack": "r1"},
        "Service": service, "Checks": checks})
    .to_string()
}

/// Registers the nodes aaa and zzz, with a round-trip time of one second between them.
async fn register_two_nodes(agent: &DevAgent) {
    for (node, address, distance) in [("zzz", "10.0.0.9", 0.0), ("aaa", "10.0.0.8", 1.0)] {
        agent.put("/v1/catalog/register", external_node(node, address, "web")).await;
        let coordinate = json!({"Vec": [distance, 0, 0, 0, 0, 0, 0, 0], "Error": 1.5, "Adjustment": 0, "Height": 0});
        agent.put("/v1/coordinate/update", json!({"Node": node, "Coord": coordinate}).to_string()).await;
    }
    let begin = Instant::now();
    let has_both = |nodes: &Value| ["aaa", "zzz"].iter().all(|name| nodes.to_string().contains(name));
    while !has_both(&agent.get("/v1/coordinate/nodes").await) {
        assert!(begin.elapsed() < PATIENCE, "the agent accepts no coordinates");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn node(name: Option<&str>) -> Query {
    Query::Node { name: name.map(str::to_owned), scope: Scope::default() }
}

fn keys(prefix: &str) -> Query {
    Query::Keys { prefix: prefix.to_owned(), scope: Scope::default() }
}

async fn until_names(watched: &mut Watched, query: &Query, expected: &[&str]) {
    let names = |answer: &Answer| match answer {
        Answer::Nodes(nodes) => nodes.iter().map(|node| node.node.clone()).collect(),
        Answer::Datacenters(names) => names.clone(),
        Answer::Services(services) => services.keys().cloned().collect::<Vec<_>>(),
        Answer::Service(records) => records.iter().map(|record| record.id.clone()).collect(),
        Answer::Keys(pairs) => pairs.iter().map(|pair| pair.path.clone()).collect(),
        other => panic!("not a list: {other:?}"),
    };
    watched.until(query, |answer| names(answer) == expected).await;
}

#[tokio::test]
async fn nodes_are_registered_and_removed() {
    let agent = DevAgent::start().await;
    let own = agent.get("/v1/agent/self").await["Config"]["NodeName"].as_str().expect("a name").to_owned();
    // An agent may not end the wait of a query when its node is removed, so the wait is short.
    let short = Settings { wait: Duration::from_secs(1), ..settings(&agent.address()) };
    let mut watched = Watched::new(Client::new(&short).expect("a client"));
    let nodes = |near: Option<&str>, filter: Option<&str>| Query::Nodes {
        near: near.map(str::to_owned),
        filter: filter.map(str::to_owned),
        scope: Scope::default(),
    };
    let (all, near, some) = (nodes(None, None), nodes(Some("zzz"), None), nodes(None, Some("Meta.rack == \"r1\"")));
    let (absent, mine) = (node(Some("zzz")), node(None));
    let _running = [&all, &some, &absent, &mine].map(|query| watched.watch(query));
    until_names(&mut watched, &all, &[&own]).await;
    assert_eq!(*watched.until(&absent, |_| true).await, Answer::Node(None));
    let of_agent = |answer: &Answer| matches!(answer, Answer::Node(Some(found)) if found.node.node == own && found.services[0].name == "consul");
    watched.until(&mine, of_agent).await;

    register_two_nodes(&agent).await;
    until_names(&mut watched, &all, &["aaa", &own, "zzz"]).await;
    // A change of the round-trip times does not end a wait, so this watch starts after the registrations.
    let _near = watched.watch(&near);
    watched
        .until(&near, |answer| matches!(answer, Answer::Nodes(nodes) if nodes.len() == 3 && nodes[0].node == "zzz"))
        .await;
    until_names(&mut watched, &some, &["aaa", "zzz"]).await;
    let answer = watched.until(&absent, |answer| matches!(answer, Answer::Node(Some(_)))).await;
    let Answer::Node(Some(NodeServices { node, services })) = &*answer else { panic!("{answer:?}") };
    assert_eq!((&*node.address, &*node.datacenter, &*node.meta["rack"]), ("10.0.0.9", "dc1", "r1"));
    assert_eq!(node.tagged_addresses["wan"], "8.8.8.8");
    assert_eq!((&*services[0].id, &*services[0].address, services[0].port), ("web-1", "10.0.0.9", 80));
    assert_eq!(services[0].tags, ["a", "b"]);

    agent.put("/v1/catalog/deregister", r#"{"Node": "zzz"}"#).await;
    watched.until(&absent, |answer| *answer == Answer::Node(None)).await;
    until_names(&mut watched, &all, &["aaa", &own]).await;
}

#[tokio::test]
async fn an_instance_has_all_fields_and_is_sorted_and_filtered() {
    let agent = DevAgent::start().await;
    register_two_nodes(&agent).await;
    agent.put("/v1/agent/service/register", r#"{"Name": "web", "ID": "mine", "Port": 81}"#).await;
    let mut watched = Watched::new(client(&agent.address()));
    let web = |near: Option<&str>, filter: Option<&str>| {
        let [near, filter] = [near, filter].map(|text| text.map(str::to_owned));
        Query::Service(ServiceQuery { name: "web".into(), near, filter, ..ServiceQuery::default() })
    };
    let (all, near, some) = (web(None, None), web(Some("zzz"), None), web(None, Some("Service.Port == 81")));
    let _running = [&all, &near, &some].map(|query| watched.watch(query));
    let answer = watched.until(&all, |answer| records(answer).len() == 3).await;
    let first = &records(&answer)[0];
    assert_eq!(
        (&*first.node, &*first.node_tagged_addresses["wan"], &*first.node_meta["rack"]),
        ("aaa", "8.8.8.8", "r1")
    );
    let wan = &first.tagged_addresses["wan"];
    assert_eq!((&*wan.address, wan.port), ("9.9.9.9", 8080));
    assert_eq!((first.weight, first.weights.passing, first.weights.warning), (3, 3, 2));
    let checks: Vec<_> = first.checks.iter().map(|check| (&*check.id, &*check.name, check.of_node)).collect();
    assert_eq!(checks, [("a", "of the service", false), ("z", "of the node", true)]);
    watched.until(&near, |answer| records(answer).len() == 3 && records(answer)[0].node == "zzz").await;
    until_names(&mut watched, &some, &["mine"]).await;
}

#[tokio::test]
async fn keys_with_a_prefix_are_watched() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(client(&agent.address()));
    let (app, all, odd) = (keys("app/"), keys(""), keys("o d?d/"));
    let _running = [&app, &all, &odd].map(|query| watched.watch(query));
    until_names(&mut watched, &app, &[]).await;
    for (key, value) in [("app/max", "15"), ("app/db/host", "ü\n"), ("app/folder/", ""), ("apple", "z")] {
        agent.put(&format!("/v1/kv/{key}?flags=7"), value).await;
    }
    agent.put("/v1/kv/o%20d%3Fd/x", "y").await;
    until_names(&mut watched, &app, &["app/db/host", "app/folder/", "app/max"]).await;
    until_names(&mut watched, &odd, &["o d?d/x"]).await;
    until_names(&mut watched, &all, &["app/db/host", "app/folder/", "app/max", "apple", "o d?d/x"]).await;
    let answer = watched.known(&app).expect("an answer");
    let Answer::Keys(pairs) = &*answer else { panic!("{answer:?}") };
    let KeyPair { key, value, create_index, modify_index, flags, session, .. } = &pairs[0];
    assert_eq!((&**key, value.as_deref(), *flags, &**session), ("db/host", Some("ü\n"), 7, ""));
    assert!(*create_index > 0 && create_index == modify_index);
    agent.call(Method::DELETE, "/v1/kv/app/?recurse", "").await;
    until_names(&mut watched, &app, &[]).await;
}

#[tokio::test]
async fn a_value_that_is_not_text_is_an_error_with_its_key() {
    let agent = DevAgent::start().await;
    // The request bodies of the test client are text, so the byte 0xFF is sent as base64.
    let bytes = json!([{"KV": {"Verb": "set", "Key": "bin/a", "Value": "/w=="}}]).to_string();
    agent.put("/v1/txn", bytes).await;
    let client = client(&agent.address());
    let expected = "the value of the key \"bin/a\" is not text: it is not UTF-8";
    let error = client.kv_get("bin/a", &Default::default()).await.expect_err("not text");
    assert_eq!(error.to_string(), expected);
    let all = client.kv_list("bin/", &Default::default()).await.expect("a list may contain any bytes").value;
    assert_eq!((all.len(), &*all[0].value), (1, &[0xff][..]));
}

#[tokio::test]
async fn datacenters_are_listed() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(polling_client(&agent));
    let [all, reachable] = [false, true].map(|reachable| Query::Datacenters { reachable });
    let _running = [&all, &reachable].map(|query| watched.watch(query));
    until_names(&mut watched, &all, &["dc1"]).await;
    until_names(&mut watched, &reachable, &["dc1"]).await;
}

#[tokio::test]
async fn a_prepared_query_is_repeated() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(polling_client(&agent));
    let prepared = |near: Option<&str>| Query::Prepared {
        name: "q".to_owned(),
        near: near.map(str::to_owned),
        scope: Scope { dc: Some("dc1".to_owned()), ..Scope::default() },
    };
    let (plain, near) = (prepared(None), prepared(Some("_agent")));
    let _running = [&plain, &near].map(|query| watched.watch(query));
    // Without the query, the call is an error, and there is no answer.
    let created = agent.call(Method::POST, "/v1/query", r#"{"Name": "q", "Service": {"Service": "web"}}"#).await;
    until_names(&mut watched, &plain, &[]).await;
    for id in ["web-2", "web-1"] {
        agent.put("/v1/agent/service/register", format!(r#"{{"Name": "web", "ID": "{id}", "Port": 80}}"#)).await;
    }
    until_names(&mut watched, &plain, &["web-1", "web-2"]).await;
    watched.until(&near, |answer| records(answer).len() == 2).await;
    let answer = watched.known(&plain).expect("an answer");
    assert_eq!((records(&answer)[0].port, &*records(&answer)[0].address), (80, "127.0.0.1"));
    let id = serde_json::from_str::<Value>(&created).expect("JSON")["ID"].as_str().expect("an id").to_owned();
    agent.call(Method::DELETE, &format!("/v1/query/{id}"), "").await;
    let client = client(&agent.address());
    let error = client.execute_query("q", None, &Default::default()).await.expect_err("the query was deleted");
    assert_eq!(error.to_string(), "GET /v1/query/q/execute: 404: Query not found");
    assert_eq!(watched.known(&plain), Some(answer), "an error does not empty the answer");
}

#[tokio::test]
async fn the_mesh_returns_its_proxies_and_certificates() {
    let agent = DevAgent::start().await;
    let body = r#"{"Name": "web", "ID": "web-1", "Port": 80, "Connect": {"SidecarService": {"Port": 21000}}}"#;
    agent.put("/v1/agent/service/register", body).await;
    agent
        .put("/v1/agent/service/register", r#"{"Name": "web", "ID": "own", "Port": 81, "Connect": {"Native": true}}"#)
        .await;
    let mut watched = Watched::new(client(&agent.address()));
    let connect = Query::Service(ServiceQuery { name: "web".into(), connect: true, ..ServiceQuery::default() });
    let leaf = Query::CaLeaf { service: "web".into() };
    let _running = [&connect, &Query::CaRoots, &leaf].map(|query| watched.watch(query));
    until_names(&mut watched, &connect, &["own", "web-1-sidecar-proxy"]).await;
    let answer = watched.until(&Query::CaRoots, |_| true).await;
    let Answer::CaRoots(roots) = &*answer else { panic!("{answer:?}") };
    let root = &roots.roots[0];
    assert!(root.active && root.id == roots.active_root_id && root.root_cert.starts_with("-----BEGIN CERTIFICATE"));
    assert!(roots.trust_domain.ends_with(".consul"));
    let answer = watched.until(&leaf, |_| true).await;
    let Answer::CaLeaf(leaf) = &*answer else { panic!("{answer:?}") };
    assert!(leaf.cert_pem.contains("BEGIN CERTIFICATE") && leaf.private_key_pem.contains("PRIVATE KEY"));
    assert!(leaf.service == "web" && leaf.service_uri.starts_with("spiffe://") && leaf.valid_after < leaf.valid_before);
    assert!(!format!("{leaf:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn an_error_contains_the_message_of_consul() {
    let agent = DevAgent::start().await;
    let client = client(&agent.address());
    let scope = Scope { dc: Some("nowhere".into()), ..Scope::default() };
    let read = portreeve::consul::QueryOptions { scope: Some(&scope), ..Default::default() };
    let error = client.catalog_services(None, &read).await.expect_err("there is no such datacenter");
    assert!(error.to_string().contains("500: No path to datacenter"), "{error}");
    let query = ServiceQuery { name: "web".into(), filter: Some("nonsense".into()), ..ServiceQuery::default() };
    let error = client.health_service(&query, &Default::default()).await.expect_err("not an expression");
    assert!(error.to_string().contains("boolean expression"), "{error}");
}
