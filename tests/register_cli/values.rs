//! Invalid values: `register`, `explain` and `lint` report the same about each.

use std::process::Command;

use portreeve_lab::portreeve::program;
use serde_json::json;
use tempfile::TempDir;

use super::common::{
    black_box::portreeve,
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

/// Variables of a container, and the beginning of the message about them.
type Row = (&'static [&'static str], &'static str);

const ROWS: [Row; 58] = [
    (&["SERVICE_CHECK_HTTP=http://localhost:8080/health"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=HTTPS://x/y"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTPS=//x/y"], "SERVICE_CHECK_HTTPS is ignored: "),
    (&["SERVICE_CHECK_HTTP=localhost:8080/health"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=GET /health"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=/a\u{7}b"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=/a\u{200b}b"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=/a\r\nb"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=\"/health'"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=“/health”"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=/a?b c"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_HTTP=/100%"], "SERVICE_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_2_HTTP=http://x"], "SERVICE_CHECK_2_HTTP is ignored: "),
    (&["SERVICE_80_CHECK_HTTP=http://x"], "SERVICE_80_CHECK_HTTP is ignored: "),
    (&["SERVICE_CHECK_TTL=30"], "SERVICE_CHECK_TTL is ignored: "),
    (&["SERVICE_CHECK_TTL=0s"], "SERVICE_CHECK_TTL is ignored: "),
    (&["SERVICE_CHECK_TTL=-5s"], "SERVICE_CHECK_TTL is ignored: "),
    (&["SERVICE_CHECK_SCRIPT=/bin/true"], "SERVICE_CHECK_SCRIPT is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INTERVAL=15"], "SERVICE_CHECK_INTERVAL is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INTERVAL=10 s"], "SERVICE_CHECK_INTERVAL is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INTERVAL=5d"], "SERVICE_CHECK_INTERVAL is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_TIMEOUT=48h"], "SERVICE_CHECK_TIMEOUT is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_INITIAL_STATUS=up"], "SERVICE_CHECK_INITIAL_STATUS is ignored: "),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_DEREGISTER_AFTER=1"], "SERVICE_CHECK_DEREGISTER_AFTER is ignored: "),
    (
        &["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_FAILURES_BEFORE_CRITICAL=+3"],
        "SERVICE_CHECK_FAILURES_BEFORE_CRITICAL is ignored: ",
    ),
    (
        &["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_SUCCESS_BEFORE_PASSING=3.5"],
        "SERVICE_CHECK_SUCCESS_BEFORE_PASSING is ignored: ",
    ),
    (&["SERVICE_CHECK_TCP=1", "SERVICE_CHECK_NAME=a\u{1b}b"], "SERVICE_CHECK_NAME is ignored: "),
    (&["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_METHOD=FETCH"], "SERVICE_CHECK_METHOD is ignored: "),
    (&["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HTTP_METHOD=GET /"], "SERVICE_CHECK_HTTP_METHOD is ignored: "),
    (&["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HEADER=nocolon"], "SERVICE_CHECK_HEADER is invalid, "),
    (&["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HEADER=a b: c"], "SERVICE_CHECK_HEADER is invalid, "),
    (&["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HEADER=A: b\u{1}"], "SERVICE_CHECK_HEADER is invalid, "),
    (&["SERVICE_NAME=a\u{7}b"], "SERVICE_NAME is ignored: "),
    (&["SERVICE_NAME=a\u{200b}b"], "SERVICE_NAME is ignored: "),
    (&["SERVICE_ID=a/../b"], "SERVICE_ID is ignored: "),
    (&["SERVICE_ID=a\u{7}"], "SERVICE_ID is ignored: "),
    (&["SERVICE_TAGS=a,b\u{7}c"], "SERVICE_TAGS has a tag that is left out: "),
    (&["SERVICE_ADDRESS=10.0.0.5:8080"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADDRESS=999.1.1.1"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADDRESS=http://x/"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADDRESS=localhost"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADDRESS=10.0.0.5/24"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADDRESS=[2001:db8::1]"], "SERVICE_ADDRESS is ignored: "),
    (&["SERVICE_ADVERTISE_PORT=+80"], "SERVICE_ADVERTISE_PORT is ignored: "),
    (&["SERVICE_ADVERTISE_PORT=0"], "SERVICE_ADVERTISE_PORT is ignored: "),
    (&["SERVICE_ADVERTISE_PORT=http"], "SERVICE_ADVERTISE_PORT is ignored: "),
    (&["SERVICE_ADVERTISE_PORT=70000"], "SERVICE_ADVERTISE_PORT is ignored: "),
    (&["SERVICE_ADVERTISE_PORT=80/tcp"], "SERVICE_ADVERTISE_PORT is ignored: "),
    (&["SERVICE_WEIGHT=+10"], "SERVICE_WEIGHT is ignored: "),
    (&["SERVICE_WEIGHT=0"], "SERVICE_WEIGHT is ignored: "),
    (&["SERVICE_WEIGHT=10,-1"], "SERVICE_WEIGHT is ignored: "),
    (&["SERVICE_WEIGHT=70000"], "SERVICE_WEIGHT is ignored: "),
    (&["SERVICE_READY=http://x/"], "SERVICE_READY is ignored: "),
    (&["SERVICE_READY=//x/"], "SERVICE_READY is ignored: "),
    (&["SERVICE_READY=maybe"], "SERVICE_READY is ignored: "),
    (&["SERVICE_FOO=a\u{7}b"], "SERVICE_FOO is left out of Meta: "),
    (&["SERVICE_PASSWORD=x"], "SERVICE_PASSWORD looks like a secret: "),
    (&["SERVICE_PROXY=Bearer x"], "SERVICE_PROXY looks like a secret: "),
];

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn register_explain_and_lint_report_the_same() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let name = |row: usize| format!("row-{row}");
    let mut services = serde_json::Map::new();
    for ((row, (env, _)), port) in ROWS.iter().enumerate().zip(8000_u16..) {
        let mut inspect = container(&name(row), port);
        inspect["Config"]["Env"] = json!(env);
        docker.set(inspect);
        let service = json!({"image": "nginx:1", "ports": [format!("{port}:80")], "environment": env});
        services.insert(name(row), service);
    }
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("compose.yaml");
    std::fs::write(&file, format!("{:#}\n", json!({"services": services}))).expect("a file");

    let registered = output(&mut portreeve(&docker, &consul, &["--once"]));
    assert_eq!(consul.count(), ROWS.len(), "a value costs only itself: {registered}");
    let linted = output(Command::new(program()).env("PORTREEVE_CONFIG", "/dev/null").arg("lint").arg(&file));
    for (row, (env, beginning)) in ROWS.iter().enumerate() {
        let name = name(row);
        let of_container = format!(" container=\"{name}\"");
        let line = registered.lines().find(|line| line.contains(beginning) && line.ends_with(&of_container));
        let line = line.unwrap_or_else(|| panic!("register says nothing of {env:?}: {registered}"));
        let note = &line[line.find(beginning).expect("it exists")..line.len() - of_container.len()];
        assert!(linted.lines().any(|line| line.ends_with(&format!(": {name}: {note}"))), "{note:?} in {linted}");
        let mut explain = Command::new(program());
        explain
            .env_clear()
            .env("PORTREEVE_CONFIG", "/dev/null")
            .env("DOCKER_HOST", docker.host())
            .env("CONSUL_HTTP_ADDR", consul.address());
        let explained = output(explain.args(["explain", &name]));
        assert!(explained.contains(note), "{note:?} in {explained}");
    }
}

#[test]
fn quotes_and_spaces_around_a_value_are_not_part_of_it() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let env = json!([
        "SERVICE_NAME=\"shop\"\r",
        "SERVICE_ID='shop-1'\r\n",
        "SERVICE_TAGS=\"a, b\"\r",
        "SERVICE_ADDRESS= 10.9.9.9 ",
        "SERVICE_ADVERTISE_PORT=\"443\"\r",
        "SERVICE_WEIGHT= '10' ",
        "SERVICE_REGION=\u{feff}eu\u{200b}",
        "SERVICE_CHECK_HTTP=\"/health\"\r",
        "SERVICE_CHECK_METHOD='post'\r",
        "SERVICE_CHECK_INTERVAL=\"5s\"\r",
        "SERVICE_CHECK_HEADER=\"X-A: b\"\r",
    ]);
    let mut shop = container("shop", 8000);
    shop["Config"]["Env"] = env;
    docker.set(shop);
    let log = output(&mut portreeve(&docker, &consul, &["--once"]));
    assert!(!log.contains("WARN"), "{log}");
    let body = consul.registrations().pop().expect("a registration");
    let check = &body["Checks"][0];
    assert_eq!(
        json!([body["Name"], body["ID"], body["Tags"], body["Address"], body["Port"], body["Weights"]["Passing"]]),
        json!(["shop", "shop-1", ["a", "b"], "10.9.9.9", 443, 10])
    );
    assert_eq!(body["Meta"]["region"], "eu");
    assert_eq!(
        json!([check["HTTP"], check["Method"], check["Interval"], check["Header"]]),
        json!(["http://10.9.9.9:443/health", "POST", "5s", {"X-A": ["b"]}])
    );
}
