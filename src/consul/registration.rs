//! Between [`Instance`] and [`Entry`] and what an agent takes and gives.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{AgentCheck, AgentService, answer::SERVICE_MAINTENANCE};
use crate::registry::{Check, Entries, Entry, Instance, META_PREFIX, Owner, Probe};

/// The Meta key of [`Instance::digest`].
const DIGEST: &str = "portreeve-digest";

/// The body of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceDefinition<'a> {
    /// Unique on the agent.
    #[serde(rename = "ID")]
    pub id: &'a str,
    /// The service's name.
    pub name: &'a str,
    /// Where others reach it.
    pub address: &'a str,
    /// The port that belongs to `address`.
    pub port: u16,
    /// In this order.
    pub tags: &'a [String],
    /// The instance's own and our marks.
    pub meta: BTreeMap<&'a str, &'a str>,
    /// All checks of the service.
    pub checks: Vec<CheckDefinition<'a>>,
}

/// One check in a [`ServiceDefinition`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckDefinition<'a> {
    /// Unique on the agent, and the same at each registration: the check keeps its state then.
    #[serde(rename = "CheckID")]
    pub check_id: String,
    /// The URL of an HTTP check.
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    pub http: Option<&'a str>,
    /// The method of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// The address of a TCP check.
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    pub tcp: Option<&'a str>,
    /// Time between two probes.
    pub interval: &'a str,
    /// How long one probe may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<&'a str>,
    /// Status until the first probe has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'a str>,
    /// The agent removes a service that has been critical for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregister_critical_service_after: Option<&'a str>,
}

/// What is sent for `instance`; `digest` is its own.
pub(super) fn definition<'a>(instance: &'a Instance, digest: &'a str) -> ServiceDefinition<'a> {
    let Owner { engine, container, started } = &instance.owner;
    let marks =
        [(Owner::ENGINE, engine.as_str()), (Owner::CONTAINER, container), (Owner::STARTED, started), (DIGEST, digest)];
    let own = instance.meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let checks = instance.checks.iter().enumerate();
    ServiceDefinition {
        id: &instance.id,
        name: &instance.name,
        address: &instance.address,
        port: instance.port,
        tags: &instance.tags,
        // The marks come last: nobody else's value may stand in their place.
        meta: own.chain(marks).collect(),
        checks: checks.map(|(number, check)| check_definition(&instance.id, number + 1, check)).collect(),
    }
}

fn check_definition<'a>(id: &str, number: usize, check: &'a Check) -> CheckDefinition<'a> {
    let common = CheckDefinition {
        check_id: format!("service:{id}:{number}"),
        interval: &check.interval,
        timeout: check.timeout.as_deref(),
        status: check.initial_status.as_deref(),
        deregister_critical_service_after: check.deregister_after.as_deref(),
        ..CheckDefinition::default()
    };
    match &check.probe {
        Probe::Http { url, method } => CheckDefinition { http: Some(url), method: method.as_deref(), ..common },
        Probe::Tcp { address } => CheckDefinition { tcp: Some(address), ..common },
    }
}

/// All services of an agent, told apart by the mark of `engine`.
pub(super) fn entries(
    services: BTreeMap<String, AgentService>,
    checks: &BTreeMap<String, AgentCheck>,
    engine: &str,
) -> Entries {
    let mut entries = Entries::default();
    for (id, service) in services {
        if service.meta.get(Owner::ENGINE).is_some_and(|owner| owner == engine) {
            entries.owned.insert(id, entry(service, checks));
        } else {
            entries.foreign.insert(id);
        }
    }
    entries
}

