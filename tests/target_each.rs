//! Targets with `each`: files of members that are removed.

mod targets;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{self, Stdio},
    sync::Arc,
    time::Duration,
};

use portreeve::{
    docker,
    target::{
        ApplyOutcome, CommandSettings, DesiredFile, Effect, ReloadMethod, Settings, TargetKind, TemplateSettings,
    },
};
use targets::{
    Edge, directory, names,
    nginx::{self, Nginx},
    text,
};

/// A target of many sites below `etc/sites`.
fn sites(nginx: &Nginx) -> Edge {
    let template = TemplateSettings {
        destination: nginx.path("etc/sites/{{this}}.conf"),
        each: Some("(services)".to_owned()),
        mode: Some(0o600),
        ..TemplateSettings::default()
    };
    Edge::with(nginx.kind(), &nginx.state(), vec![template])
}

fn want(edge: &Edge, nginx: &Nginx, sites: &[(&str, &str)]) {
    let product =
        |(name, text): &(&str, &str)| (nginx.path("etc/sites").join(name), Arc::new(DesiredFile::new(0, *text)));
    edge.desired.replace(sites.iter().map(product).collect::<BTreeMap<_, _>>());
}

fn server(address: &str, text: &str) -> String {
    format!("server {{ listen {address}; return 200 {text}; }}\n")
}

#[tokio::test]
async fn files_are_created_and_removed_with_their_members_and_foreign_files_stay() {
    let mut nginx = Nginx::new("include sites/*.conf;");
    nginx.start();
    let [one, two] = [nginx::address(), nginx::address()];
    let (a, b) = (server(&one, "a"), server(&two, "b"));
    let mut edge = sites(&nginx);
    let path = |name: &str| nginx.path("etc/sites").join(name);
    want(&edge, &nginx, &[("a.conf", &a), ("b.conf", &b)]);
    edge.writes(&[&path("a.conf"), &path("b.conf")]).await;
    assert_eq!([&one, &two].map(|address| nginx::ask(address).expect("it serves")), ["a", "b"]);
    fs::write(path("foreign.conf"), "# by hand\n").expect("the test owns it");

    // Also by a process that has created none of them.
    drop(edge);
    let mut edge = sites(&nginx);
    want(&edge, &nginx, &[("b.conf", &b)]);
    edge.writes(&[]).await;
    assert_eq!(names(&nginx.path("etc/sites")), ["b.conf", "foreign.conf"]);
    targets::wait_until("its end", || nginx::ask(&one).map_or(Ok(()), Err));
    assert_eq!(nginx.hang_ups(), 2);

    // Also those of a template that the settings no longer have. An incomplete pass removes no file.
    drop(edge);
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    assert_eq!(edge.apply().await.expect("no file is desired yet"), ApplyOutcome::Incomplete);
    assert!(path("b.conf").exists());
    edge.want(&[(&nginx.web(), "# nothing\n")]);
    edge.writes(&[&nginx.web()]).await;
    assert_eq!(names(&nginx.path("etc/sites")), ["foreign.conf"]);

    // A fixed destination stays when the settings no longer name it.
    drop(edge);
    let mut edge = sites(&nginx);
    want(&edge, &nginx, &[]);
    edge.is_current().await;
    assert!(nginx.web().exists());
}

#[tokio::test]
async fn the_check_reads_the_candidate_without_the_removed_files() {
    let nginx = Nginx::new("include sites/*.conf;");
    let mut edge = sites(&nginx);
    let address = nginx.address.clone();
    let upstream = "upstream shared { server 127.0.0.1:9; }\n";
    let user = format!("server {{ listen {address}; location / {{ proxy_pass http://shared; }} }}\n");
    want(&edge, &nginx, &[("a.conf", upstream), ("b.conf", &user)]);
    edge.apply().await.expect("the apply succeeds");
    // Moved to another file: together with the old one it would be a duplicate.
    want(&edge, &nginx, &[("b.conf", &user), ("c.conf", upstream)]);
    edge.apply().await.expect("the apply succeeds");
    assert_eq!(names(&nginx.path("etc/sites")), ["b.conf", "c.conf"]);
    // Included by name: without the file nginx would not start.
    nginx.write("etc/conf.d/by-name.conf", "include sites/b.conf;\n");
    want(&edge, &nginx, &[("c.conf", upstream)]);
    edge.fails(&["sites/b.conf", "No such file"]).await;
    assert_eq!(names(&nginx.path("etc/sites")), ["b.conf", "c.conf"]);
}

