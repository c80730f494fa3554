//! Runs `portreeve register --once` between an engine and an agent, and writes down in one line each what it registered:
//! `id name address:port ["tag"] {"meta":"value"} check {...}`, without what is empty.

#![allow(dead_code, unreachable_pub)]

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Map, Value};

use crate::common::{fake_consul::FakeConsul, fake_docker::FakeDocker};

/// How long the program may try before it gives up: only a bug takes so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a run has left behind.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: Option<i32>,
    /// One line for each registration, sorted: the order of ports means nothing.
    pub lines: Vec<String>,
    /// The bodies that were sent.
    pub bodies: Vec<Value>,
    /// The tokens that came with the requests.
    pub tokens: Vec<String>,
    /// Standard error.
    pub log: String,
}

/// Lets the program register these containers, as the engine would describe them.
pub fn register(containers: Vec<Value>, flags: &[&str], env: &[(&str, &str)], advertised: &str) -> Outcome {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start(advertised));
    containers.into_iter().for_each(|container| docker.set(container));
    let deadline = format!("{}s", DEADLINE.as_secs());
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("DOCKER_HOST", docker.host())
        .env("CONSUL_HTTP_ADDR", consul.address());
    command.envs(env.iter().copied()).stdin(Stdio::null());
    command.arg("register").args(flags).args(["--once", "--deadline", &deadline]);
    let output = command.output().expect("the program starts");
    let bodies = consul.registrations();
    Outcome {
        code: output.status.code(),
        lines: lines(&bodies),
        bodies,
        tokens: consul.tokens(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Bodies as lines, sorted.
pub fn lines(bodies: &[Value]) -> Vec<String> {
    let mut lines: Vec<_> = bodies.iter().map(line).collect();
    lines.sort();
    lines
}

/// Nothing is lost but our own marks, the ids of checks, and addresses beside the main one.
fn line(body: &Value) -> String {
    let mut body = body.as_object().expect("an object").clone();
    body.remove("TaggedAddresses");
    let mut take = |key| body.remove(key).unwrap_or_default();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let (id, name, address, port) = (text(take("ID")), text(take("Name")), text(take("Address")), take("Port"));
    let (tags, mut meta, one, many) = (take("Tags"), take("Meta"), take("Check"), take("Checks"));
    if let Some(meta) = meta.as_object_mut() {
        meta.retain(|key, _| !key.starts_with("portreeve-"));
    }
    let checks = many.as_array().cloned().unwrap_or_default().into_iter().chain(one.is_object().then_some(one));
    let checks = checks.map(|check| format!("check {}", without_id(check)));
    let rest = Some(Value::Object(body)).filter(|rest| !is_empty(rest)).map(|rest| format!("and {rest}"));
    let plain = [tags, meta].into_iter().filter(|value| !is_empty(value)).map(|value| value.to_string());
    let parts = [id, name, format!("{address}:{port}")].into_iter().chain(plain).chain(checks).chain(rest);
    parts.collect::<Vec<_>>().join(" ")
}

/// Consul knows the arguments of a script under two names.
fn without_id(check: Value) -> Value {
    let Value::Object(check) = check else { panic!("a check is an object: {check}") };
    let spelled = |key: String| if key == "ScriptArgs" { "Args".to_owned() } else { key };
    let pairs = check.into_iter().filter(|(key, _)| key != "CheckID");
    Value::Object(pairs.map(|(key, value)| (spelled(key), value)).collect::<Map<_, _>>())
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}
