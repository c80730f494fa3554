//! Tests of registrations, and of the entries read back.

use serde_json::{Value, json};

use super::*;
use crate::registry::StatusReport;

fn instance() -> Instance {
    Instance {
        id: "host-1:web-1:80".into(),
        name: "web".into(),
        address: "10.0.0.1".into(),
        port: 32768,
        tags: vec!["b".into(), "a".into()],
        meta: BTreeMap::from([("host".into(), "a.example".into())]),
        tagged_addresses: BTreeMap::new(),
        weights: None,
        tag_override: false,
        checks: Vec::new(),
        reports: BTreeMap::new(),
        owner: Owner { engine: "E".into(), host: "H".into(), container: "C".into(), started: "T".into() },
        out_of_traffic: None,
    }
}

fn body(instance: &Instance) -> Value {
    serde_json::to_value(service_definition(instance, "D", None)).expect("a body")
}

#[test]
fn the_body_contains_all_set_fields_and_no_others() {
    let meta = json!({"portreeve-engine": "E", "portreeve-host": "H", "portreeve-container": "C", "portreeve-started": "T",
        "portreeve-digest": "D", "host": "a.example"});
    let expected = json!({"ID": "host-1:web-1:80", "Name": "web", "Address": "10.0.0.1", "Port": 32768,
        "Tags": ["b", "a"], "Meta": meta, "Checks": []});
    assert_eq!(body(&instance()), expected);
}

#[test]
fn meta_of_an_instance_cannot_replace_the_owner() {
    let mut forged = instance();
    forged.meta.insert(Owner::ENGINE_KEY.into(), "another engine".into());
    assert_eq!(body(&forged)["Meta"][Owner::ENGINE_KEY], "E");
}

#[test]
fn each_check_has_its_own_id_and_only_the_set_fields() {
    let mut checked = instance();
    let http = CheckProbe::Http {
        url: "http://10.0.0.1:32768/up".into(),
        method: Some("HEAD".into()),
        header: BTreeMap::from([("Host".into(), vec!["a".into()])]),
        body: None,
        tls_skip_verify: true,
    };
    let bare = |key: &str, probe, interval: &str| Check {
        interval: Some(interval.into()).filter(|interval: &String| !interval.is_empty()),
        ..Check::new(key, probe)
    };
    let full = Check {
        name: Some("up".into()),
        timeout: Some("2s".into()),
        initial_status: Some("passing".into()),
        deregister_after: Some("10m".into()),
        success_before_passing: Some(2),
        failures_before_critical: Some(3),
        ..bare("1", http, "5s")
    };
    let address = || "10.0.0.1:32768".to_owned();
    let words = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    checked.checks = vec![
        full,
        bare("2", CheckProbe::Tcp { address: address() }, "10s"),
        bare("3", CheckProbe::Grpc { address: address(), tls: true, tls_skip_verify: false }, "10s"),
        bare("4", CheckProbe::H2ping { address: address(), tls: false, tls_skip_verify: false }, "10s"),
        bare("5", CheckProbe::Script { arguments: words("a b") }, "10s"),
        bare("6", CheckProbe::Docker { container: "C".into(), shell: None, arguments: words("x") }, "10s"),
        bare("docker", CheckProbe::Report { ttl: "168h".into() }, ""),
    ];
    checked.reports =
        BTreeMap::from([("docker".to_owned(), StatusReport { status: Status::Warning, output: "degraded".into() })]);
    let expected = json!([
        {"CheckID": "service:host-1:web-1:80:1", "Name": "up", "HTTP": "http://10.0.0.1:32768/up", "Method": "HEAD",
         "Header": {"Host": ["a"]}, "TLSSkipVerify": true, "Interval": "5s", "Timeout": "2s", "Status": "passing",
         "DeregisterCriticalServiceAfter": "10m", "SuccessBeforePassing": 2, "FailuresBeforeCritical": 3},
        {"CheckID": "service:host-1:web-1:80:2", "TCP": "10.0.0.1:32768", "Interval": "10s"},
        {"CheckID": "service:host-1:web-1:80:3", "GRPC": "10.0.0.1:32768", "GRPCUseTLS": true, "Interval": "10s"},
        {"CheckID": "service:host-1:web-1:80:4", "H2PING": "10.0.0.1:32768", "H2PingUseTLS": false, "Interval": "10s"},
        {"CheckID": "service:host-1:web-1:80:5", "Args": ["a", "b"], "Interval": "10s"},
        {"CheckID": "service:host-1:web-1:80:6", "DockerContainerID": "C", "Args": ["x"], "Interval": "10s"},
        {"CheckID": "service:host-1:web-1:80:docker", "TTL": "168h", "Status": "warning"},
    ]);
    assert_eq!(body(&checked)["Checks"], expected);
}

