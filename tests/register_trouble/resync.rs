//! Each resync reads the host's identity and the health checks again. The agent is real, since its representation of
//! checks matters.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{
    common::{
        black_box::{Daemon, id, portreeve, until},
        fake_consul::FakeConsul,
        fake_docker::{FakeDocker, container},
    },
    dev_agent::{DevAgent, PATIENCE, Setup},
};

#[test]
fn the_agents_address_and_the_host_name_are_read_again() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "500ms"]);
    let place = || consul.registrations().last().map(|body| (body["ID"].clone(), body["Address"].clone()));
    until("the entry", || place() == Some(("dockerhost:web:80".into(), "10.0.0.7".into())));
    consul.advertise("10.0.0.8");
    until("the entry at the new address", || place() == Some(("dockerhost:web:80".into(), "10.0.0.8".into())));
    docker.rename_host("other");
    until("the entry under the new name", || consul.ids() == ["other:web:80"]);
    assert_eq!(consul.registrations().len(), 3);
    docker.set_broken(true);
    consul.advertise("10.0.0.9");
    until("the entry while Docker is away", || place() == Some(("other:web:80".into(), "10.0.0.9".into())));
    assert_eq!(daemon.stop(), Some(0));
}

/// `web` with an HTTP check, and with an unhealthy HEALTHCHECK.
fn checked(port: u16) -> Value {
    let mut web = container("web", port);
    web["Config"]["Env"] = json!(["SERVICE_NAME=web", "SERVICE_CHECK_HTTP=/up", "SERVICE_CHECK_INTERVAL=1h"]);
    web["State"]["Health"] = json!({"Status": "unhealthy", "FailingStreak": 3, "Log": []});
    web
}

async fn wait_for(what: &str, daemon: &Daemon, agent: &DevAgent, seen: impl Fn(&Value) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        let checks = agent.get("/v1/agent/checks").await;
        if seen(&checks) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "waited for {what}:\n{checks:#}\n{}", daemon.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

const FIRST: &str = "service:dockerhost:web:80";
const DOCKER: &str = "service:dockerhost:web:80:docker";

fn are_right(checks: &Value) -> bool {
    checks[FIRST]["Type"] == "http"
        && checks[FIRST]["Name"] == "Service 'web' check"
        && checks[DOCKER]["Type"] == "ttl"
        && checks[DOCKER]["Status"] == "critical"
}

async fn modify_index(agent: &DevAgent) -> Value {
    agent.get("/v1/catalog/service/web").await[0]["ModifyIndex"].clone()
}

#[tokio::test]
async fn a_removed_or_replaced_check_is_restored_with_one_registration() {
    let agent = DevAgent::start_with(Setup { extra: "enable_script_checks = true".into(), ..Setup::default() }).await;
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start(""));
    docker.set(checked(1000));
    let mut command = portreeve(&docker, &consul, &["--resync", "500ms", "--ip", "127.0.0.1"]);
    command.env("CONSUL_HTTP_ADDR", agent.address());
    let daemon = Daemon::spawn(command);
    wait_for("the checks", &daemon, &agent, are_right).await;
    let by_hand = [
        (format!("/v1/agent/check/deregister/{FIRST}"), Value::Null),
        (format!("/v1/agent/check/deregister/{DOCKER}"), Value::Null),
        (
            "/v1/agent/check/register".to_owned(),
            json!({"ID": FIRST, "Name": "mine", "ServiceID": "dockerhost:web:80", "HTTP": "http://127.0.0.1:1/", "Interval": "1h"}),
        ),
        (
            "/v1/agent/check/register".to_owned(),
            json!({"ID": DOCKER, "Name": "Docker HEALTHCHECK", "ServiceID": "dockerhost:web:80", "TCP": "127.0.0.1:1", "Interval": "1h"}),
        ),
    ];
    for (number, (path, body)) in by_hand.into_iter().enumerate() {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        agent.call(Method::PUT, &path, body).await;
        wait_for(&format!("the checks after {path} {number}"), &daemon, &agent, are_right).await;
        let updates = || daemon.log().matches("updated web").count();
        // The line is logged after the write.
        until("the line of the update", || updates() > number);
        // Three more resyncs.
        let (before, lists) = (modify_index(&agent).await, docker.requests().len());
        until("more resyncs", || docker.requests().len() > lists + 9);
        assert_eq!((updates(), modify_index(&agent).await), (number + 1, before), "{}", daemon.log());
    }
    assert_eq!(daemon.stop(), Some(0));
}

/// A status report between two resyncs finds its check missing.
#[tokio::test]
async fn a_report_without_its_check_leads_to_one_registration() {
    let agent = DevAgent::start().await;
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start(""));
    docker.set(checked(1000));
    let mut command = portreeve(&docker, &consul, &["--resync", "1h", "--ip", "127.0.0.1"]);
    command.env("CONSUL_HTTP_ADDR", agent.address());
    let daemon = Daemon::spawn(command);
    wait_for("the checks", &daemon, &agent, are_right).await;
    daemon.until_logged("up to date");
    agent.call(Method::PUT, &format!("/v1/agent/check/deregister/{DOCKER}"), "").await;
    let mut healthy = checked(1000);
    healthy["State"]["Health"]["Status"] = "healthy".into();
    docker.set(healthy);
    docker.event("health_status: healthy", &id("web"), &[]);
    wait_for("the report", &daemon, &agent, |checks| checks[DOCKER]["Status"] == "passing").await;
    let log = daemon.log();
    assert_eq!(log.matches("updated web").count(), 1, "{log}");
    assert!(log.matches("does not have associated TTL").count() <= 1, "{log}");
    assert_eq!(daemon.stop(), Some(0));
}
