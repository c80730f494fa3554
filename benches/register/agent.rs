//! A first sync with a real agent, compared with a minimal client that sends the same bodies to another new agent.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    container, daemon,
    dev_agent::{DevAgent, Setup},
    fake_consul::FakeConsul,
    fake_docker::FakeDocker,
    raw_client,
    table::{format_seconds, quantile, row, title},
};

const REPETITIONS: usize = 3;

pub(super) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for durable in [false, true] {
            for services in [500, 1_000] {
                compare(services, durable).await;
            }
        }
    });
}

async fn compare(services: u16, durable: bool) {
    let docker = FakeDocker::start();
    (0..services).for_each(|number| docker.set(container(number, 0, 20_000 + number)));
    let bodies = bodies(&docker);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut again = 0;
    for repetition in 0..REPETITIONS {
        for we in [repetition % 2 == 0, repetition % 2 != 0] {
            let agent = DevAgent::start_with(Setup { durable, ..Setup::default() }).await;
            let address = agent.address();
            let begun = Instant::now();
            if we {
                assert!(once(&docker, &address, "--once").status().expect("the program starts").success());
                ours.push(begun.elapsed());
                again = planned_count(&docker, &address);
            } else {
                raw_client::register(&address, &bodies);
                theirs.push(begun.elapsed());
            }
            let registered = agent.get("/v1/agent/services").await;
            assert_eq!(registered.as_object().map(serde_json::Map::len), Some(usize::from(services)));
        }
    }
    let kind = if durable { "server with data on disk" } else { "dev agent" };
    title(&format!("First registration of {services} services on a real {kind} (median of {REPETITIONS})"));
    let median = |times: &mut Vec<Duration>| quantile(times, 0.5);
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    row("register --once, from the start of the program to its end", format_seconds(ours));
    row("the same bodies, sent one after the other by a bare client", format_seconds(theirs));
    row("ratio", format!("{:.2}", ours.as_secs_f64() / theirs.as_secs_f64()));
    row("steps that a second run would take", again);
}

/// The registrations that `register` sends for these containers.
fn bodies(docker: &FakeDocker) -> Vec<Value> {
    let consul = FakeConsul::start("127.0.0.1");
    assert!(once(docker, consul.address(), "--once").status().expect("the program starts").success());
    consul.registrations()
}

fn planned_count(docker: &FakeDocker, address: &str) -> usize {
    let output = once(docker, address, "--dry-run").stdout(Stdio::piped()).output().expect("the program starts");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).lines().count()
}

fn once(docker: &FakeDocker, address: &str, how: &str) -> Command {
    daemon::register(docker, address, &[how])
}