/// The service as an agent lists it after the registration of `instance`.
fn listed(instance: &Instance) -> AgentService {
    let mut body = body(instance);
    body["Service"] = body["Name"].take();
    body["Meta"][DIGEST_KEY] = instance.digest().into();
    serde_json::from_value(body).expect("a service")
}

#[test]
fn a_listed_registration_matches_its_instance() {
    let instance = instance();
    let found = entry(listed(&instance), &BTreeMap::new());
    assert_eq!(found, Entry::expected(&instance));
    assert!(found.matches(&instance));
}

#[test]
fn optional_fields_are_sent_if_they_are_set() {
    let mut full = instance();
    full.tagged_addresses.insert("lan_ipv4".into(), ("10.0.0.1".into(), 80));
    full.weights = Some(Weights { passing: 10, warning: 0 });
    full.tag_override = true;
    let body = body(&full);
    assert_eq!(body["TaggedAddresses"], json!({"lan_ipv4": {"Address": "10.0.0.1", "Port": 80}}));
    assert_eq!(body["Weights"], json!({"Passing": 10, "Warning": 0}));
    assert_eq!(body["EnableTagOverride"], json!(true));
    let mut found = entry(listed(&full), &BTreeMap::new());
    found.tags = vec!["by-others".into()];
    assert!(found.matches(&full), "others may change the tags");
}

#[test]
fn the_status_of_reported_checks_is_found_by_key() {
    let check = |status: &str| AgentCheck { status: status.into(), ..AgentCheck::default() };
    let checks = BTreeMap::from([
        ("service:host-1:web-1:80".to_owned(), check("critical")),
        ("service:host-1:web-1:80:docker".to_owned(), check("passing")),
        ("service:host-1:web-1:801:docker".to_owned(), check("critical")),
    ]);
    let found = entry(listed(&instance()), &checks).reported_statuses;
    assert_eq!(found, BTreeMap::from([("docker".to_owned(), Status::Passing)]));
}

#[test]
fn maintenance_mode_is_read_with_its_reason() {
    let check = AgentCheck { notes: "portreeve: draining".into(), ..AgentCheck::default() };
    let of = |id: &str| BTreeMap::from([(format!("_service_maintenance:{id}"), check.clone())]);
    assert_eq!(
        entry(listed(&instance()), &of("host-1:web-1:80")).out_of_traffic.as_deref(),
        Some("portreeve: draining")
    );
    assert_eq!(entry(listed(&instance()), &of("host-1:web-1:81")).out_of_traffic, None);
}

#[test]
fn maintenance_mode_is_a_check_of_the_registration() {
    let instance = instance();
    let body = serde_json::to_value(service_definition(&instance, "D", Some("portreeve: draining"))).expect("a body");
    let check = json!({"CheckID": "_service_maintenance:host-1:web-1:80", "Name": "Service Maintenance Mode",
        "Notes": "portreeve: draining", "TTL": "87600h", "Status": "critical"});
    assert_eq!(body["Checks"], json!([check]));
}

#[test]
fn only_services_with_an_owner_are_owned() {
    let mut other = listed(&instance());
    other.meta.insert(Owner::ENGINE_KEY.into(), "another".into());
    let unmarked = AgentService { meta: BTreeMap::new(), ..listed(&instance()) };
    let services = BTreeMap::from([("other".to_owned(), other), ("unmarked".to_owned(), unmarked)]);
    let found = entries(services, &BTreeMap::new());
    assert_eq!(found.owned["other"].owner.engine, "another");
    assert_eq!(found.foreign, BTreeMap::from([("unmarked".to_owned(), None)]));
}

#[test]
fn a_changed_service_does_not_match() {
    let instance = instance();
    let changes: [fn(&mut AgentService); 5] = [
        |service| service.port = 1,
        |service| service.port = -1,
        |service| service.address.clear(),
        |service| service.tags.reverse(),
        |service| service.meta.retain(|key, _| key != DIGEST_KEY),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut service = listed(&instance);
        change(&mut service);
        assert!(!entry(service, &BTreeMap::new()).matches(&instance), "change {number}");
    }
}
