//! `portreeve record` as a black box, with a real Consul and `portreeve test`.

#[path = "common/dev_agent.rs"]
mod dev_agent;

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, Instant},
};

use dev_agent::{DevAgent, PATIENCE};
use portreeve::{
    consul::{Client, ConsulSource, Settings},
    core::store::Store,
    fixture::{Fixture, FixturePreparedQuery},
    registry::{Answer, Query, Scope, ServiceQuery, Source},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// An agent with the content of `src/fixture/reference.yaml`.
async fn reference() -> DevAgent {
    let agent = DevAgent::start().await;
    // A new agent registers its own node in several steps.
    let begun = Instant::now();
    while agent.get("/v1/catalog/nodes").await[0]["TaggedAddresses"]["lan"].is_null() {
        assert!(begun.elapsed() < PATIENCE, "the agent's own node is not in the catalog");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, node_status) = ("service:x", "serfHealth");
    let check = |id: &str, service: Option<&str>, status: &str| json!({"CheckID": id, "Name": id, "Status": status, "ServiceID": service.unwrap_or_default()});
    for node in 1..=4 {
        let health = if node == 4 { "critical" } else { "passing" };
        let body = json!({"Node": format!("n{node}"), "Address": format!("10.0.0.{node}"),
            "Check": check(node_status, None, health)});
        agent.put("/v1/catalog/register", body.to_string()).await;
    }
    let services = [
        (2, "web-2", "", 8080, json!(["v1", "blue"]), json!({"weight": "2"}), Some((status, "passing"))),
        (1, "web-1b", "10.1.0.12", 8081, json!(["blue"]), json!({"weight": "10"}), Some((status, "passing"))),
        (1, "web-1a", "10.1.0.11", 8080, json!(["green", "v1"]), json!({}), Some((status, "warning"))),
        (3, "web-3", "", 8080, json!(["v1"]), json!({}), Some((status, "critical"))),
        (4, "web-4", "", 8080, json!(["v1"]), json!({}), Some((status, "passing"))),
        (1, "api-1", "", 9000, json!([]), json!({}), None),
        (2, "maint-1", "", 7000, json!([]), json!({}), Some(("_service_maintenance:maint-1", "critical"))),
    ];
    for (node, id, address, port, tags, meta, health) in services {
        let name = id.split('-').next().expect("a name");
        let mut body = json!({"Node": format!("n{node}"), "Address": format!("10.0.0.{node}"), "SkipNodeUpdate": true,
            "Service": {"ID": id, "Service": name, "Address": address, "Port": port, "Tags": tags, "Meta": meta}});
        if let Some((prefix, health)) = health {
            body["Check"] = check(&prefix.replace('x', id), Some(id), health);
        }
        agent.put("/v1/catalog/register", body.to_string()).await;
    }
    for (key, value) in fixture().catalog.kv {
        agent.put(&format!("/v1/kv/{key}"), value).await;
    }
    agent
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/fixture/reference.yaml");
    Fixture::read(path.as_ref()).expect("it is sound")
}

/// Consul's answer to a query.
async fn consul_answer(agent: &DevAgent, query: &Query) -> Answer {
    let settings = Settings { address: agent.address().parse().expect("an address"), ..Settings::default() };
    let source = ConsulSource::new(Client::new(&settings).expect("a client"));
    let (answers, stop) = (Store::default(), CancellationToken::new());
    let mut bell = answers.bell();
    let waiting = async {
        loop {
            if let Some(answer) = answers.snapshot().entries.get(query) {
                return Arc::clone(answer);
            }
            bell.changed().await.expect("the store exists");
        }
    };
    tokio::select! {
        answer = tokio::time::timeout(PATIENCE, waiting) => Answer::clone(&*answer.expect("an answer")),
        () = source.watch(query.clone(), answers.clone(), stop) => unreachable!("a watch does not end by itself"),
    }
}

#[tokio::test]
async fn catalog_answers_like_consul() {
    let agent = reference().await;
    let mut fixture = fixture();
    for (name, tags, only_passing) in [("a", &[][..], false), ("b", &["V1", "!green"], false), ("c", &["blue"], true)] {
        let tags = tags.iter().map(ToString::to_string).collect();
        fixture
            .prepared
            .insert(name.to_owned(), FixturePreparedQuery { service: "web".to_owned(), tags, only_passing });
    }
    let service = |name: &str, tag: Option<&str>, passing| {
        let (name, tag) = (name.to_owned(), tag.map(str::to_owned));
        Query::Service(ServiceQuery { name, tag, passing, ..ServiceQuery::default() })
    };
    let mut queries = vec![Query::services(), Query::key("nope")];
    queries.extend(fixture.catalog.kv.keys().map(Query::key));
    for name in ["web", "WEB", "api", "maint", "web2"] {
        for tag in [None, Some("v1"), Some("V1"), Some("blue"), Some("none")] {
            queries.extend([true, false].map(|passing| service(name, tag, passing)));
        }
    }
    let here = Scope::default;
    let dc1 = || Scope { dc: Some("dc1".to_owned()), ..Scope::default() };
    for prefix in ["", "app", "app/", "bad/a", "none"] {
        queries.push(Query::Keys { prefix: prefix.to_owned(), scope: here() });
    }
    for name in ["n1", "N1", "n4", "n7"] {
        queries.push(Query::Node { name: Some(name.to_owned()), scope: dc1() });
    }
    queries.push(Query::Nodes { near: None, filter: None, scope: here() });
    queries.push(Query::Datacenters { reachable: false });
    for (name, prepared) in &fixture.prepared {
        let service = json!({"Service": prepared.service, "Tags": prepared.tags, "OnlyPassing": prepared.only_passing});
        agent.call(Method::POST, "/v1/query", json!({"Name": name, "Service": service}).to_string()).await;
        queries.push(Query::Prepared { name: name.clone(), near: None, scope: here() });
    }
    for query in queries {
        let (mut real, mut ours) = (consul_answer(&agent, &query).await, fixture.answer(&query).expect("it is known"));
        [&mut real, &mut ours].into_iter().for_each(strip);
        assert_eq!(ours, real, "{query}");
    }
}

/// Removes what a fixture cannot express: the name of a check, the content of the agent's own node, indexes of keys.
fn strip(answer: &mut Answer) {
    match answer {
        Answer::Service(records) => {
            records.iter_mut().for_each(|record| record.checks.iter_mut().for_each(|check| check.name.clear()));
        }
        Answer::Nodes(nodes) => nodes.retain(|node| node.address != "127.0.0.1"),
        Answer::Keys(pairs) => {
            pairs.iter_mut().for_each(|pair| (pair.create_index, pair.modify_index) = (0, 0));
        }
        _ => {}
    }
}

const TEMPLATE: &str = "{{envOr \"ZONE\" \"-\"}}
{{#each (services)}}{{#each (service name)}}{{name}} {{address}}:{{port}}
{{/each}}{{/each}}{{key \"app/max\"}}
";

fn portreeve(folder: &TempDir, agent: &DevAgent, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("CONSUL_HTTP_ADDR", agent.address())
        .current_dir(folder.path());
    command.args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn recording_renders_the_same_files() {
    let agent = reference().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("web.hbs"), TEMPLATE).expect("the test owns it");
    fs::create_dir_all(path("cases/web/expected")).expect("the test owns it");
    let template = "web.hbs:web.conf";

    let recorded = portreeve(&folder, &agent, &["record", "--template", template]);
    assert!(recorded.status.success(), "{}", text(&recorded.stderr));
    let fixture: Value = serde_json::from_slice(&recorded.stdout).expect("JSON");
    let queries: Vec<_> =
        fixture["answers"].as_array().expect("a list").iter().map(|each| each["query"].clone()).collect();
    let service = |name: &str| json!({"service": {"name": name, "passing": true}});
    let expected = [
        service("api"),
        service("consul"),
        service("maint"),
        service("web"),
        json!({"services": {}}),
        json!({"key": {"path": "app/max"}}),
    ];
    assert_eq!(queries, expected);
    // A recording to a file has the same bytes.
    let file = portreeve(&folder, &agent, &["record", "--template", template, "--output", "cases/web/fixture.json"]);
    assert!(file.status.success() && file.stdout.is_empty(), "{}", text(&file.stderr));
    assert_eq!(fs::read(path("cases/web/fixture.json")).expect("it is written"), recorded.stdout);
    assert!(!path("web.conf").exists(), "nothing is rendered to its place");

    let rendered = portreeve(&folder, &agent, &["render", "--once", "--state-dir", "state", "--template", template]);
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    fs::rename(path("web.conf"), path("cases/web/expected/web.conf")).expect("the test owns it");
    drop(agent);
    let mut test = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    test.env_clear().env("PORTREEVE_CONFIG", "/dev/null").current_dir(folder.path()).args([
        "test",
        "cases",
        "--template",
        template,
    ]);
    let tested = test.output().expect("the program starts");
    assert_eq!(text(&tested.stdout), "passed  web\ncases 1: passed 1, failed 0\n");
}

#[tokio::test]
async fn failed_render_is_not_recorded() {
    let agent = DevAgent::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.hbs"), "{{key \"nope\"}}{{key (keyOr \"which\" \"x\")}}")
        .expect("the test owns it");
    let record = |more: &[&str]| {
        portreeve(&folder, &agent, &[&["record", "--deadline", "5s", "--template", "a.hbs:a"], more].concat())
    };
    let output = record(&[]);
    let error = text(&output.stderr);
    assert!(error.contains("a.hbs: waits for key \"nope\" (there is no such key), key \"x\""), "{error}");
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("", Some(1)));
    let output = record(&["--partial"]);
    let fixture: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(fixture["answers"].as_array().map(Vec::len), Some(3), "{fixture}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(portreeve(&folder, &agent, &["record"]).status.code(), Some(2));
}

#[tokio::test]
async fn template_that_reads_the_environment_is_reported() {
    let agent = DevAgent::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("a.hbs"), "{{env \"ZONE\"}}").expect("the test owns it");
    let record = |zone: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("CONSUL_HTTP_ADDR", agent.address())
            .env("ZONE", zone)
            .current_dir(folder.path());
        let output = command.args(["record", "--template", "a.hbs:a"]).output().expect("the program starts");
        assert!(output.status.success() && !text(&output.stdout).contains("secret-zone"), "{}", text(&output.stdout));
        text(&output.stderr).contains("the templates read the environment")
    };
    assert!(record("secret-zone") && !record(""));
}
