//! `portreeve explain` as a black box, with a fake engine and a fake agent.

mod common;

use std::{
    process::{Command, Output},
    time::Duration,
};

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
    explain_between(&docker.host(), consul.address(), arguments)
}

fn explain_between(docker: &str, consul: &str, arguments: &[&str]) -> Explained {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command.env_clear().env("PORTREEVE_CONFIG", "/dev/null").env("DOCKER_HOST", docker).env("CONSUL_HTTP_ADDR", consul);
    let Output { stdout, stderr, status } =
        command.arg("explain").args(arguments).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Explained { text: text(stdout), error: text(stderr), code: status.code() }
}

/// The JSON report and the exit code.
fn report(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> (Value, Option<i32>) {
    let explained = explain(docker, consul, &[arguments, &["--format", "json"]].concat());
    (serde_json::from_str(&explained.text).expect("JSON"), explained.code)
}

fn fakes() -> (FakeDocker, FakeConsul) {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    (docker, consul)
}

/// A container with two ports, several sources of one key, and a note.
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
fn a_missing_instance_is_then_up_to_date() {
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
fn precedence_of_keys_and_source_of_the_address() {
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
    assert_eq!(port["notes"], json!(["SERVICE_WEIGHT is ignored: \"heavy\" is not a weight such as 10 or 10,1"]));
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
fn the_text_report() {
    let (docker, consul) = fakes();
    docker.set(rich());
    let text = explain(&docker, &consul, &["rich"]).text;
    let begin = "\
rich (000000000000), image nginx:1
  state        running since 2026-01-01T00:00:00.1Z
  not seen     events older than 10 minutes, or that Docker no longer has: a stop signal, starts

80/tcp
  traffic      no: not registered: register has not written it yet, or was refused (see its log)
  registry     missing: register has not written it yet, or was refused (see its log)
  id           mine (from SERVICE_80_ID)
  name         shop (from SERVICE_NAME)
  address      10.0.0.7:8000 (what the registry's agent advertises)
  note         SERVICE_WEIGHT is ignored: \"heavy\" is not a weight such as 10 or 10,1
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
fn differences_are_named() {
    let (docker, consul) = fakes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let mut changed = container("web", 8001);
    changed["Config"]["Env"] = json!(["SERVICE_NAME=web", "SERVICE_REGION=eu", "SERVICE_CHECK_HTTP=/up"]);
    docker.set(changed);
    let (report, code) = report(&docker, &consul, &["web"]);
    let differences = json!([
        "address: the entry has \"10.0.0.7:8000\", expected \"10.0.0.7:8001\"",
        "Meta region: missing in the entry"
    ]);
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
        explained.text.contains("up to date, out of traffic: portreeve: the container is paused"),
        "{}",
        explained.text
    );
    assert!(explained.text.contains("state        paused, started 2026-01-01"), "{}", explained.text);
    assert_eq!(explained.code, Some(1), "it is as it should be, and gets no traffic");

    docker.set(container("web", 8000));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.text.contains("the reason no longer applies"), "{}", explained.text);
    assert_eq!(explained.code, Some(1));
}

#[test]
fn ids_that_others_have_or_claim() {
    let (docker, consul) = fakes();
    consul
        .add(json!({"ID": "dockerhost:web:80", "Service": "theirs", "Port": 1, "Address": "", "Tags": [], "Meta": {}}));
    let registry =
        |arguments: &[&str]| report(&docker, &consul, arguments).0["ports"][0]["instance"]["registry"].clone();
    assert_eq!(registry(&["web"]), json!({"state": "foreign", "unmarked": true, "adopted": false}));
    assert_eq!(registry(&["web", "--adopt", "registrator"])["adopted"], json!(true));
    for name in ["a", "b"] {
        let mut claims = container(name, 9000);
        claims["Config"]["Env"] = json!(["SERVICE_ID=same"]);
        docker.set(claims);
    }
    let claims = json!(["80/tcp of container \"a\"", "80/tcp of container \"b\""]);
    assert_eq!(registry(&["a"])["state"], "missing");
    assert_eq!(registry(&["b"]), json!({"state": "refused", "claims": claims}));
}

#[test]
fn a_container_that_has_ended_and_its_leftover_entry() {
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
fn a_container_is_found_by_name_and_by_a_prefix_of_its_id() {
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
    assert!(several.error.contains("is the prefix of several ids"), "{}", several.error);
    assert_eq!(several.code, Some(2));
    assert_eq!(explain(&docker, &consul, &[]).code, Some(2));
}

type Change = fn(&FakeDocker, &FakeConsul);

/// The JSON pointer of the check of `web`.
const CHECK: &str = "service:dockerhost:web:80";

fn set(docker: &FakeDocker, change: impl Fn(&mut Value)) {
    let mut web = container("web", 8000);
    change(&mut web);
    docker.set(web);
}

fn with_health(docker: &FakeDocker, status: &str) {
    set(docker, |web| {
        web["State"]["Health"] = json!({"Status": status, "Log": [{"ExitCode": 1, "Output": "no\nroute"}]})
    });
}

fn with_env(docker: &FakeDocker, variable: &str) {
    set(docker, |web| web["Config"]["Env"] = json!(["SERVICE_NAME=web", variable]));
}

/// Each case: its name, a change before and one after `register --once`, and the expected traffic of `web`.
#[test]
fn why_it_gets_no_traffic() {
    let none: Change = |_, _| {};
    let cases: [(&str, Change, Change, &str); 15] = [
        ("all is well", none, none, "yes"),
        (
            "a check is critical",
            |docker, _| with_env(docker, "SERVICE_CHECK_HTTP=/up"),
            |_, consul| {
                consul.judge(CHECK, "critical", "HTTP GET http://10.0.0.7:8000/up: 500\nOutput: no database");
            },
            "no: check \"Service 'web' check\" is critical: HTTP GET http://10.0.0.7:8000/up: 500 Output: no database",
        ),
        (
            "a check has not answered",
            |docker, _| with_env(docker, "SERVICE_CHECK_TCP=true"),
            none,
            "no: check \"Service 'web' check\" is critical: it has no output yet",
        ),
        (
            "a check warns",
            |docker, _| with_env(docker, "SERVICE_CHECK_TTL=30s"),
            |_, consul| consul.judge(CHECK, "warning", "slow"),
            "no: check \"Service 'web' check\" is warning, which DNS includes and templates do not: slow",
        ),
        (
            "somebody else's check",
            none,
            |_, consul| {
                consul.add_check(json!({"CheckID": "other", "Name": "disk",
            "Status": "critical", "Output": "full", "ServiceID": "dockerhost:web:80"}))
            },
            "no: check \"disk\" is critical: full",
        ),
        (
            "the host is lost",
            none,
            |_, consul| {
                consul.add_check(json!({"CheckID": "serfHealth", "Name": "Serf Health Status",
            "Status": "critical", "Output": "Agent not live or unreachable", "ServiceID": ""}))
            },
            "no: check \"Serf Health Status\" of the whole host is critical: Agent not live or unreachable",
        ),
        (
            "the host is in maintenance",
            none,
            |_, consul| {
                consul.add_check(json!({"CheckID": "_node_maintenance",
            "Name": "Node Maintenance Mode", "Status": "critical", "Notes": "new disk", "ServiceID": ""}))
            },
            "no: maintenance mode of the whole host, by an operator: \"new disk\"",
        ),
        (
            "an operator took it out",
            none,
            |_, consul| consul.take_out("dockerhost:web:80", "disk swap"),
            "no: maintenance mode, by an operator: \"disk swap\"",
        ),
        (
            "unhealthy",
            |docker, _| with_health(docker, "unhealthy"),
            none,
            "no: Docker's HEALTHCHECK is unhealthy: no route",
        ),
        (
            "starting",
            |docker, _| with_health(docker, "starting"),
            none,
            "no: Docker's HEALTHCHECK is starting: it has no result yet since 2026-01-01T00:00:00.1Z",
        ),
        (
            "paused",
            |docker, _| set(docker, |web| web["State"]["Paused"] = json!(true)),
            none,
            "no: portreeve: the container is paused",
        ),
        (
            "refused by Consul",
            |_, consul| consul.refuse("dockerhost:web:80", Some(axum::http::StatusCode::BAD_REQUEST)),
            none,
            "no: not registered: register has not written it yet, or was refused (see its log)",
        ),
        (
            "somebody else's",
            |_, consul| {
                consul.add(json!({"ID": "dockerhost:web:80", "Service": "theirs", "Port": 1,
            "Address": "", "Tags": [], "Meta": {}}))
            },
            none,
            "no: the id has an entry without an owner, which is left \
            alone: --adopt registrator takes it over",
        ),
        (
            "it moved",
            none,
            |docker, _| docker.set(container("web", 8001)),
            "no: the registry sends it to 10.0.0.7:8000, where the container is not; is register running?",
        ),
        (
            "published for this host only",
            |docker, _| {
                set(docker, |web| {
                    web["NetworkSettings"]["Ports"]["80/tcp"] = json!([{"HostIp": "127.0.0.1", "HostPort": "8000"}]);
                })
            },
            none,
            "no: not registered: it is published on a loopback address only",
        ),
    ];
    for (case, before, after, expected) in cases {
        let (docker, consul) = fakes();
        before(&docker, &consul);
        run(&docker, &consul, &["--once", "--deadline", "2s"]);
        after(&docker, &consul);
        let explained = explain(&docker, &consul, &["web"]);
        let line = explained.text.lines().find_map(|line| line.strip_prefix("  traffic      "));
        assert_eq!(line, Some(expected), "{case}: {}{}", explained.text, explained.error);
        assert_eq!(explained.code, Some(i32::from(expected != "yes")), "{case}");
        let (report, _) = report(&docker, &consul, &["web"]);
        assert_eq!(report["ports"][0]["traffic"]["ok"], json!(expected == "yes"), "{case}: {report:#}");
        assert_eq!(report["ok"], json!(expected == "yes"), "{case}");
    }
}

#[test]
fn it_waits_until_it_is_ready() {
    let (docker, consul) = fakes();
    with_env(&docker, "SERVICE_READY=tcp");
    let (report, code) = report(&docker, &consul, &["web"]);
    let reason = "not registered: waits until it is ready (SERVICE_READY): tcp 10.0.0.7:8000 must answer once";
    let traffic = json!({"ok": false, "reason": reason, "since": "2026-01-01T00:00:00.1Z"});
    assert_eq!((&report["ports"][0]["traffic"], code), (&traffic, Some(1)), "{report:#}");
}

#[test]
fn the_times_of_events_are_reported() {
    let (docker, consul) = fakes();
    docker.event("kill", &id("web"), &[("signal", "15")]);
    run(&docker, &consul, &["--once"]);
    let (draining, code) = report(&docker, &consul, &["web"]);
    let traffic = &draining["ports"][0]["traffic"];
    assert_eq!(traffic["reason"], "portreeve: draining, the container was told to stop", "{draining:#}");
    assert!(traffic["since"].as_str().is_some_and(|since| since.starts_with("20")), "{draining:#}");
    assert_eq!(code, Some(1));

    let (docker, consul) = fakes();
    (10..20).for_each(|seconds| docker.past_event("start", &id("web"), Duration::from_secs(seconds)));
    let mut ended = container("web", 8000);
    ended["State"] = json!({"Status": "restarting", "Running": true, "Restarting": true, "ExitCode": 3,
        "StartedAt": "2026-01-01T00:00:00.1Z"});
    docker.set(ended);
    let (crashing, code) = report(&docker, &consul, &["web"]);
    let reason = "not registered: crash loop: the container has ended with exit code 3";
    assert_eq!((&crashing["traffic"]["reason"], code), (&json!(reason), Some(1)), "{crashing:#}");
}

#[test]
fn a_container_without_a_request_is_ok() {
    let (docker, consul) = fakes();
    with_env(&docker, "SERVICE_IGNORE=true");
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.text.contains("traffic      no: not registered: SERVICE_IGNORE is set"), "{}", explained.text);
    assert_eq!(explained.code, Some(0));
}

#[test]
fn keys_without_effect_are_reported() {
    let (docker, consul) = fakes();
    set(&docker, |web| {
        web["Config"]["Env"] = json!([
            "SERVICE_NAEM=web",
            "SERVICE_CHECK_HTP=/up",
            "SERVICE_9999_NAME=x",
            "SERVICE_080_NAME=x",
            "SERVICE_REGION=eu",
            "service_name=x"
        ]);
        web["Config"]["Labels"] = json!({"portreeve.81.tags": "a"});
    });
    let (report, _) = report(&docker, &consul, &["web"]);
    let notes = json!([
        "SERVICE_080_NAME is not read: there is no such port, or no key; ports go from 1 to 65535, without leading zeros",
        "SERVICE_9999_NAME applies to no port of the container, which has 80/tcp; the key names the port inside",
        "SERVICE_CHECK_HTP has no effect: checks have no such setting; did you mean SERVICE_CHECK_HTTP?",
        "SERVICE_NAEM only becomes the Meta key \"naem\"; did you mean SERVICE_NAME?",
        "portreeve.81.tags applies to no port of the container, which has 80/tcp; the key names the port inside",
        "service_name is not read: its prefix is case-sensitive; write SERVICE_NAME",
    ]);
    assert_eq!(report["notes"], notes);
}

#[test]
fn an_unreachable_address_is_reported() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    docker.set(container("web", 8000));
    let explained = explain(&docker, &consul, &["web"]);
    let note = "note         the registry's agent advertises 127.0.0.1: other hosts cannot reach the instances there";
    assert!(explained.text.contains(note), "{}", explained.text);
    assert!(!explain(&docker, &consul, &["web", "--ip", "10.9.9.9"]).text.contains("other hosts"));
}

#[test]
fn without_consul_it_reports_the_expected_registrations() {
    let (docker, consul) = fakes();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("http://{}", silent.local_addr().expect("a bound socket"));
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    for address in [consul.address(), "http://127.0.0.1:1", &silent] {
        let explained = explain_between(&docker.host(), address, &["web"]);
        let text = &explained.text;
        let unknown = format!("traffic      unknown: Consul at {address} cannot be reached: ");
        assert!(
            text.contains(&unknown) && text.contains("trouble      Consul at http://"),
            "{text}{}",
            explained.error
        );
        assert!(text.contains("address      address-of-the-agent:8000"), "{text}");
        assert_eq!(explained.code, Some(1));
    }
    let (report, _) = report(&docker, &consul, &["web", "--ip", "10.9.9.9"]);
    assert_eq!(report["ports"][0]["instance"]["address"], "10.9.9.9");
    assert_eq!(report["ports"][0]["traffic"]["ok"], Value::Null);
    assert_eq!(report["ports"][0]["instance"]["registry"]["state"], "unknown");
}

#[test]
fn without_docker_it_reports_the_entries() {
    let (docker, consul) = fakes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    docker.set_broken(true);
    let silent = tempfile::TempDir::new().expect("a directory");
    let socket = silent.path().join("docker.sock");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let silent = format!("unix://{}", socket.display());
    for host in [docker.host(), "unix:///nowhere/docker.sock".to_owned(), silent] {
        for wanted in ["web", &id("web")] {
            let explained = explain_between(&host, consul.address(), &[wanted]);
            let text = &explained.text;
            assert!(text.contains(&format!("trouble      Docker at {host}")), "{text}{}", explained.error);
            assert!(text.contains("\ndockerhost:web:80\n  traffic      yes\n"), "{text}");
            assert!(text.contains("address      10.0.0.7:8000"), "{text}");
            assert_eq!(explained.code, Some(1));
        }
    }
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.error.contains("Docker at unix://"), "{}", explained.error);
    assert!(explained.error.contains("failing on purpose"), "{}", explained.error);
    assert_eq!((explained.text.as_str(), explained.code), ("", Some(1)));
}

#[test]
fn a_container_that_cannot_be_inspected_is_reported() {
    for hangs in [false, true] {
        let (docker, consul) = fakes();
        docker.set(container("other", 8001));
        assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
        if hangs {
            docker.stall(&id("web"));
        } else {
            docker.fail_inspections(&id("web"), true);
        }
        for wanted in ["web", &id("web")] {
            let explained = explain(&docker, &consul, &[wanted]);
            let text = &explained.text;
            let why = if hangs { "the inspection did not finish within 3s" } else { "no such luck" };
            assert!(
                text.contains("Docker lists the container web (") && text.contains(why),
                "{text}{}",
                explained.error
            );
            assert!(text.contains("\ndockerhost:web:80\n  traffic      yes\n"), "{text}");
            assert!(!text.contains("other"), "{text}");
            assert_eq!(explained.code, Some(1));
        }
        let (others, code) = report(&docker, &consul, &["other"]);
        assert_eq!((&others["ok"], code), (&json!(true), Some(0)), "the others are explained: {others:#}");
    }
}

#[test]
fn the_entries_of_a_container_that_is_gone() {
    let (docker, consul) = fakes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    docker.unset(&id("web"));
    let explained = explain(&docker, &consul, &["web"]);
    assert!(explained.text.contains("trouble      there is no container \"web\""), "{}", explained.text);
    let then = "register removes it, unless --max-removal defers that";
    assert!(explained.text.contains("dockerhost:web:80") && explained.text.contains(then), "{}", explained.text);
    assert_eq!(explained.code, Some(1));
}
