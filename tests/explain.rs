//! `portreeve explain` as a black box, between an engine and an agent that do as they are told.

mod common;

use std::process::{Command, Output};

use common::{
    black_box::{id, run},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};
use serde_json::{Value, json};

struct Explained {
    text: String,
    error: String,
    code: Option<i32>,
}

fn explain(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Explained {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command.env_clear().env("DOCKER_HOST", docker.host()).env("CONSUL_HTTP_ADDR", consul.address());
    let Output { stdout, stderr, status } =
        command.arg("explain").args(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Explained { text: text(stdout), error: text(stderr), code: status.code() }
}

/// The report for programs, and the exit code.
fn report(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> (Value, Option<i32>) {
    let explained = explain(docker, consul, &[arguments, &["--format", "json"]].concat());
    (serde_json::from_str(&explained.text).expect("JSON"), explained.code)
}

fn fakes() -> (FakeDocker, FakeConsul) {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    (docker, consul)
}

/// With two ports, several sources of one key, and a note.
fn rich() -> Value {
    let mut rich = container("rich", 8000);
    rich["Config"]["Env"] =
        json!(["SERVICE_NAME=first", "SERVICE_NAME=shop", "SERVICE_80_ID=mine", "SERVICE_WEIGHT=heavy", "PATH=/bin"]);
    rich["Config"]["Labels"] = json!({"SERVICE_TAGS": "a", "portreeve.tags": "b"});
    rich["Config"]["ExposedPorts"] = json!({"80/tcp": {}, "81/tcp": {}});
    rich["NetworkSettings"]["Ports"]["81/tcp"] = Value::Null;
    rich
}

#[test]
fn what_is_missing_and_then_in_line() {
    let (docker, consul) = fakes();
    let before = explain(&docker, &consul, &["web"]);
    assert!(before.text.contains("registry     missing"), "{}", before.text);
    assert_eq!(before.code, Some(1), "{}", before.error);
    assert_eq!(consul.writes(), [""; 0], "it only looks");

    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let (after, code) = report(&docker, &consul, &["web"]);
    assert_eq!((&after["in_line"], code), (&json!(true), Some(0)), "{after:#}");
    let instance = &after["ports"][0]["instance"];
    assert_eq!(instance["registry"], json!({"state": "in-line"}));
    assert_eq!(instance["body"], consul.registrations()[0], "the very body that was sent");
}

#[test]
fn who_won_who_lost_and_why_it_is_that_address() {
    let (docker, consul) = fakes();
    docker.set(rich());
    let (report, _) = report(&docker, &consul, &["rich"]);
    let port = &report["ports"][0];
    let key = |key: &str| port["keys"].as_array().expect("keys").iter().find(|found| found["key"] == key).cloned();
    let setting = |value: &str, from: &str, source: &str| json!({"value": value, "from": from, "source": source});
    let name = json!({"key": "name", "won": setting("shop", "SERVICE_NAME", "variable"),
        "lost": [setting("first", "SERVICE_NAME", "variable")]});
    assert_eq!(key("name"), Some(name));
    let tags = json!({"key": "tags", "won": setting("b", "portreeve.tags", "label"),
        "lost": [setting("a", "SERVICE_TAGS", "label")]});
    assert_eq!(key("tags"), Some(tags));
    let instance = &port["instance"];
    assert_eq!((&instance["id"], &instance["id_from"]), (&json!("mine"), &json!("from SERVICE_80_ID")));
    assert_eq!((&instance["address"], &instance["port"]), (&json!("10.0.0.7"), &json!(8000)));
    assert_eq!(instance["address_from"], "what the registry's agent advertises");
    assert_eq!(port["notes"], json!(["SERVICE_WEIGHT is ignored: \"heavy\" is no weight such as 10 or 10,1"]));
    let other = &report["ports"][1];
    assert_eq!((&other["port"], &other["skipped"]), (&json!("81/tcp"), &json!("it is not published on the host")));
}

#[test]
fn the_flags_of_register_count() {
    let (docker, consul) = fakes();
    docker.set(rich());
    let of = |arguments: &[&str]| report(&docker, &consul, arguments).0["ports"][0]["instance"].clone();
    let forced = of(&["web", "--ip", "10.9.9.9", "--hostname", "box"]);
    assert_eq!((&forced["address_from"], &forced["id"]), (&json!("from --ip"), &json!("box:web:80")));
    let inside = of(&["rich", "--internal"]);
    assert_eq!((&inside["address"], &inside["port"]), (&json!("172.17.0.2"), &json!(80)));
    assert_eq!(inside["address_from"], "the container's own address on the network \"bridge\"");
    assert_eq!(inside["name"], "shop-80");
    assert_eq!(inside["name_from"], "from SERVICE_NAME, with the port, as the container has several");
}

#[test]
fn for_people() {
    let (docker, consul) = fakes();
    docker.set(rich());
    let text = explain(&docker, &consul, &["rich"]).text;
    let begin = "\
rich (000000000000), image nginx:1
  state        running since 2026-01-01T00:00:00.1Z
  not seen     a stop signal that was sent, and how often it was started lately

80/tcp
  registry     missing: register has not been there yet, or was refused (see its log)
  id           mine (from SERVICE_80_ID)
  name         shop (from SERVICE_NAME)
  address      10.0.0.7:8000 (what the registry's agent advertises)
  note         SERVICE_WEIGHT is ignored: \"heavy\" is no weight such as 10 or 10,1
  key          id = \"mine\" from the variable SERVICE_80_ID
  key          name = \"shop\" from the variable SERVICE_NAME
               lost: \"first\" from the variable SERVICE_NAME
  key          tags = \"b\" from the label portreeve.tags
               lost: \"a\" from the label SERVICE_TAGS
  key          weight = \"heavy\" from the variable SERVICE_WEIGHT
  body
    {
";
    assert!(text.starts_with(begin), "{text}");
    assert!(text.contains("\n81/tcp: not registered: it is not published on the host\n"), "{text}");
}

#[test]
fn what_differs_is_named() {
    let (docker, consul) = fakes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let mut changed = container("web", 8001);
    changed["Config"]["Env"] = json!(["SERVICE_NAME=web", "SERVICE_REGION=eu", "SERVICE_CHECK_HTTP=/up"]);
    docker.set(changed);
    let (report, code) = report(&docker, &consul, &["web"]);
    let differences = json!(["address: \"10.0.0.7:8000\" there, \"10.0.0.7:8001\" wanted", "Meta region: not there"]);
    assert_eq!(
        report["ports"][0]["instance"]["registry"],
        json!({"state": "differs", "differences": differences}),
        "{report:#}"
    );
    assert_eq!(code, Some(1));
}

#[test]
fn out_of_traffic_with_its_reason() {
    let (docker, consul) = fakes();
    let mut paused = container("web", 8000);
    paused["State"]["Paused"] = json!(true);
    docker.set(paused);
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(
        explained.text.contains("in line, out of traffic: portreeve: the container is paused"),
        "{}",
        explained.text
    );
    assert!(explained.text.contains("state        paused, started 2026-01-01"), "{}", explained.text);
    assert_eq!(explained.code, Some(0));

    docker.set(container("web", 8000));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.text.contains("there is no reason any more"), "{}", explained.text);
    assert_eq!(explained.code, Some(1));
}

#[test]
fn ids_that_others_hold_or_claim() {
    let (docker, consul) = fakes();
    consul
        .add(json!({"ID": "dockerhost:web:80", "Service": "theirs", "Port": 1, "Address": "", "Tags": [], "Meta": {}}));
    let held = |arguments: &[&str]| report(&docker, &consul, arguments).0["ports"][0]["instance"]["registry"].clone();
    assert_eq!(held(&["web"]), json!({"state": "foreign", "unmarked": true, "adopted": false}));
    assert_eq!(held(&["web", "--adopt", "registrator"])["adopted"], json!(true));
    for name in ["a", "b"] {
        let mut claims = container(name, 9000);
        claims["Config"]["Env"] = json!(["SERVICE_ID=same"]);
        docker.set(claims);
    }
    let claims = json!(["80/tcp of container \"a\"", "80/tcp of container \"b\""]);
    assert_eq!(held(&["a"])["state"], "missing");
    assert_eq!(held(&["b"]), json!({"state": "refused", "claims": claims}));
}

#[test]
fn a_container_that_has_ended_and_what_it_left() {
    let (docker, consul) = fakes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let mut ended = container("web", 8000);
    ended["State"] =
        json!({"Status": "exited", "Running": false, "ExitCode": 3, "StartedAt": "2026-01-01T00:00:00.1Z"});
    docker.set(ended);
    let (report, code) = report(&docker, &consul, &["web"]);
    assert_eq!(report["container"]["state"], "ended with exit code 3");
    assert_eq!(report["left"], json!([{"id": "dockerhost:web:80", "then": "it is removed"}]));
    assert_eq!(code, Some(1));
}

#[test]
fn limits_are_checked_beforehand() {
    let (docker, consul) = fakes();
    let mut odd = container("odd", 8000);
    odd["Config"]["Env"] = json!(["SERVICE_NAME=shop_front"]);
    docker.set(odd);
    let limits = report(&docker, &consul, &["odd"]).0["ports"][0]["instance"]["limits"].clone();
    assert_eq!(limits, json!(["the name \"shop_front\" contains '_': DNS carries letters, digits and - only"]));
}

#[test]
fn a_container_is_found_by_name_and_by_the_beginning_of_its_id() {
    let (docker, consul) = fakes();
    let mut other = container("other", 8001);
    other["Id"] = json!("c0ffee".repeat(10));
    docker.set(other);
    let named = |wanted: &str| report(&docker, &consul, &[wanted]).0["container"]["name"].clone();
    assert_eq!(named("/web"), "web");
    assert_eq!(named(&id("web")), "web");
    assert_eq!(named("c0f"), "other");
    let unknown = explain(&docker, &consul, &["wbe"]);
    assert_eq!(unknown.error, "portreeve: there is no container \"wbe\"; there is web\n");
    assert_eq!((unknown.text.as_str(), unknown.code), ("", Some(1)));

    docker.set(container("two", 8002));
    let several = explain(&docker, &consul, &["00"]);
    assert!(several.error.contains("is the beginning of several ids"), "{}", several.error);
    assert_eq!(several.code, Some(2));
    assert_eq!(explain(&docker, &consul, &[]).code, Some(2));
}

#[test]
fn a_side_that_does_not_answer_is_named() {
    let (docker, consul) = fakes();
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.error.contains("failing on purpose"), "{}", explained.error);
    assert_eq!((explained.text.as_str(), explained.code), ("", Some(1)));
    docker.set_broken(true);
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.error.contains("Docker at unix://"), "{}", explained.error);
    assert_eq!(explained.code, Some(1));
}