#[tokio::test]
async fn a_failed_reload_restores_removed_files() {
    let home = directory();
    let path = |below: &str| home.path().join(below);
    fs::create_dir(path("etc")).expect("a directory");
    let edge = |script: &str| {
        let script = format!("cd '{}'; {script}", home.path().display());
        let reload = Some(ReloadMethod::Command(["sh", "-c", &script].map(str::to_owned).to_vec()));
        let kind = TargetKind::Command(CommandSettings { reload, ..CommandSettings::default() });
        let destination = path("etc/{{this}}");
        let template =
            TemplateSettings { destination, each: Some("(services)".to_owned()), ..TemplateSettings::default() };
        let settings = Settings::new("edge".to_owned(), kind, vec![template]);
        Edge::from(settings, &path("state"), &docker::Settings::default())
    };
    let want = |edge: &Edge, files: &[(&str, &str)]| {
        let product = |(name, text): &(&str, &str)| (path("etc").join(name), Arc::new(DesiredFile::new(0, *text)));
        edge.desired.replace(files.iter().map(product).collect::<BTreeMap<_, _>>());
    };
    fs::write(path("etc/b"), "by hand").expect("the test owns it");
    let mut first = edge("test -e etc/a");
    want(&first, &[("a", "1"), ("c", "1")]);
    first.writes(&[&path("etc/a"), &path("etc/c")]).await;
    want(&first, &[("b", "2"), ("c", "2"), ("d", "2")]);
    first.fails(&["rolled back"]).await;
    assert_eq!(names(&path("etc")), ["a", "b", "c"]);
    assert_eq!(["a", "b", "c"].map(|name| text(path("etc").join(name))), ["1", "by hand", "1"]);
    // A file that was rolled back is not managed: the next change does not remove it.
    want(&first, &[("a", "1"), ("c", "3")]);
    first.writes(&[&path("etc/c")]).await;
    assert_eq!(names(&path("etc")), ["a", "b", "c"]);
}

#[tokio::test]
async fn two_names_of_one_file_are_refused() {
    let home = directory();
    let path = |below: &str| home.path().join(below);
    let destination = path("etc/{{this}}");
    let template = TemplateSettings { destination, each: Some("(services)".to_owned()), ..TemplateSettings::default() };
    let kind = TargetKind::Command(CommandSettings::default());
    let mut edge = Edge::with(kind, &path("state"), vec![template]);
    let product = |path: &Path| (path.to_owned(), Arc::new(DesiredFile::new(0, "")));
    edge.desired.replace([product(&path("etc/a")), product(&path("etc/../etc/a"))].into());
    edge.fails(&["are the same file"]).await;
    assert!(!path("etc").exists());
    edge.desired.replace([product(&path("etc/a"))].into());
    let done = edge.apply().await.expect("it can be written");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![path("etc/a")], effect: Effect::NoReload });
}

const WORKER: &str = "PORTREEVE_TEST_WORKER";

/// The process that the test below starts and kills: its files have other names in each pass.
#[tokio::test]
#[ignore = "the program that another test starts and kills"]
async fn worker() {
    let Ok(home) = std::env::var(WORKER) else { return };
    let mut edge = many(Path::new(&home));
    println!("\nready");
    for number in 0_u32.. {
        want_many(&edge, Path::new(&home), number);
        edge.apply().await.expect("it can be written");
    }
}

fn many(home: &Path) -> Edge {
    let destination = home.join("etc/{{this}}.conf");
    let template = TemplateSettings { destination, each: Some("(services)".to_owned()), ..TemplateSettings::default() };
    Edge::with(TargetKind::Command(CommandSettings::default()), &home.join("state"), vec![template])
}

fn want_many(edge: &Edge, home: &Path, number: u32) {
    let product = |at: u32| {
        let path = home.join(format!("etc/{number}/{at}.conf"));
        (path, Arc::new(DesiredFile::new(0, number.to_string())))
    };
    edge.desired.replace((0..3).map(product).collect::<BTreeMap<_, _>>());
}

#[tokio::test]
async fn a_process_killed_at_any_moment_leaves_no_file_that_the_next_one_does_not_know() {
    let home = directory();
    for round in 0..25_u64 {
        let mut worker = process::Command::new(std::env::current_exe().expect("/proc is mounted"))
            .args(["--ignored", "--exact", "worker", "--nocapture"])
            .env(WORKER, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let mut lines = BufReader::new(worker.stdout.as_mut().expect("it is a pipe")).lines();
        assert!(lines.any(|line| line.expect("a pipe") == "ready"), "the worker has ended");
        // At any moment of its passes.
        tokio::time::sleep(Duration::from_millis(round * 7 % 40)).await;
        worker.kill().expect("it is a child of ours");
        worker.wait().expect("it was killed");
    }
    let mut edge = many(home.path());
    edge.desired.replace(BTreeMap::new());
    // One pass may only complete an earlier one.
    for _ in 0..2 {
        edge.apply().await.expect("it can be written");
    }
    edge.is_current().await;
    for directory in names(&home.path().join("etc")) {
        assert_eq!(names(&home.path().join("etc").join(directory)), [""; 0]);
    }
}
