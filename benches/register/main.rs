//! `portreeve register` as a process: the release binary with a fake engine, and a fake or a real agent.
//!
//! Run it with `make bench`. Prints figures and asserts no times. `docs/benchmarks.md` explains them.

mod agent;
mod daemon;
mod first_sync;
mod latency;
mod raw_client;
mod storm;
mod table;

#[path = "../../tests/common/dev_agent.rs"]
mod dev_agent;
#[path = "../../tests/common/fake_consul.rs"]
mod fake_consul;
#[path = "../../tests/common/fake_docker.rs"]
mod fake_docker;

use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

#[derive(Parser)]
struct Arguments {
    /// How long the storm lasts, in seconds
    #[arg(long, default_value_t = 60)]
    storm: u64,
    /// Only these parts
    #[arg(value_parser = BENCHMARKS)]
    parts: Vec<String>,
    /// Cargo passes this flag to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

const BENCHMARKS: [&str; 4] = ["first-sync", "storm", "agent", "latency"];

fn main() {
    let arguments = Arguments::parse();
    let runs = |part: &str| arguments.parts.is_empty() || arguments.parts.iter().any(|asked| asked == part);
    if runs("first-sync") {
        first_sync::run();
    }
    if runs("storm") {
        storm::run(Duration::from_secs(arguments.storm));
    }
    if runs("agent") {
        agent::run();
    }
    if runs("latency") {
        latency::run();
    }
}

/// A container. Ten containers form one service. `run` distinguishes the runs under one name.
fn container(number: u16, run: u32, port: u16) -> Value {
    let mut inspect = fake_docker::container(&format!("web-{number}"), port);
    inspect["Id"] = id(number, run).into();
    inspect["Config"]["Env"] = json!([
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "NGINX_VERSION=1.27.0",
        format!("SERVICE_NAME=web-{}", number / 10),
    ]);
    inspect["Config"]["Labels"] = json!({
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": "web",
        "SERVICE_TAGS": "a,b",
        "portreeve.host": "shop.example",
    });
    inspect
}

/// The id of a container.
fn id(number: u16, run: u32) -> String {
    format!("{run:08x}{number:056x}")
}
