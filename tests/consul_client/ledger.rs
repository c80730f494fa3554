//! Writes of entries to an agent, and refused writes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portreeve::{
    consul::ConsulLedger,
    registry::{
        Check, CheckProbe, Entry, Instance, Ledger, LedgerError, OutOfTraffic, Owner, Status, StatusReport, Weights,
    },
};

use serde_json::{Value, json};

use crate::{client, dev_agent::DevAgent};

const ENGINE: &str = "ENGINE:1";

pub(crate) fn instance(id: &str, port: u16) -> Instance {
    Instance {
        id: id.into(),
        name: "web".into(),
        address: "10.9.8.7".into(),
        port,
        tags: vec!["v1".into(), "blue".into()],
        meta: BTreeMap::from([("host".into(), "a.example".into())]),
        tagged_addresses: BTreeMap::from([("front".into(), ("172.18.0.2".into(), 80))]),
        weights: Some(Weights { passing: 10, warning: 1 }),
        tag_override: false,
        checks: Vec::new(),
        reports: BTreeMap::new(),
        owner: Owner {
            engine: ENGINE.into(),
            host: "host-1".into(),
            container: "c0ffee".into(),
            started: "2026-01-02T03:04:05Z".into(),
        },
        out_of_traffic: None,
    }
}

fn checked(id: &str, port: u16) -> Instance {
    let check = |key: &str, probe| Check {
        interval: Some("1h".into()),
        timeout: Some("2s".into()),
        initial_status: Some("passing".into()),
        deregister_after: Some("24h".into()),
        success_before_passing: Some(2),
        failures_before_critical: Some(3),
        ..Check::new(key, probe)
    };
    let http = CheckProbe::Http {
        url: format!("http://127.0.0.1:{port}/up"),
        method: Some("HEAD".into()),
        header: BTreeMap::from([("X-Probe".into(), vec!["1".into()])]),
        body: None,
        tls_skip_verify: true,
    };
    let http = check("1", http);
    let tcp = check("2", CheckProbe::Tcp { address: format!("127.0.0.1:{port}") });
    Instance { checks: vec![http, tcp], ..instance(id, port) }
}

async fn owned(ledger: &ConsulLedger) -> BTreeMap<String, Entry> {
    ledger.entries().await.expect("the entries").owned
}

async fn check_ids(agent: &DevAgent) -> BTreeSet<String> {
    let checks = agent.get("/v1/agent/checks").await;
    checks.as_object().expect("checks by id").keys().cloned().collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn an_entry_is_registered_replaced_put_into_maintenance_and_removed() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    assert_eq!(ledger.advertised_address().await.expect("an address"), "127.0.0.1");
    assert!(owned(&ledger).await.is_empty());

    let mut wanted = checked("host-1:web-1:80", 32768);
    ledger.put(&wanted, None).await.expect("registered");
    assert!(owned(&ledger).await[&wanted.id].matches(&wanted));
    assert_eq!(check_ids(&agent).await, set(&["service:host-1:web-1:80:1", "service:host-1:web-1:80:2"]));

    let reason = OutOfTraffic::Paused.to_string();
    ledger.enable_maintenance(&wanted.id, &reason).await.expect("maintenance mode is enabled");
    ledger.enable_maintenance(&wanted.id, "another reason").await.expect("maintenance mode is enabled again");
    let out = owned(&ledger).await.remove(&wanted.id).expect("the entry");
    assert_eq!(out.out_of_traffic.as_deref(), Some(reason.as_str()), "the first reason stays");
    assert!(out.matches(&wanted), "maintenance mode is not a difference");
    ledger.disable_maintenance(&wanted.id).await.expect("maintenance mode is disabled");
    ledger.disable_maintenance(&wanted.id).await.expect("maintenance mode is disabled again");
    assert_eq!(owned(&ledger).await[&wanted.id].out_of_traffic, None);

    ledger.enable_maintenance(&wanted.id, &reason).await.expect("maintenance mode is enabled");
    wanted.port = 32769;
    wanted.tags.pop();
    wanted.checks.pop();
    assert!(!owned(&ledger).await[&wanted.id].matches(&wanted));
    ledger.put(&wanted, None).await.expect("replaced");
    let replaced = owned(&ledger).await;
    assert!(replaced[&wanted.id].matches(&wanted) && replaced[&wanted.id].out_of_traffic.is_none(), "and in traffic");
    assert_eq!(
        check_ids(&agent).await,
        set(&["service:host-1:web-1:80:1"]),
        "a check that is not in the definition is removed"
    );

    ledger.remove(&wanted.id).await.expect("removed");
    ledger.remove(&wanted.id).await.expect("removing an unknown entry is not an error");
    assert!(owned(&ledger).await.is_empty() && check_ids(&agent).await.is_empty());
}

