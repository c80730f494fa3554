//! What a real agent cannot be made to do, or not at the right moment.

use std::time::{Duration, Instant};

use portreeve::{
    consul::{Client, Settings},
    registry::{Answer, Query, Scope, ServiceQuery},
};
use tokio::net::TcpListener;

use crate::{
    client,
    fake::{Asked, Fake},
    settings,
    watched::{Watched, key, service},
};

const LEADER: (&str, &str) = ("x-consul-knownleader", "true");

/// A watch on key `k` that has seen the value `good` at index 10, and its next request.
async fn watching(fake: &mut Fake) -> (Watched, Query, crate::watched::Running, Asked) {
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
async fn errors_leave_the_last_answer_and_the_next_query_starts_afresh() {
    let mut fake = Fake::start().await;
    let (mut watched, query, _running, mut asked) = watching(&mut fake).await;
    let good = watched.known(&query);
    for (status, body) in
        [(500, "No cluster leader"), (429, "slow down"), (403, "Permission denied"), (502, ""), (301, "")]
    {
        asked.answer(status, &[("x-consul-index", "99"), ("location", "/elsewhere")], body);
        asked = fake.next().await;
        assert_eq!((asked.path.as_str(), asked.index()), ("/v1/kv/k", None), "after {status}");
        assert_eq!(watched.known(&query), good, "after {status}");
    }
    asked.index_and_body(11, "better");
    watched.until_key(&query, Some("better")).await;
    assert_eq!(fake.next().await.index(), Some("11"));
}

#[tokio::test]
async fn a_lower_index_is_not_believed_before_it_is_fetched_anew() {
    let mut fake = Fake::start().await;
    let (mut watched, query, _running, asked) = watching(&mut fake).await;
    asked.index_and_body(5, "a lie");
    let asked = fake.next().await;
    assert_eq!(asked.index(), None);
    watched.until_key(&query, Some("good")).await;
    asked.index_and_body(5, "true after all");
    watched.until_key(&query, Some("true after all")).await;
    assert_eq!(fake.next().await.index(), Some("5"));
}

#[tokio::test]
async fn an_index_of_zero_does_not_end_waiting() {
    let mut fake = Fake::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = key("k");
    let _running = watched.watch(&query);
    fake.next().await.index_and_body(0, "zero");
    watched.until_key(&query, Some("zero")).await;
    assert_eq!(fake.next().await.index(), Some("1"));
}

#[tokio::test]
async fn without_an_index_there_is_a_pause_instead_of_waiting() {
    let mut fake = Fake::start().await;
    let poll = Duration::from_secs(1);
    let mut watched = Watched::new(Client::new(&Settings { poll, ..settings(&fake.address()) }).expect("a client"));
    // The only question whose answer has none.
    let query = Query::Datacenters { reachable: false };
    let _running = watched.watch(&query);
    let mut answered: Option<Instant> = None;
    for value in ["one", "two", "three"] {
        let asked = fake.next().await;
        assert_eq!((asked.index(), asked.query.contains_key("wait")), (None, false));
        // A pause may be longer than it should be, but never shorter.
        assert!(answered.is_none_or(|answered| answered.elapsed() >= poll), "a busy loop");
        answered = Some(Instant::now());
        asked.answer(200, &[], &format!("[{value:?}]"));
        watched.until(&query, |answer| *answer == Answer::Datacenters(vec![value.to_owned()])).await;
    }
}

/// A login page, a page of maintenance, another program: none of them is a value of anything.
#[tokio::test]
async fn an_answer_without_an_index_is_no_value_of_anything() {
    let mut fake = Fake::start().await;
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
        // The next question shows that the last page has been looked at.
        assert_eq!(fake.next().await.index(), None, "{query}");
        assert_eq!(watched.known(&query), None, "{query}");
        running.stop().await;
    }
}

