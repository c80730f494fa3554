//! Faults that a real agent cannot produce, or not at the right time.

use std::time::{Duration, Instant};

use portreeve::{
    consul::{Client, Settings},
    registry::{Answer, Query, Scope, ServiceQuery},
};
use tokio::net::TcpListener;

use crate::{
    client,
    fake::{FakeAgent, ReceivedRequest},
    settings,
    watched::{Watched, key, service},
};

const LEADER: (&str, &str) = ("x-consul-knownleader", "true");

/// A watch of the key `k` that has received the value `good` at index 10, and its next request.
async fn started_watch(fake: &mut FakeAgent) -> (Watched, Query, crate::watched::Running, ReceivedRequest) {
    let mut watched = Watched::new(client(&fake.address()));
    let query = key("k");
    let running = watched.watch(&query);
    let first = fake.next().await;
    assert_eq!((first.path.as_str(), first.index()), ("/v1/kv/k", None));
    first.index_and_body(10, "good");
    watched.until_key(&query, Some("good")).await;
    let next = fake.next().await;
    assert_eq!((next.index(), next.query["wait"].as_str()), (Some("10"), "30000ms"));
    (watched, query, running, next)
}

#[tokio::test]
async fn errors_keep_the_last_answer_and_reset_the_index() {
    let mut fake = FakeAgent::start().await;
    let (mut watched, query, _running, mut request) = started_watch(&mut fake).await;
    let good = watched.known(&query);
    for (status, body) in
        [(500, "No cluster leader"), (429, "slow down"), (403, "Permission denied"), (502, ""), (301, "")]
    {
        request.answer(status, &[("x-consul-index", "99"), ("location", "/elsewhere")], body);
        request = fake.next().await;
        assert_eq!((request.path.as_str(), request.index()), ("/v1/kv/k", None), "after {status}");
        assert_eq!(watched.known(&query), good, "after {status}");
    }
    request.index_and_body(11, "better");
    watched.until_key(&query, Some("better")).await;
    assert_eq!(fake.next().await.index(), Some("11"));
}

#[tokio::test]
async fn a_lower_index_is_accepted_only_after_another_fetch() {
    let mut fake = FakeAgent::start().await;
    let (mut watched, query, _running, request) = started_watch(&mut fake).await;
    request.index_and_body(5, "not confirmed");
    let request = fake.next().await;
    assert_eq!(request.index(), None);
    watched.until_key(&query, Some("good")).await;
    request.index_and_body(5, "confirmed");
    watched.until_key(&query, Some("confirmed")).await;
    assert_eq!(fake.next().await.index(), Some("5"));
}

#[tokio::test]
async fn an_index_of_zero_counts_as_one() {
    let mut fake = FakeAgent::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = key("k");
    let _running = watched.watch(&query);
    fake.next().await.index_and_body(0, "zero");
    watched.until_key(&query, Some("zero")).await;
    assert_eq!(fake.next().await.index(), Some("1"));
}

#[tokio::test]
async fn a_query_without_an_index_is_polled() {
    let mut fake = FakeAgent::start().await;
    let poll = Duration::from_secs(1);
    let mut watched = Watched::new(Client::new(&Settings { poll, ..settings(&fake.address()) }).expect("a client"));
    // The only query whose response has no index.
    let query = Query::Datacenters { reachable: false };
    let _running = watched.watch(&query);
    let mut answered: Option<Instant> = None;
    for value in ["one", "two", "three"] {
        let request = fake.next().await;
        assert_eq!((request.index(), request.query.contains_key("wait")), (None, false));
        // The interval may be longer than configured, but never shorter.
        assert!(answered.is_none_or(|answered| answered.elapsed() >= poll), "a busy loop");
        answered = Some(Instant::now());
        request.answer(200, &[], &format!("[{value:?}]"));
        watched.until(&query, |answer| *answer == Answer::Datacenters(vec![value.to_owned()])).await;
    }
}

/// A login page, a maintenance page or the response of another program is never an answer.
#[tokio::test]
async fn a_response_without_an_index_is_an_error() {
    let mut fake = FakeAgent::start().await;
    let watched = Watched::new(client(&fake.address()));
    let scope = Scope::default();
    let queries = [
        (key("k"), "s3cret"),
        (service("web"), "[]"),
        (Query::Keys { prefix: "a/".into(), scope: scope.clone() }, "[]"),
        (Query::Services { filter: None, scope: scope.clone() }, "{}"),
        (Query::Nodes { near: None, filter: None, scope: scope.clone() }, "[]"),
        (Query::Node { name: Some("n".into()), scope: scope.clone() }, "{\"Node\": null, \"Services\": null}"),
        (Query::Prepared { name: "q".into(), near: None, scope }, "{\"Nodes\": []}"),
        (Query::CaRoots, "{\"ActiveRootID\": \"a\", \"TrustDomain\": \"t\", \"Roots\": null}"),
        (Query::Datacenters { reachable: false }, "[]"),
    ];
    for (query, plausible) in queries {
        let running = watched.watch(&query);
        for page in [plausible, "<html><form action=/login>"] {
            fake.next().await.answer(200, &[], page);
        }
        // The next request shows that the last response was handled.
        assert_eq!(fake.next().await.index(), None, "{query}");
        assert_eq!(watched.known(&query), None, "{query}");
        running.stop().await;
    }
}