#[tokio::test]
async fn a_repeated_registration_changes_nothing_in_the_catalog() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let wanted = checked("host-1:web-1:80", 32768);
    ledger.put(&wanted, None).await.expect("registered");
    let before = agent.get("/v1/health/service/web").await;
    ledger.put(&wanted, None).await.expect("registered again");
    assert_eq!(agent.get("/v1/health/service/web").await, before, "not even an index");
}

#[tokio::test]
async fn changes_by_others_are_detected() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let wanted = instance("host-1:web-1:80", 32768);
    ledger.put(&wanted, None).await.expect("registered");
    agent.put("/v1/agent/service/register", r#"{"ID": "foreign", "Name": "web", "Port": 1}"#).await;
    let other = Instance { owner: Owner { engine: "ENGINE:2".into(), ..wanted.owner.clone() }, ..instance("other", 2) };
    ledger.put(&other, None).await.expect("registered");
    let entries = ledger.entries().await.expect("the entries");
    assert_eq!(entries.foreign, BTreeMap::from([("foreign".to_owned(), None)]));
    assert_eq!(entries.owned["other"].owner.engine, "ENGINE:2");
    assert!(entries.owned[&wanted.id].matches(&wanted));

    // Another client registers the same service with a changed port.
    let mut body = agent.get("/v1/agent/service/host-1:web-1:80").await;
    body["Name"] = body["Service"].take();
    body["Port"] = 4711.into();
    let keep = ["ID", "Name", "Port", "Address", "Tags", "Meta"];
    body.as_object_mut().expect("a service").retain(|key, _| keep.contains(&key.as_str()));
    agent.put("/v1/agent/service/register", body.to_string()).await;
    assert!(!owned(&ledger).await[&wanted.id].matches(&wanted));

    agent.put("/v1/agent/service/maintenance/host-1:web-1:80?enable=true&reason=by+hand", "").await;
    assert_eq!(owned(&ledger).await[&wanted.id].out_of_traffic.as_deref(), Some("by hand"));
}

#[tokio::test]
async fn ids_and_reasons_with_special_characters_are_unchanged() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut wanted = instance("host/1:we b?#%&+:80:ü", 1);
    wanted.name = "we/b ü".into();
    ledger.put(&wanted, None).await.expect("registered");
    ledger.enable_maintenance(&wanted.id, "a&b=c; 100% ü").await.expect("maintenance mode is enabled");
    assert_eq!(owned(&ledger).await[&wanted.id].out_of_traffic.as_deref(), Some("a&b=c; 100% ü"));
    ledger.remove(&wanted.id).await.expect("removed");
    assert!(owned(&ledger).await.is_empty());
}

#[tokio::test]
async fn a_refusal_names_the_write_and_the_reason() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut wanted = instance("host-1:web-1:80", 1);
    wanted.meta.insert("a.b".into(), "dots are not allowed".into());
    let refused = |error: LedgerError| match error {
        LedgerError::Refused { .. } => error.to_string(),
        LedgerError::Unavailable { .. } | LedgerError::Denied { .. } => panic!("not a refusal: {error}"),
    };
    let error = refused(ledger.put(&wanted, None).await.expect_err("refused"));
    let begin = "the registry refused the registration of host-1:web-1:80: PUT /v1/agent/service/register: 400: ";
    assert!(error.starts_with(begin) && error.contains("invalid characters"), "{error}");
    for call in [ledger.enable_maintenance("missing", "why").await, ledger.disable_maintenance("missing").await] {
        let error = refused(call.expect_err("refused"));
        assert!(error.contains("404") && error.contains("missing"), "{error}");
    }
    ledger.remove("missing").await.expect("removing an unknown entry is not an error");
}

#[tokio::test]
async fn a_ttl_check_has_the_status_of_the_last_report() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut wanted = instance("host-1:web-1:80", 32768);
    let probe = CheckProbe::Report { ttl: "168h".into() };
    wanted.checks.push(Check { name: Some("Docker HEALTHCHECK".into()), ..Check::new("docker", probe) });
    ledger.put(&wanted, None).await.expect("registered");
    let status = async || owned(&ledger).await[&wanted.id].reported_statuses.get("docker").copied();
    assert_eq!(status().await, Some(Status::Critical), "until the first report");
    let passing = StatusReport { status: Status::Passing, output: "all is well".into() };
    ledger.report(&wanted.id, "docker", &passing).await.expect("reported");
    assert_eq!(status().await, Some(Status::Passing));
    let checks = agent.get("/v1/agent/checks").await;
    assert_eq!(checks["service:host-1:web-1:80:docker"]["Output"], "all is well");
    assert!(ledger.report("unknown", "docker", &passing).await.is_err());
}

