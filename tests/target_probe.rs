//! The probe: new files are rolled back if the program does not answer with them.

mod targets;

use std::{fs, time::Duration};

use portreeve::{
    docker,
    target::{ApplyError, CommandSettings, ProbeSettings, Rejection, Settings, TargetKind, TemplateSettings},
};
use targets::{Edge, directory, nginx::Nginx, text};

fn probe(url: &str, timeout: Duration) -> ProbeSettings {
    ProbeSettings { url: url.parse().expect("a URL"), timeout, status: None }
}

fn edge(nginx: &Nginx, kind: TargetKind, probe: ProbeSettings) -> Edge {
    let template = TemplateSettings { destination: nginx.web(), ..TemplateSettings::default() };
    let settings = Settings { probe: Some(probe), ..Settings::new("edge".to_owned(), kind, vec![template]) };
    Edge::from(settings, &nginx.state(), &docker::Settings::default())
}

#[tokio::test]
async fn new_files_are_rolled_back_if_the_probe_fails() {
    let nginx = Nginx::serving("old");
    let mut edge = edge(&nginx, nginx.kind(), probe(&format!("http://{}/", nginx.address), Duration::from_millis(500)));
    let broken = nginx.server("new").replace("return 200", "return 503");
    edge.want(&[(&nginx.web(), &broken)]);
    for _ in 0..2 {
        let error = edge.fails(&["rolled back", "the probe http://", "within 500ms", "503 Service Unavailable"]).await;
        assert!(matches!(error, ApplyError::Rejected(Rejection::RolledBack { .. })), "{error:?}");
    }
    assert_eq!((text(nginx.web()), nginx.hang_ups()), (nginx.server("old"), 2));
    assert_eq!(nginx.ask().expect("it serves"), "old");
    // A redirect is an answer, wherever it leads.
    let redirect = nginx.server("http://127.0.0.1:9/").replace("return 200", "return 302");
    edge.want(&[(&nginx.web(), &redirect)]);
    edge.writes(&[&nginx.web()]).await;
}

#[tokio::test]
async fn a_target_without_a_reload_is_probed_too_and_one_status_can_be_required() {
    let nginx = Nginx::serving("old");
    let command = || TargetKind::Command(CommandSettings::default());
    let url = format!("http://{}/", nginx.address);
    let teapot = ProbeSettings { status: Some(418), ..probe(&url, Duration::from_millis(300)) };
    let mut refused = edge(&nginx, command(), teapot);
    refused.want(&[(&nginx.web(), "# new\n")]);
    // It fails with the former files too, so the new ones are not the cause.
    refused.fails(&["the status was 200 OK"]).await;
    assert_eq!(text(nginx.web()), nginx.server("old"));
    drop(refused);
    fs::remove_dir_all(nginx.state()).expect("the test owns it");
    let mut taken = edge(&nginx, command(), probe(&url, Duration::from_secs(60)));
    taken.want(&[(&nginx.web(), "# new\n")]);
    taken.writes(&[&nginx.web()]).await;
}

#[tokio::test]
async fn the_probe_is_retried_until_it_succeeds() {
    let home = directory();
    let address = targets::nginx::address();
    let file = home.path().join("app.conf");
    let template = TemplateSettings { destination: file.clone(), ..TemplateSettings::default() };
    let kind = TargetKind::Command(CommandSettings::default());
    let probe = Some(probe(&format!("http://{address}/healthz"), Duration::from_secs(60)));
    let settings = Settings { probe, ..Settings::new("edge".to_owned(), kind, vec![template]) };
    let mut edge = Edge::from(settings, &home.path().join("state"), &docker::Settings::default());
    edge.want(&[(&file, "new\n")]);
    let mut nginx = Nginx::new("");
    nginx.write("etc/conf.d/late.conf", &format!("server {{ listen {address}; return 204; }}\n"));
    let start = async {
        // When the file exists, the probe has begun.
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        nginx.start();
    };
    let written = [file.as_path()];
    tokio::join!(edge.writes(&written), start);
}
