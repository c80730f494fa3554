//! Watches of services and keys.

use portreeve::{
    consul::ConsulLedger,
    registry::{Answer, Instance, Ledger, Query, Scope, ServiceQuery, Status},
};
use reqwest::Method;

use crate::{
    client,
    dev_agent::DevAgent,
    ledger::instance,
    watched::{Watched, key, service},
};

fn web() -> ServiceQuery {
    ServiceQuery { name: "web".into(), ..ServiceQuery::default() }
}

#[tokio::test]
async fn instances_are_registered_and_removed() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut watched = Watched::new(client(&agent.address()));
    let web = service("web");
    let running = watched.watch(&web);
    watched.until_ids(&web, &[]).await;

    ledger.put(&instance("web-2", 2), None).await.expect("registered");
    ledger.put(&instance("web-1", 1), None).await.expect("registered");
    let records = watched.until_ids(&web, &["web-1", "web-2"]).await;
    let first = &records[0];
    assert_eq!((first.address.as_str(), first.port, first.node_address.as_str()), ("10.9.8.7", 1, "127.0.0.1"));
    assert_eq!((first.status, first.healthy, first.weight), (Status::Passing, true, 10));
    assert_eq!(first.tags, ["blue", "v1"]);
    assert_eq!(first.meta["host"], "a.example");

    ledger.enable_maintenance("web-1", "portreeve: draining").await.expect("maintenance mode is enabled");
    watched.until_ids(&web, &["web-2"]).await;
    ledger.disable_maintenance("web-1").await.expect("maintenance mode is disabled");
    watched.until_ids(&web, &["web-1", "web-2"]).await;

    ledger.remove("web-2").await.expect("removed");
    watched.until_ids(&web, &["web-1"]).await;
    ledger.remove("web-1").await.expect("removed");
    watched.until_ids(&web, &[]).await;

    running.stop().await;
    assert!(watched.known(&web).is_some(), "the last answer stays after the watch has stopped");
}

#[tokio::test]
async fn instances_are_selected_by_tag_and_status() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let blue = Instance { tags: vec!["blue".into()], ..instance("web-1", 1) };
    let green = Instance { tags: vec!["green".into()], address: String::new(), ..instance("web-2", 2) };
    for instance in [&blue, &green] {
        ledger.put(instance, None).await.expect("registered");
    }
    let mut watched = Watched::new(client(&agent.address()));
    let green = Query::Service(ServiceQuery { tag: Some("green".into()), passing: true, ..web() });
    let any = Query::Service(ServiceQuery { scope: Scope { dc: Some("dc1".into()), ..Scope::default() }, ..web() });
    let _running = [watched.watch(&green), watched.watch(&any)];
    let records = watched.until_ids(&green, &["web-2"]).await;
    assert_eq!(records[0].address, "127.0.0.1", "an instance without an address has that of its node");

    watched.until_ids(&any, &["web-1", "web-2"]).await;
    ledger.enable_maintenance("web-1", "why").await.expect("maintenance mode is enabled");
    let out = |answer: &Answer| matches!(answer, Answer::Service(records) if !records[0].healthy);
    let answer = watched.until(&any, out).await;
    assert_eq!(crate::watched::records(&answer)[0].status, Status::Maintenance);

    agent.put("/v1/agent/maintenance?enable=true", "").await;
    let all = |answer: &Answer| matches!(answer, Answer::Service(records) if records[1].status == Status::Maintenance);
    watched.until(&any, all).await;
    watched.until_ids(&green, &[]).await;
}

#[tokio::test]
async fn failing_and_warning_checks_change_the_status() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(client(&agent.address()));
    let any = Query::Service(web());
    let _running = watched.watch(&any);
    agent.put("/v1/agent/service/register", r#"{"Name": "web", "Check": {"CheckID": "c", "TTL": "1h"}}"#).await;
    for (call, status) in [("warn", Status::Warning), ("pass", Status::Passing), ("fail", Status::Critical)] {
        agent.put(&format!("/v1/agent/check/{call}/c"), "").await;
        let reached = |answer: &Answer| crate::watched::records(answer).iter().any(|record| record.status == status);
        let answer = watched.until(&any, reached).await;
        assert_eq!(crate::watched::records(&answer)[0].healthy, status == Status::Passing);
    }
}

#[tokio::test]
async fn services_have_sorted_tags() {
    let agent = DevAgent::start().await;
    let ledger = ConsulLedger::new(client(&agent.address()));
    let mut watched = Watched::new(client(&agent.address()));
    let services = Query::services();
    let _running = watched.watch(&services);
    ledger.put(&instance("web-1", 1), None).await.expect("registered");
    let known = |answer: &Answer| matches!(answer, Answer::Services(all) if all.contains_key("web"));
    let answer = watched.until(&services, known).await;
    let Answer::Services(all) = &*answer else { panic!("{answer:?}") };
    assert_eq!(all["web"], ["blue", "v1"]);
    assert_eq!(all["consul"], [] as [&str; 0]);
    ledger.remove("web-1").await.expect("removed");
    watched.until(&services, |answer| !known(answer)).await;
}

#[tokio::test]
async fn a_key_is_set_changed_emptied_and_deleted() {
    let agent = DevAgent::start().await;
    let mut watched = Watched::new(client(&agent.address()));
    for (name, path) in
        [("app/config", "app/config"), ("odd/k e?y#%&+ü", "odd/k%20e%3Fy%23%25%26%2B%C3%BC"), ("folder/", "folder/")]
    {
        let query = key(name);
        let running = watched.watch(&query);
        watched.until_key(&query, None).await;
        for value in ["one", "zwei: ü\n", ""] {
            agent.put(&format!("/v1/kv/{path}"), value).await;
            watched.until_key(&query, Some(value)).await;
        }
        agent.call(Method::DELETE, &format!("/v1/kv/{path}"), "").await;
        watched.until_key(&query, None).await;
        running.stop().await;
    }
}
