//! Events of containers: what registrator handles, and what it misses.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{
    black_box::{Daemon, id, run, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

const WEB: &str = "dockerhost:web:80";

fn host() -> (FakeDocker, FakeConsul) {
    (FakeDocker::start(), FakeConsul::start("10.0.0.7"))
}

/// The container `web` in another state.
fn web(state: &Value) -> Value {
    let mut web = container("web", 8000);
    for (key, value) in state.as_object().expect("an object") {
        web["State"][key] = value.clone();
    }
    web
}

fn ended(code: i64) -> Value {
    web(&json!({"Status": "exited", "Running": false, "ExitCode": code}))
}

#[test]
fn a_start_after_an_exit_uses_the_new_port() {
    let (docker, consul) = host();
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ports().get(WEB) == Some(&8000));
    docker.set(ended(0));
    docker.event("die", &id("web"), &[("exitCode", "0")]);
    until("the removal", || consul.ids().is_empty());
    docker.run(container("web", 8111));
    until("the new port", || consul.ports().get(WEB) == Some(&8111));
    // An exit and a start without a pause, and the stream breaks too.
    docker.set(ended(0));
    docker.event("die", &id("web"), &[("exitCode", "0")]);
    docker.run(container("web", 8222));
    docker.cut();
    until("the last port", || consul.ports().get(WEB) == Some(&8222));
}

#[test]
fn a_pause_takes_out_of_traffic_and_a_rename_moves_the_entry() {
    let (docker, consul) = host();
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ids() == [WEB]);
    docker.set(web(&json!({"Status": "paused", "Paused": true})));
    docker.event("pause", &id("web"), &[]);
    until("maintenance", || consul.in_maintenance().get(WEB).is_some_and(|why| why.contains("is paused")));
    docker.set(container("web", 8000));
    docker.event("unpause", &id("web"), &[]);
    until("traffic again", || consul.in_maintenance().is_empty());
    let mut renamed = container("web", 8000);
    renamed["Name"] = "/shop".into();
    docker.set(renamed);
    docker.event("rename", &id("web"), &[]);
    until("the new id", || consul.ids() == ["dockerhost:shop:80"]);
}

#[test]
fn on_success_only_a_failure_keeps_its_entry_and_keeps_it_out_of_traffic() {
    for (code, kept) in [(0, false), (137, false), (143, false), (200, false), (255, false), (1, true), (127, true)] {
        let (docker, consul) = host();
        docker.set(container("web", 8000));
        let _daemon = Daemon::start(&docker, &consul, &["-deregister", "on-success"]);
        until("the registration", || consul.ids() == [WEB]);
        docker.set(ended(code));
        docker.event("die", &id("web"), &[("exitCode", &code.to_string())]);
        if kept {
            let failed = || consul.in_maintenance().get(WEB).is_some_and(|why| why.contains("has failed"));
            until(&format!("maintenance after {code}"), failed);
            docker.unset(&id("web"));
            docker.event("destroy", &id("web"), &[]);
        }
        until(&format!("the removal after {code}"), || consul.ids().is_empty());
    }
}

#[test]
fn a_resync_finds_what_no_event_reported() {
    let (docker, consul) = host();
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &["-resync", "1"]);
    until("the registration", || consul.ports().get(WEB) == Some(&8000));
    docker.set(container("web", 8111));
    until("the new port", || consul.ports().get(WEB) == Some(&8111));
    docker.set(container("other", 8001));
    until("the other one", || consul.count() == 2);
    docker.unset(&id("other"));
    until("its removal", || consul.ids() == [WEB]);
}

#[test]
fn entries_of_registrator_are_taken_over_and_others_left_alone() {
    let (docker, consul) = host();
    docker.set(container("web", 8000));
    let others = ["dockerhost:g:80", "dockerhost:legacy-app:9090", "https.12345", "otherhost:gone:80"];
    for id in others.into_iter().chain([WEB]) {
        consul.add(json!({"ID": id, "Service": "web", "Port": 8000, "Address": "", "Tags": [], "Meta": {}}));
    }
    let ids = consul.ids();
    assert_eq!(run(&docker, &consul, &["-cleanup", "--once"]).status.code(), Some(1), "the id is somebody else's");
    assert_eq!(consul.writes(), [""; 0]);
    assert_eq!(run(&docker, &consul, &["-cleanup", "--adopt", "registrator", "--once"]).status.code(), Some(0));
    assert_eq!(consul.writes().len(), 1, "one registration in the place of the old one: {:?}", consul.writes());
    assert_eq!(consul.ids(), ids);
    // The adopted entry is removed with its container.
    docker.unset(&id("web"));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    assert_eq!(consul.ids(), others);
}

#[test]
fn the_engine_is_asked_for_nothing_that_a_socket_proxy_has_to_refuse() {
    let (docker, consul) = host();
    docker.set(container("web", 8000));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let place = |request: &String| {
        let path = request.split('?').next().expect("a path");
        let path = path.replace(&id("web"), "ID");
        // Every path but the first begins with the negotiated version.
        match path.strip_prefix("GET /v") {
            Some(rest) if rest.starts_with(|char: char| char.is_ascii_digit()) => {
                format!("GET /{}", rest.split_once('/').expect("a version").1)
            }
            _ => path,
        }
    };
    let places: BTreeSet<_> = docker.requests().iter().map(place).collect();
    let allowed = ["/containers/ID/json", "/containers/json", "/events", "/info"];
    let may_be_refused = ["/images/sha256:0/json", "/networks", "/version"];
    let allowed: BTreeSet<_> = allowed.iter().chain(&may_be_refused).map(|path| format!("GET {path}")).collect();
    assert!(places.is_subset(&allowed), "{places:?}");
}