/// With an index, as from another program with such a header, the JSON must still have the right form.
#[tokio::test]
async fn json_of_another_form_is_an_error() {
    let mut fake = FakeAgent::start().await;
    let watched = Watched::new(client(&fake.address()));
    let query = service("web");
    let _running = watched.watch(&query);
    for body in ["[{}]", "[{\"id\": 1}]", "[{\"Node\": {}, \"Service\": {}}]", "null", "7"] {
        fake.next().await.index_and_body(10, body);
    }
    drop(fake.next().await);
    assert_eq!(watched.known(&query), None);
}

#[tokio::test]
async fn parameters_of_newer_versions_are_sent_as_documented() {
    let mut fake = FakeAgent::start().await;
    let watched = Watched::new(client(&fake.address()));
    let text = |text: &str| Some(text.to_owned());
    let scope = Scope { dc: text("dc2"), namespace: text("team"), partition: text("part") };
    let web = ServiceQuery { name: "web".into(), scope: scope.clone(), ..ServiceQuery::default() };
    let peer = Query::Service(ServiceQuery { peer: text("east"), connect: true, ..web.clone() });
    let group = Query::Service(ServiceQuery { sameness_group: text("all"), near: text("_agent"), ..web });
    let services = Query::Services { filter: text("ServiceName != \"a\""), scope: scope.clone() };
    let nodes = Query::Nodes { near: None, filter: text("Meta.a == b"), scope: scope.clone() };
    let keys = Query::Keys { prefix: "a b/".into(), scope: scope.clone() };
    let node = Query::Node { name: text("n/1"), scope: scope.clone() };
    let prepared = Query::Prepared { name: "q".into(), near: text("n1"), scope };
    let scope_parameters = "dc=dc2 ns=team partition=part";
    for (query, path, parameters) in [
        (peer, "/v1/health/connect/web", format!("{scope_parameters} peer=east")),
        (group, "/v1/health/service/web", "dc=dc2 near=_agent ns=team partition=part sg=all".to_owned()),
        (services, "/v1/catalog/services", "dc=dc2 filter=ServiceName != \"a\" ns=team partition=part".to_owned()),
        (nodes, "/v1/catalog/nodes", "dc=dc2 filter=Meta.a == b ns=team partition=part".to_owned()),
        (keys, "/v1/kv/a%20b/", format!("{scope_parameters} recurse=")),
        (node, "/v1/catalog/node-services/n%2F1", scope_parameters.to_owned()),
        (prepared, "/v1/query/q/execute", "dc=dc2 near=n1 ns=team partition=part".to_owned()),
    ] {
        let running = watched.watch(&query);
        let request = fake.next().await;
        assert_eq!(request.path, path);
        let pairs: Vec<_> = request.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs.join(" "), parameters, "{query}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_query_takes_precedence_over_the_settings() {
    let mut fake = FakeAgent::start().await;
    let ours = Settings { namespace: Some("ours".into()), partition: Some("p".into()), ..settings(&fake.address()) };
    let watched = Watched::new(Client::new(&ours).expect("a client"));
    let scope = Scope { namespace: Some("theirs".into()), ..Scope::default() };
    let _running = watched.watch(&Query::Services { filter: None, scope });
    let request = fake.next().await;
    assert_eq!((request.query["ns"].as_str(), request.query["partition"].as_str()), ("theirs", "p"));
}

#[tokio::test]
async fn the_own_node_needs_two_calls() {
    let mut fake = FakeAgent::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = Query::Node { name: None, scope: Scope::default() };
    let _running = watched.watch(&query);
    let request = fake.next().await;
    assert_eq!(request.path, "/v1/agent/self");
    request.answer(200, &[], r#"{"Config": {"NodeName": "n1"}, "Member": {"Addr": "10.0.0.1"}}"#);
    let request = fake.next().await;
    assert_eq!(request.path, "/v1/catalog/node-services/n1");
    request.index_and_body(5, r#"{"Node": {"Node": "n1"}, "Services": []}"#);
    watched.until(&query, |answer| matches!(answer, Answer::Node(Some(found)) if found.node.node == "n1")).await;
}

#[tokio::test]
async fn unreachable_datacenters_are_left_out_unless_all_are() {
    let mut fake = FakeAgent::start().await;
    let soon = Settings { poll: Duration::from_secs(1), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&soon).expect("a client"));
    let query = Query::Datacenters { reachable: true };
    let _running = watched.watch(&query);
    for (statuses, expected) in [
        ([200, 500, 200], vec!["dc1", "dc3"]),
        ([500, 500, 500], vec!["dc1", "dc3"]),
        ([200, 429, 200], vec!["dc1", "dc3"]),
        ([200, 403, 200], vec!["dc1", "dc3"]),
        ([500, 200, 500], vec!["dc2"]),
    ] {
        let request = fake.next().await;
        assert_eq!(request.path, "/v1/catalog/datacenters");
        request.answer(200, &[], r#"["dc3", "dc1", "dc2"]"#);
        for _ in 0..3 {
            let request = fake.next().await;
            assert_eq!(request.path, "/v1/catalog/services");
            let number: usize = request.query["dc"][2..].parse().expect("a number");
            request.answer(statuses[number - 1], &[("x-consul-index", "1"), LEADER], "{}");
        }
        let names = Answer::Datacenters(expected.into_iter().map(str::to_owned).collect());
        watched.until(&query, |answer| *answer == names).await;
    }
}

#[tokio::test]
async fn a_filtered_response_is_accepted_and_marked() {
    let mut fake = FakeAgent::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = Query::Nodes { near: None, filter: None, scope: Scope::default() };
    let _running = watched.watch(&query);
    let hidden = [("x-consul-index", "3"), LEADER, ("x-consul-results-filtered-by-acls", "true")];
    fake.next().await.answer(200, &hidden, r#"[{"Node": "seen"}]"#);
    watched.until(&query, |answer| matches!(answer, Answer::Nodes(nodes) if nodes[0].node == "seen")).await;
    let read = portreeve::consul::QueryOptions::default();
    let client = client(&fake.address());
    let (reply, ()) = tokio::join!(client.catalog_nodes(None, None, &read), async {
        loop {
            let request = fake.next().await;
            if request.index().is_none() {
                break request.answer(200, &hidden, "[]");
            }
        }
    });
    assert!(reply.expect("an answer").meta.filtered);
}

#[tokio::test]
async fn certificates_need_no_leader_and_have_no_datacenter() {
    let mut fake = FakeAgent::start().await;
    let elsewhere = Settings { datacenter: Some("dc2".into()), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&elsewhere).expect("a client"));
    let _running = watched.watch(&Query::CaRoots);
    let request = fake.next().await;
    assert_eq!((request.path.as_str(), request.query.len()), ("/v1/agent/connect/ca/roots", 0));
    // A response from the cache of the agent has this header.
    let cached = [("x-consul-index", "9"), ("x-consul-knownleader", "false"), ("x-cache", "HIT")];
    request.answer(200, &cached, r#"{"ActiveRootID": "a", "TrustDomain": "t", "Roots": null}"#);
    watched.until(&Query::CaRoots, |answer| matches!(answer, Answer::CaRoots(_))).await;
    assert_eq!(fake.next().await.index(), Some("9"));
}

#[tokio::test]
async fn a_file_query_is_not_sent() {
    let mut fake = FakeAgent::start().await;
    let watched = Watched::new(client(&fake.address()));
    let file = Query::File { path: "/etc/hosts".into() };
    let _running = [&file, &key("k")].map(|query| watched.watch(query));
    assert_eq!(fake.next().await.path, "/v1/kv/k");
    assert_eq!(watched.known(&file), None);
}

#[tokio::test]
async fn a_response_without_a_leader_is_rejected() {
    let mut fake = FakeAgent::start().await;
    let (mut watched, query, _running, request) = started_watch(&mut fake).await;
    request.answer(200, &[("x-consul-index", "12"), ("x-consul-knownleader", "false")], "old");
    let request = fake.next().await;
    assert_eq!(request.index(), None);
    watched.until_key(&query, Some("good")).await;
    request.answer(404, &[("x-consul-index", "13"), LEADER], "");
    watched.until_key(&query, None).await;
}

#[tokio::test]
async fn a_404_that_is_not_from_consul_deletes_nothing() {
    let mut fake = FakeAgent::start().await;
    let (mut watched, query, _running, request) = started_watch(&mut fake).await;
    request.answer(404, &[], "<html>no such page</html>");
    let request = fake.next().await;
    watched.until_key(&query, Some("good")).await;
    request.index_and_body(11, "better");
    watched.until_key(&query, Some("better")).await;
}

#[tokio::test]
async fn a_malformed_response_is_rejected() {
    let mut fake = FakeAgent::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = service("web");
    let _running = watched.watch(&query);
    for body in ["<html>", "{}", "[{\"Service\": 7}]"] {
        fake.next().await.index_and_body(10, body);
    }
    let request = fake.next().await;
    assert_eq!((request.index(), watched.known(&query)), (None, None));
    assert_eq!((request.path.as_str(), request.query["passing"].as_str()), ("/v1/health/service/web", "1"));
    request.index_and_body(10, "[]");
    watched.until_ids(&query, &[]).await;
}

#[tokio::test]
async fn a_stalled_request_is_cancelled() {
    let mut fake = FakeAgent::start().await;
    let settings = Settings { wait: Duration::from_secs(1), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&settings).expect("a client"));
    let query = key("k");
    let _running = watched.watch(&query);
    fake.next().await.index_and_body(10, "good");
    fake.next().await.abandoned().await;
    fake.next().await.index_and_body(11, "better");
    watched.until_key(&query, Some("better")).await;
}

#[tokio::test]
async fn a_stopped_watch_cancels_its_query() {
    let mut fake = FakeAgent::start().await;
    let (watched, query, running, request) = started_watch(&mut fake).await;
    tokio::join!(running.stop(), request.abandoned());
    assert!(watched.known(&query).is_some());
}

#[tokio::test]
async fn broken_connections_are_reopened() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut watched = Watched::new(client(&format!("http://{}", listener.local_addr().expect("an address"))));
    let query = key("k");
    let _running = watched.watch(&query);
    for _ in 0..3 {
        drop(listener.accept().await.expect("a connection"));
    }
    let mut fake = FakeAgent::on(listener);
    fake.next().await.index_and_body(10, "good");
    watched.until_key(&query, Some("good")).await;
}

#[tokio::test]
async fn stale_answers_are_accepted_up_to_the_limit() {
    let mut fake = FakeAgent::start().await;
    let settings = Settings { max_stale: Some(Duration::from_secs(2)), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&settings).expect("a client"));
    let query = key("k");
    let _running = watched.watch(&query);
    let request = fake.next().await;
    assert!(request.query.contains_key("stale"));
    request.answer(200, &[("x-consul-index", "10"), LEADER, ("x-consul-lastcontact", "1500")], "fresh");
    watched.until_key(&query, Some("fresh")).await;
    let request = fake.next().await;
    assert!(request.query.contains_key("stale"));
    request.answer(200, &[("x-consul-index", "11"), LEADER, ("x-consul-lastcontact", "2500")], "too old");
    let request = fake.next().await;
    assert_eq!(
        (request.query.contains_key("stale"), request.index()),
        (false, Some("10")),
        "now the leader must answer"
    );
    watched.until_key(&query, Some("fresh")).await;
    request.index_and_body(12, "the leader's");
    watched.until_key(&query, Some("the leader's")).await;
    assert!(fake.next().await.query.contains_key("stale"));
}

#[tokio::test]
async fn a_request_contains_credentials_and_scope() {
    let mut fake = FakeAgent::start().await;
    let settings = Settings {
        datacenter: Some("dc2".into()),
        token: Some("t0ken".into()),
        http_auth: Some("me:pass:word".into()),
        namespace: Some("team".into()),
        partition: Some("part".into()),
        ..settings(&format!("{}/behind/a/proxy/", fake.address()))
    };
    let watched = Watched::new(Client::new(&settings).expect("a client"));
    let tagged =
        Query::Service(ServiceQuery { name: "we/b".into(), tag: Some("a&b".into()), ..ServiceQuery::default() });
    let elsewhere = Query::Services { filter: None, scope: Scope { dc: Some("dc3".into()), ..Scope::default() } };
    let _first = watched.watch(&tagged);
    let request = fake.next().await;
    assert_eq!(request.path, "/behind/a/proxy/v1/health/service/we%2Fb");
    let query: Vec<_> = request.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(query, [("dc", "dc2"), ("ns", "team"), ("partition", "part"), ("tag", "a&b")]);
    assert_eq!(request.headers["x-consul-token"], "t0ken");
    assert_eq!(request.headers["authorization"], "Basic bWU6cGFzczp3b3Jk");
    let _second = watched.watch(&elsewhere);
    let request = fake.next().await;
    assert_eq!((request.path.as_str(), request.query["dc"].as_str()), ("/behind/a/proxy/v1/catalog/services", "dc3"));
    request.index_and_body(1, r#"{"b": ["z", "a"], "a": null}"#);
    let mut watched = watched;
    let answer = watched.until(&elsewhere, |_| true).await;
    let expected = [("a", vec![]), ("b", vec!["a", "z"])];
    let expected = expected.map(|(name, tags)| (name.to_owned(), tags.into_iter().map(ToOwned::to_owned).collect()));
    assert_eq!(*answer, Answer::Services(expected.into()));
}
