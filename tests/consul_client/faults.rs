//! What a real agent cannot be made to do, or not at the right moment.

use std::time::Duration;

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
async fn an_index_of_zero_or_none_does_not_end_waiting() {
    let mut fake = Fake::start().await;
    let mut watched = Watched::new(client(&fake.address()));
    let query = key("k");
    let _running = watched.watch(&query);
    fake.next().await.index_and_body(0, "zero");
    watched.until_key(&query, Some("zero")).await;
    let asked = fake.next().await;
    assert_eq!(asked.index(), Some("1"));
    asked.answer(200, &[], "none");
    watched.until_key(&query, Some("none")).await;
    assert_eq!(fake.next().await.index(), Some("1"));
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