/// Collects all instances in the answers of a health query with `?passing`, until the task is aborted.
async fn watch_passing(agent: &DevAgent) -> (tokio::task::JoinHandle<()>, Arc<Mutex<Vec<Value>>>) {
    let (seen, client) = (Arc::new(Mutex::new(Vec::new())), reqwest::Client::new());
    let (address, collected) = (agent.address(), Arc::clone(&seen));
    let watch = tokio::spawn(async move {
        let mut index = "0".to_owned();
        loop {
            let url = format!("{address}/v1/health/service/web?passing&wait=60s&index={index}");
            let answer = client.get(url).send().await.expect("the agent answers");
            index = answer.headers()["x-consul-index"].to_str().expect("a number").to_owned();
            let instances: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
            collected.lock().expect("no panic").extend(instances.as_array().expect("a list").iter().cloned());
        }
    });
    (watch, seen)
}

#[tokio::test]
async fn a_registration_in_maintenance_mode_is_never_in_traffic() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let reason = OutOfTraffic::CrashLoop.to_string();
    let (watch, seen) = watch_passing(&agent).await;
    for port in 1..=30 {
        // It has a passing check, and one that is removed, so only maintenance mode keeps it out of traffic.
        let mut wanted = checked("host-1:web-1:80", port);
        ledger.put(&wanted, Some(&reason)).await.expect("registered");
        wanted.checks.pop();
        ledger.put(&wanted, Some("disk swap")).await.expect("replaced, with another reason");
        let found = owned(&ledger).await.remove(&wanted.id).expect("the entry");
        assert_eq!((found.out_of_traffic.as_deref(), found.matches(&wanted)), (Some("disk swap"), true));
        let checks = set(&["_service_maintenance:host-1:web-1:80", "service:host-1:web-1:80:1"]);
        assert_eq!(check_ids(&agent).await, checks, "a check that is not in the definition is removed");
        ledger.remove(&wanted.id).await.expect("removed");
    }
    assert_eq!(*seen.lock().expect("no panic"), [Value::Null; 0]);
    // The query does return instances in traffic, and the API ends the maintenance mode of a registration.
    let wanted = instance("host-1:web-1:80", 99);
    ledger.put(&wanted, Some(&reason)).await.expect("registered");
    ledger.disable_maintenance(&wanted.id).await.expect("maintenance mode is disabled");
    let begun = Instant::now();
    while seen.lock().expect("no panic").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the entry passes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(seen.lock().expect("no panic").iter().all(|instance| instance["Service"]["Port"] == 99));
    ledger.put(&wanted, Some(&reason)).await.expect("maintenance mode is enabled by a registration");
    ledger.put(&wanted, None).await.expect("maintenance mode is disabled by a registration");
    assert_eq!(owned(&ledger).await[&wanted.id].out_of_traffic, None);
    watch.abort();
}

#[tokio::test]
async fn the_first_check_has_the_id_from_consul_so_an_adopted_one_keeps_its_state() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let by_registrator = json!({"ID": "host-1:web-1:80", "Name": "web", "Address": "10.9.8.7", "Port": 32768,
        "Check": {"TCP": "10.9.8.7:32768", "Interval": "1h", "Status": "passing"}});
    agent.put("/v1/agent/service/register", by_registrator.to_string()).await;
    let mut wanted = instance("host-1:web-1:80", 32768);
    let probe = CheckProbe::Tcp { address: "10.9.8.7:32768".into() };
    wanted.checks.push(Check { interval: Some("1h".into()), ..Check::new(Check::FIRST, probe) });
    ledger.put(&wanted, None).await.expect("taken over");
    let checks = agent.get("/v1/agent/checks").await;
    assert_eq!(check_ids(&agent).await, set(&["service:host-1:web-1:80"]));
    assert_eq!(checks["service:host-1:web-1:80"]["Status"], "passing");
}

#[tokio::test]
async fn an_unsupported_check_does_not_prevent_the_registration() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut wanted = instance("host-1:web-1:80", 32768);
    let address = || "10.9.8.7:32768".to_owned();
    let every = |key, probe| Check { interval: Some("1h".into()), ..Check::new(key, probe) };
    wanted.checks.push(every("1", CheckProbe::H2ping { address: address(), tls: false, tls_skip_verify: false }));
    wanted.checks.push(every("2", CheckProbe::Tcp { address: address() }));
    ledger.put(&wanted, None).await.expect("registered");
    // Consul 1.10 and later support the first check too.
    assert!(check_ids(&agent).await.contains("service:host-1:web-1:80:2"));
    assert!(owned(&ledger).await[&wanted.id].matches(&wanted), "and the entry is up to date");
}
