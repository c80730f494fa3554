//! The watcher of a Docker engine, against a fake engine that can fail.

#[path = "../common/mod.rs"]
mod common;
mod inspections;
mod messages;
mod odd;

use std::{sync::Arc, time::Duration};

use common::fake_docker::{FakeDocker, container};
use portreeve::{
    core::store::Store,
    docker::{self, Container, Observation},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// A running watcher and its store. Dropping it stops the watcher.
struct Watched {
    containers: Store<String, Observation>,
    stop: CancellationToken,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Starts a watcher.
fn watch(engine: &FakeDocker, resync: Duration) -> Watched {
    let (containers, stop) = (Store::default(), CancellationToken::new());
    let settings = docker::Settings { host: Some(engine.host()), ..docker::Settings::default() };
    let client = docker::Client::new(settings).expect("a valid host");
    tokio::spawn(docker::watch(client, containers.clone(), resync, stop.clone()));
    Watched { containers, stop }
}

/// A resync that does not occur during a test.
const NEVER: Duration = Duration::from_secs(3600);

impl Watched {
    /// Waits until the store is complete and `seen` accepts its inspected containers.
    async fn until(&self, what: &str, seen: impl Fn(&[Arc<Container>]) -> bool) -> Vec<Arc<Container>> {
        let mut bell = self.containers.bell();
        let wait = async {
            loop {
                let snapshot = self.containers.snapshot();
                let containers = snapshot.entries.values().filter_map(|observation| match observation {
                    Observation::Inspected(container) => Some(Arc::clone(container)),
                    Observation::Unreadable | Observation::Missing => None,
                });
                let containers: Vec<_> = containers.collect();
                if snapshot.complete && seen(&containers) {
                    return containers;
                }
                bell.changed().await.expect("the store is alive");
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("waited for: {what}"))
    }
}

fn names(containers: &[Arc<Container>]) -> Vec<&str> {
    containers.iter().map(|container| container.name.as_str()).collect()
}

#[tokio::test]
async fn the_first_list_is_followed_by_events() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let watched = watch(&engine, NEVER);
    watched.until("a", |seen| names(seen) == ["a"]).await;
    engine.run(container("b", 2));
    watched.until("a and b", |seen| names(seen) == ["a", "b"]).await;
    engine.die(&format!("{:0>64}", "a"));
    watched.until("b", |seen| names(seen) == ["b"]).await;
}

#[tokio::test]
async fn an_engine_without_containers_completes_the_store() {
    let engine = FakeDocker::start();
    watch(&engine, NEVER).until("nothing", <[_]>::is_empty).await;
}

#[tokio::test]
async fn requests_contain_the_version_of_the_engine() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let watched = watch(&engine, NEVER);
    watched.until("a", |seen| names(seen) == ["a"]).await;
    let requests = engine.requests();
    assert!(requests.iter().any(|request| request.contains("/events?")), "{requests:?}");
    for request in requests {
        assert!(request == "GET /version" || request.starts_with("GET /v1.41/"), "{request}");
    }
}

#[tokio::test]
async fn a_broken_stream_loses_no_change() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let watched = watch(&engine, NEVER);
    watched.until("a", |seen| names(seen) == ["a"]).await;
    // Changes without events are found by the next list.
    engine.unset(&format!("{:0>64}", "a"));
    engine.set(container("b", 2));
    engine.cut();
    watched.until("b", |seen| names(seen) == ["b"]).await;
}

#[tokio::test]
async fn a_resync_finds_changes_without_events() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let watched = watch(&engine, Duration::from_millis(200));
    watched.until("a", |seen| names(seen) == ["a"]).await;
    engine.set(container("a", 9));
    watched.until("the new port", |seen| seen.iter().any(|a| a.bindings.values().any(|at| at[0].port == 9))).await;
    let inspections = || engine.requests().iter().filter(|request| request.contains("/containers/0")).count();
    let (before, lists) = (inspections(), engine.requests().len());
    while engine.requests().len() < lists + 20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(inspections(), before, "a list without changes causes no inspection");
}

#[tokio::test]
async fn an_engine_that_fails_is_waited_for() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    engine.set_broken(true);
    let watched = watch(&engine, NEVER);
    while engine.requests().len() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!watched.containers.snapshot().complete);
    engine.set_broken(false);
    watched.until("a", |seen| names(seen) == ["a"]).await;
}

#[tokio::test]
async fn an_inspection_that_hangs_does_not_delay_other_containers() {
    let engine = FakeDocker::start();
    engine.set(container("stuck", 1));
    let watched = watch(&engine, NEVER);
    watched.until("stuck", |seen| names(seen) == ["stuck"]).await;
    engine.stall(&format!("{:0>64}", "stuck"));
    engine.event("update", &format!("{:0>64}", "stuck"), &[]);
    engine.run(container("b", 2));
    watched.until("b, and the last description of stuck", |seen| names(seen) == ["b", "stuck"]).await;
}

#[tokio::test]
async fn many_events_lose_no_change() {
    let engine = FakeDocker::start();
    let watched = watch(&engine, NEVER);
    watched.until("nothing", <[_]>::is_empty).await;
    for round in 0..20 {
        for n in 0..50 {
            engine.run(container(&format!("c{n}"), round * 50 + n));
            if (n + round) % 3 == 0 {
                engine.die(&format!("{:0>64}", format!("c{n}")));
            }
        }
    }
    let expected: Vec<_> = (0..50_u16).filter(|n| (n + 19) % 3 != 0).map(|n| 19 * 50 + n).collect();
    watched
        .until("the ports of the last round", |seen| {
            let mut ports: Vec<_> = seen.iter().flat_map(|c| c.bindings.values().map(|at| at[0].port)).collect();
            ports.sort_unstable();
            ports == expected
        })
        .await;
}

