//! Runs `portreeve register --once` with a fake engine and a fake agent. Each registration becomes a line
//! `id name address:port ["tag"] {"meta":"value"} check {...}`, without empty parts.

#![allow(dead_code, unreachable_pub)]

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Map, Value};

use crate::common::{fake_consul::FakeConsul, fake_docker::FakeDocker};

/// The value of `--deadline`; only a bug reaches it.
const DEADLINE: Duration = Duration::from_secs(60);

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code.
    pub code: Option<i32>,
    /// One line for each registration. Sorted, since the order of ports has no meaning.
    pub lines: Vec<String>,
    /// The bodies of the registrations.
    pub bodies: Vec<Value>,
    /// The tokens of the requests.
    pub tokens: Vec<String>,
    /// Standard error.
    pub log: String,
}

/// Registers containers, given as inspections.
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

/// Registrations as sorted lines.
pub fn lines(bodies: &[Value]) -> Vec<String> {
    let mut lines: Vec<_> = bodies.iter().map(line).collect();
    lines.sort();
    lines
}

/// A registration as a line, without the owner fields, the ids of checks and the tagged addresses.
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

/// Also replaces `ScriptArgs` by its synonym `Args`.
fn without_id(check: Value) -> Value {
    let Value::Object(check) = check else { panic!("a check is an object: {check}") };
    let spelled = |key: String| if key == "ScriptArgs" { "Args".to_owned() } else { key };
    let pairs = check.into_iter().filter(|(key, _)| key != "CheckID");
    Value::Object(pairs.map(|(key, value)| (spelled(key), value)).collect::<Map<_, _>>())
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}