fn entry(service: AgentService, checks: &BTreeMap<String, AgentCheck>) -> Entry {
    let out = checks.get(&format!("{SERVICE_MAINTENANCE}{}", service.id)).map(|check| check.notes.clone());
    let mut meta = service.meta;
    let mut take = |key| meta.remove(key).unwrap_or_default();
    let owner = Owner { engine: take(Owner::ENGINE), container: take(Owner::CONTAINER), started: take(Owner::STARTED) };
    let digest = take(DIGEST);
    meta.retain(|key, _| !key.starts_with(META_PREFIX));
    Entry {
        id: service.id,
        name: service.service,
        address: service.address,
        // A port that is none of ours can only be drift, and 0 is never what an instance asks for.
        port: u16::try_from(service.port).unwrap_or(0),
        tags: service.tags,
        meta,
        owner,
        digest,
        out,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;

    fn instance() -> Instance {
        Instance {
            id: "host-1:web-1:80".into(),
            name: "web".into(),
            address: "10.0.0.1".into(),
            port: 32768,
            tags: vec!["b".into(), "a".into()],
            meta: BTreeMap::from([("host".into(), "a.example".into())]),
            checks: Vec::new(),
            owner: Owner { engine: "E".into(), container: "C".into(), started: "T".into() },
            out: None,
        }
    }

    fn body(instance: &Instance) -> Value {
        serde_json::to_value(definition(instance, "D")).expect("a body")
    }

    #[test]
    fn the_body_says_everything_and_nothing_else() {
        let marks = json!({"portreeve-engine": "E", "portreeve-container": "C", "portreeve-started": "T",
            "portreeve-digest": "D", "host": "a.example"});
        let expected = json!({"ID": "host-1:web-1:80", "Name": "web", "Address": "10.0.0.1", "Port": 32768,
            "Tags": ["b", "a"], "Meta": marks, "Checks": []});
        assert_eq!(body(&instance()), expected);
    }

    #[test]
    fn nobody_can_forge_our_marks() {
        let mut forged = instance();
        forged.meta.insert(Owner::ENGINE.into(), "somebody else".into());
        assert_eq!(body(&forged)["Meta"][Owner::ENGINE], "E");
    }

    #[test]
    fn each_check_has_an_id_of_its_own_and_only_what_was_asked_for() {
        let mut checked = instance();
        let http = Probe::Http { url: "http://10.0.0.1:32768/up".into(), method: Some("HEAD".into()) };
        let tcp = Probe::Tcp { address: "10.0.0.1:32768".into() };
        let bare = |probe, interval: &str| Check {
            probe,
            interval: interval.into(),
            timeout: None,
            initial_status: None,
            deregister_after: None,
        };
        let full = Check {
            timeout: Some("2s".into()),
            initial_status: Some("passing".into()),
            deregister_after: Some("10m".into()),
            ..bare(http, "5s")
        };
        checked.checks = vec![full, bare(tcp, "10s")];
        let expected = json!([
            {"CheckID": "service:host-1:web-1:80:1", "HTTP": "http://10.0.0.1:32768/up", "Method": "HEAD",
             "Interval": "5s", "Timeout": "2s", "Status": "passing", "DeregisterCriticalServiceAfter": "10m"},
            {"CheckID": "service:host-1:web-1:80:2", "TCP": "10.0.0.1:32768", "Interval": "10s"},
        ]);
        assert_eq!(body(&checked)["Checks"], expected);
    }

    /// What an agent would list after it took `instance`.
    fn listed(instance: &Instance) -> AgentService {
        let mut body = body(instance);
        body["Service"] = body["Name"].take();
        body["Meta"][DIGEST] = instance.digest().into();
        serde_json::from_value(body).expect("a service")
    }

    #[test]
    fn what_was_sent_comes_back_as_the_entry_that_was_expected() {
        let instance = instance();
        let found = entry(listed(&instance), &BTreeMap::new());
        assert_eq!(found, Entry::registered(&instance));
        assert!(found.matches(&instance));
    }

    #[test]
    fn maintenance_mode_is_out_of_traffic_with_its_reason() {
        let check = AgentCheck { notes: "portreeve: draining".into(), ..AgentCheck::default() };
        let of = |id: &str| BTreeMap::from([(format!("_service_maintenance:{id}"), check.clone())]);
        assert_eq!(entry(listed(&instance()), &of("host-1:web-1:80")).out.as_deref(), Some("portreeve: draining"));
        assert_eq!(entry(listed(&instance()), &of("host-1:web-1:81")).out, None);
    }

    #[test]
    fn only_what_carries_the_engines_mark_is_ours() {
        let mut foreign = listed(&instance());
        foreign.meta.insert(Owner::ENGINE.into(), "another".into());
        let unmarked = AgentService { meta: BTreeMap::new(), ..listed(&instance()) };
        let services = BTreeMap::from([
            ("ours".to_owned(), listed(&instance())),
            ("foreign".to_owned(), foreign),
            ("unmarked".to_owned(), unmarked),
        ]);
        let found = entries(services, &BTreeMap::new(), "E");
        assert_eq!(found.owned, BTreeMap::from([("ours".to_owned(), Entry::registered(&instance()))]));
        assert_eq!(found.foreign, BTreeSet::from(["foreign".to_owned(), "unmarked".to_owned()]));
    }

    #[test]
    fn drift_is_seen() {
        let instance = instance();
        let drift: [fn(&mut AgentService); 5] = [
            |service| service.port = 1,
            |service| service.port = -1,
            |service| service.address.clear(),
            |service| service.tags.reverse(),
            |service| service.meta.retain(|key, _| key != DIGEST),
        ];
        for (number, change) in drift.iter().enumerate() {
            let mut service = listed(&instance);
            change(&mut service);
            assert!(!entry(service, &BTreeMap::new()).matches(&instance), "change {number}");
        }
    }
}