#[tokio::test]
async fn only_the_stop_signal_counts_as_a_stop() {
    let engine = FakeDocker::start();
    let mut quits = container("quits", 1);
    quits["Config"]["StopSignal"] = json!("SIGQUIT");
    engine.set(quits);
    engine.set(container("terminates", 2));
    let watched = watch(&engine, NEVER);
    watched.until("both", |seen| seen.len() == 2).await;
    let (quits, terminates) = (format!("{:0>64}", "quits"), format!("{:0>64}", "terminates"));
    for (id, signal) in [(&quits, "1"), (&quits, "15"), (&terminates, "3"), (&terminates, "1"), (&terminates, "15")] {
        engine.event("kill", id, &[("signal", signal)]);
    }
    let seen =
        watched.until("one stop", |seen| seen.iter().any(|container| container.stop_signal_sent_at.is_some())).await;
    let stopped: Vec<_> = seen.iter().filter(|container| container.stop_signal_sent_at.is_some()).collect();
    assert_eq!(stopped.len(), 1);
    assert_eq!(stopped[0].name, "terminates");
}

#[tokio::test]
async fn a_stop_signal_counts_although_the_inspection_hangs() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let watched = watch(&engine, NEVER);
    watched.until("a", |seen| names(seen) == ["a"]).await;
    let id = format!("{:0>64}", "a");
    engine.stall(&id);
    engine.event("kill", &id, &[("signal", "15")]);
    watched.until("the stop", |seen| seen.iter().any(|container| container.stop_signal_sent_at.is_some())).await;
}

#[tokio::test]
async fn past_events_are_in_the_first_complete_store() {
    let engine = FakeDocker::start();
    engine.set(container("a", 1));
    let id = format!("{:0>64}", "a");
    (10..15).for_each(|seconds| engine.past_event("start", &id, Duration::from_secs(seconds)));
    // The stream replays this event, so the inspection begins before the list arrives, and its result completes the
    // batch.
    engine.past_event("update", &id, Duration::ZERO);
    engine.slow_lists(Duration::from_millis(200));
    engine.slow_down(Duration::from_millis(600));
    let seen = watch(&engine, NEVER).until("the first complete store", |_| true).await;
    assert_eq!(seen.iter().map(|container| container.starts.len()).collect::<Vec<_>>(), [5]);
}

#[tokio::test]
async fn a_stream_that_ends_is_reopened_without_delay() {
    let engine = FakeDocker::start();
    engine.limit_streams(Duration::from_millis(1200));
    let watched = watch(&engine, NEVER);
    watched.until("nothing", <[_]>::is_empty).await;
    for stream in 2..9 {
        let name = format!("c{stream}");
        engine.run(container(&name, stream));
        watched.until("the new one", |seen| names(seen).contains(&name.as_str())).await;
        while engine.count("/events?") < usize::from(stream) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // With a growing back-off, the last delay would be several seconds.
    assert!(engine.longest_stream_gap() < Duration::from_secs(2), "{:?}", engine.longest_stream_gap());
}

#[tokio::test]
async fn an_unchanged_container_is_not_inspected_again() {
    let engine = FakeDocker::start();
    let watched = watch(&engine, Duration::from_millis(100));
    watched.until("nothing", <[_]>::is_empty).await;
    let sessions = async |more: usize| {
        let wanted = engine.count("/events?") + more;
        while engine.count("/events?") < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    engine.run(container("a", 1));
    watched.until("a", |seen| names(seen) == ["a"]).await;
    // An older event that arrives later.
    engine.past_event("start", &format!("{:0>64}", "b"), Duration::from_millis(500));
    sessions(3).await;
    let inspections = || engine.count("/json") - engine.count("/containers/json");
    let before = inspections();
    sessions(10).await;
    assert_eq!(inspections(), before);
}

#[tokio::test]
async fn an_invalid_event_does_not_end_the_stream() {
    let engine = FakeDocker::start();
    let watched = watch(&engine, NEVER);
    watched.until("nothing", <[_]>::is_empty).await;
    let streams = engine.count("/events?");
    let id = format!("{:0>64}", "a");
    engine.set(container("a", 1));
    for odd in [
        "null".to_owned(),
        "<html>".to_owned(),
        "{".to_owned(),
        String::new(),
        json!({"Type": "unheard-of", "Action": "start", "Actor": {"ID": id}}).to_string(),
        json!({"Type": "container", "Action": 7, "Actor": {"ID": null, "Attributes": []}}).to_string(),
        json!({"Type": 7, "Actor": "odd", "time": "soon", "timeNano": {}}).to_string(),
    ] {
        engine.send_line(&odd);
    }
    let half = json!({"Type": "container", "Action": null, "Actor": {"ID": id, "Attributes": null}, "timeNano": null});
    engine.send_line(&half.to_string());
    watched.until("a", |seen| names(seen) == ["a"]).await;
    assert_eq!(engine.count("/events?"), streams);
}

#[tokio::test]
async fn a_stream_that_ends_before_the_list_does_not_discard_the_list() {
    let engine = FakeDocker::start();
    engine.limit_streams(Duration::ZERO);
    engine.slow_lists(Duration::from_millis(500));
    engine.set(container("a", 1));
    let watched = watch(&engine, NEVER);
    watched.until("a", |seen| names(seen) == ["a"]).await;
    engine.set(container("b", 2));
    watched.until("a and b", |seen| names(seen) == ["a", "b"]).await;
}