/// With an index, as from another program that has a header of that name, the form still counts.
#[tokio::test]
async fn json_of_another_form_is_no_value() {
    let mut fake = Fake::start().await;
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
async fn what_only_a_newer_consul_knows_is_asked_as_documented() {
    let mut fake = Fake::start().await;
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
    let place = "dc=dc2 ns=team partition=part";
    for (query, path, parameters) in [
        (peer, "/v1/health/connect/web", format!("{place} peer=east")),
        (group, "/v1/health/service/web", "dc=dc2 near=_agent ns=team partition=part sg=all".to_owned()),
        (services, "/v1/catalog/services", "dc=dc2 filter=ServiceName != \"a\" ns=team partition=part".to_owned()),
        (nodes, "/v1/catalog/nodes", "dc=dc2 filter=Meta.a == b ns=team partition=part".to_owned()),
        (keys, "/v1/kv/a%20b/", format!("{place} recurse=")),
        (node, "/v1/catalog/node-services/n%2F1", place.to_owned()),
        (prepared, "/v1/query/q/execute", "dc=dc2 near=n1 ns=team partition=part".to_owned()),
    ] {
        let running = watched.watch(&query);
        let asked = fake.next().await;
        assert_eq!(asked.path, path);
        let pairs: Vec<_> = asked.query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs.join(" "), parameters, "{query}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_question_goes_before_the_settings() {
    let mut fake = Fake::start().await;
    let ours = Settings { namespace: Some("ours".into()), partition: Some("p".into()), ..settings(&fake.address()) };
    let watched = Watched::new(Client::new(&ours).expect("a client"));
    let scope = Scope { namespace: Some("theirs".into()), ..Scope::default() };
    let _running = watched.watch(&Query::Services { filter: None, scope });
    let asked = fake.next().await;
    assert_eq!((asked.query["ns"].as_str(), asked.query["partition"].as_str()), ("theirs", "p"));
}

#[tokio::test]
async fn a_node_and_its_own_name_are_two_calls() {
    let mut fake = Fake::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = Query::Node { name: None, scope: Scope::default() };
    let _running = watched.watch(&query);
    let asked = fake.next().await;
    assert_eq!(asked.path, "/v1/agent/self");
    asked.answer(200, &[], r#"{"Config": {"NodeName": "n1"}, "Member": {"Addr": "10.0.0.1"}}"#);
    let asked = fake.next().await;
    assert_eq!(asked.path, "/v1/catalog/node-services/n1");
    asked.index_and_body(5, r#"{"Node": {"Node": "n1"}, "Services": []}"#);
    watched.until(&query, |answer| matches!(answer, Answer::Node(Some(found)) if found.node.node == "n1")).await;
}

#[tokio::test]
async fn datacenters_that_do_not_answer_are_left_out_unless_none_does() {
    let mut fake = Fake::start().await;
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
        let asked = fake.next().await;
        assert_eq!(asked.path, "/v1/catalog/datacenters");
        asked.answer(200, &[], r#"["dc3", "dc1", "dc2"]"#);
        for _ in 0..3 {
            let asked = fake.next().await;
            assert_eq!(asked.path, "/v1/catalog/services");
            let number: usize = asked.query["dc"][2..].parse().expect("a number");
            asked.answer(statuses[number - 1], &[("x-consul-index", "1"), LEADER], "{}");
        }
        let names = Answer::Datacenters(expected.into_iter().map(str::to_owned).collect());
        watched.until(&query, |answer| *answer == names).await;
    }
}

#[tokio::test]
async fn what_acls_hide_is_no_error_but_is_said() {
    let mut fake = Fake::start().await;
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
            let asked = fake.next().await;
            if asked.index().is_none() {
                break asked.answer(200, &hidden, "[]");
            }
        }
    });
    assert!(reply.expect("an answer").meta.filtered);
}

#[tokio::test]
async fn certificates_do_not_ask_for_a_leader_or_another_place() {
    let mut fake = Fake::start().await;
    let elsewhere = Settings { datacenter: Some("dc2".into()), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&elsewhere).expect("a client"));
    let _running = watched.watch(&Query::CaRoots);
    let asked = fake.next().await;
    assert_eq!((asked.path.as_str(), asked.query.len()), ("/v1/agent/connect/ca/roots", 0));
    // An agent that answers from its cache says so of the leader.
    let cached = [("x-consul-index", "9"), ("x-consul-knownleader", "false"), ("x-cache", "HIT")];
    asked.answer(200, &cached, r#"{"ActiveRootID": "a", "TrustDomain": "t", "Roots": null}"#);
    watched.until(&Query::CaRoots, |answer| matches!(answer, Answer::CaRoots(_))).await;
    assert_eq!(fake.next().await.index(), Some("9"));
}

#[tokio::test]
async fn a_file_is_not_consuls_to_answer() {
    let mut fake = Fake::start().await;
    let watched = Watched::new(client(&fake.address()));
    let file = Query::File { path: "/etc/hosts".into() };
    let _running = [&file, &key("k")].map(|query| watched.watch(query));
    assert_eq!(fake.next().await.path, "/v1/kv/k");
    assert_eq!(watched.known(&file), None);
}

#[tokio::test]
async fn who_knows_no_leader_is_not_believed() {
    let mut fake = Fake::start().await;
    let (mut watched, query, _running, asked) = watching(&mut fake).await;
    asked.answer(200, &[("x-consul-index", "12"), ("x-consul-knownleader", "false")], "old");
    let asked = fake.next().await;
    assert_eq!(asked.index(), None);
    watched.until_key(&query, Some("good")).await;
    asked.answer(404, &[("x-consul-index", "13"), LEADER], "");
    watched.until_key(&query, None).await;
}

#[tokio::test]
async fn a_404_that_is_not_consuls_deletes_nothing() {
    let mut fake = Fake::start().await;
    let (mut watched, query, _running, asked) = watching(&mut fake).await;
    asked.answer(404, &[], "<html>no such page</html>");
    let asked = fake.next().await;
    watched.until_key(&query, Some("good")).await;
    asked.index_and_body(11, "better");
    watched.until_key(&query, Some("better")).await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_not_taken() {
    let mut fake = Fake::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = service("web");
    let _running = watched.watch(&query);
    for body in ["<html>", "{}", "[{\"Service\": 7}]"] {
        fake.next().await.index_and_body(10, body);
    }
    let asked = fake.next().await;
    assert_eq!((asked.index(), watched.known(&query)), (None, None));
    assert_eq!((asked.path.as_str(), asked.query["passing"].as_str()), ("/v1/health/service/web", "1"));
    asked.index_and_body(10, "[]");
    watched.until_ids(&query, &[]).await;
}

#[tokio::test]
async fn a_stalled_answer_is_given_up() {
    let mut fake = Fake::start().await;
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
async fn a_stopped_watch_breaks_its_query_off() {
    let mut fake = Fake::start().await;
    let (watched, query, running, asked) = watching(&mut fake).await;
    tokio::join!(running.stop(), asked.abandoned());
    assert!(watched.known(&query).is_some());
}

#[tokio::test]
async fn connections_that_break_are_opened_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut watched = Watched::new(client(&format!("http://{}", listener.local_addr().expect("an address"))));
    let query = key("k");
    let _running = watched.watch(&query);
    for _ in 0..3 {
        drop(listener.accept().await.expect("a connection"));
    }
    let mut fake = Fake::on(listener);
    fake.next().await.index_and_body(10, "good");
    watched.until_key(&query, Some("good")).await;
}

#[tokio::test]
async fn stale_answers_are_taken_while_they_are_fresh_enough() {
    let mut fake = Fake::start().await;
    let settings = Settings { max_stale: Some(Duration::from_secs(2)), ..settings(&fake.address()) };
    let mut watched = Watched::new(Client::new(&settings).expect("a client"));
    let query = key("k");
    let _running = watched.watch(&query);
    let asked = fake.next().await;
    assert!(asked.query.contains_key("stale"));
    asked.answer(200, &[("x-consul-index", "10"), LEADER, ("x-consul-lastcontact", "1500")], "fresh");
    watched.until_key(&query, Some("fresh")).await;
    let asked = fake.next().await;
    assert!(asked.query.contains_key("stale"));
    asked.answer(200, &[("x-consul-index", "11"), LEADER, ("x-consul-lastcontact", "2500")], "too old");
    let asked = fake.next().await;
    assert_eq!((asked.query.contains_key("stale"), asked.index()), (false, Some("10")), "now the leader is asked");
    watched.until_key(&query, Some("fresh")).await;
    asked.index_and_body(12, "the leader's");
    watched.until_key(&query, Some("the leader's")).await;
    assert!(fake.next().await.query.contains_key("stale"));
}

#[tokio::test]
async fn every_request_says_who_asks_and_about_what() {
    let mut fake = Fake::start().await;
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
    let asked = fake.next().await;
    assert_eq!(asked.path, "/behind/a/proxy/v1/health/service/we%2Fb");
    let query: Vec<_> = asked.query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(query, [("dc", "dc2"), ("ns", "team"), ("partition", "part"), ("tag", "a&b")]);
    assert_eq!(asked.headers["x-consul-token"], "t0ken");
    assert_eq!(asked.headers["authorization"], "Basic bWU6cGFzczp3b3Jk");
    let _second = watched.watch(&elsewhere);
    let asked = fake.next().await;
    assert_eq!((asked.path.as_str(), asked.query["dc"].as_str()), ("/behind/a/proxy/v1/catalog/services", "dc3"));
    asked.index_and_body(1, r#"{"b": ["z", "a"], "a": null}"#);
    let mut watched = watched;
    let answer = watched.until(&elsewhere, |_| true).await;
    let expected = [("a", vec![]), ("b", vec!["a", "z"])];
    let expected = expected.map(|(name, tags)| (name.to_owned(), tags.into_iter().map(ToOwned::to_owned).collect()));
    assert_eq!(*answer, Answer::Services(expected.into()));
}
