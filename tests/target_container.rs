//! Reloads by a signal to a container, through a real Docker, and the errors without one.

mod common;
#[path = "target/container_nginx.rs"]
mod container_nginx;
mod targets;

use std::{path::Path, time::SystemTime};

use nix::sys::signal::Signal;
use portreeve::{
    docker,
    target::{ApplyOutcome, CommandSettings, Effect, ReloadMethod, Settings, TargetKind, TemplateSettings},
};
use portreeve_lab::Lab;
use targets::{Edge, directory, text};

fn edge(home: &Path, host: String) -> Edge {
    let reload = Some(ReloadMethod::Container { name: "edge".to_owned(), signal: Signal::SIGTERM });
    let kind = TargetKind::Command(CommandSettings { reload, ..CommandSettings::default() });
    let template = TemplateSettings { destination: home.join("app.conf"), ..TemplateSettings::default() };
    let settings = Settings::new("edge".to_owned(), kind, vec![template]);
    let docker = docker::Settings { host: Some(host), ..docker::Settings::default() };
    Edge::from(settings, &home.join("state"), &docker)
}

async fn absent(edge: &mut Edge, saying: &str) {
    let done = edge.apply().await.expect("this is not an error");
    let ApplyOutcome::Applied { effect: Effect::NotRunning(absent), .. } = done else { panic!("{done:?}") };
    assert!(absent.to_string().contains(saying), "{absent}");
    assert!(edge.has_pending_reload());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_reaches_the_container_and_is_pending_while_it_is_not_running() {
    let lab = tokio::task::block_in_place(|| Lab::builder("a_signal_to_a_container").docker(&[1]).up());
    let engine = lab.docker(1);
    engine.import("1");
    let home = directory();
    let file = home.path().join("app.conf");
    let mut edge = edge(home.path(), format!("unix://{}", lab.host(1).outside("/run/docker.sock").display()));
    edge.want(&[(&file, "new\n")]);
    absent(&mut edge, "there is no container edge on Docker at unix://").await;

    let begun = SystemTime::now();
    let container = engine.run("edge", "1", &[]);
    let done = edge.apply().await.expect("it runs");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
    edge.is_current().await;
    let event = engine.events().find("kill", "edge", begun);
    assert_eq!(event.signal, Some(Signal::SIGTERM as i32));

    container.stop();
    edge.want(&[(&file, "newer\n")]);
    absent(&mut edge, "container edge is not running on Docker at unix://").await;
}

#[tokio::test]
async fn a_docker_that_cannot_be_reached_is_named_and_causes_no_rollback() {
    let home = directory();
    let mut edge = edge(home.path(), "unix:///nonexistent/docker.sock".to_owned());
    edge.want(&[(&home.path().join("app.conf"), "new\n")]);
    for _ in 0..2 {
        edge.fails(&["the reload is pending", "Docker at unix:///nonexistent/docker.sock: no such socket"]).await;
        assert_eq!(text(home.path().join("app.conf")), "new\n");
        assert!(edge.has_pending_reload());
    }
}
