//! An nginx target with a real nginx: the guarantees for check, swap, reload, verification and rollback.

#[path = "target/retries.rs"]
mod retries;
mod targets;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::{self, Child, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portreeve::{
    core::{
        condition::error_chain,
        reconcile::{self, LoopTimings},
    },
    docker,
    sys::state_dir::StateDir,
    target::{
        ApplyError, ApplyOutcome, CheckVerdict, CommandSettings, Effect, NginxSettings as Settings, Rejection,
        ReloadMethod, TargetKind, TemplateSettings,
    },
};
use targets::{
    Edge, Orphan, Program, names,
    nginx::{Nginx, address, watched},
    text, wait_until,
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn new_files_are_in_effect_when_the_pass_ends() {
    let nginx = Nginx::serving("old");
    let web = nginx.web();
    fs::set_permissions(&web, fs::Permissions::from_mode(0o640)).expect("the test owns it");
    std::os::unix::fs::chown(&web, Some(1), Some(2)).expect("the tests run as root");
    let more = nginx.path("etc/conf.d/more.conf");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[web.clone(), more.clone()]);
    assert_eq!(edge.apply().await.expect("no file is desired yet"), ApplyOutcome::Incomplete);

    let workers = nginx.workers();
    edge.want(&[(&web, &nginx.server("new")), (&more, "# nothing\n")]);
    edge.writes(&[&more, &web]).await;
    assert_eq!(nginx.ask().expect("it serves"), "new", "immediately: the old workers are shutting down");
    assert!(workers.iter().all(|worker| !nginx.workers().contains(worker)));
    let metadata = fs::metadata(&web).expect("it exists");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o640, 1, 2), "access is kept");
    assert_eq!(fs::metadata(&more).expect("it exists").mode() & 0o7777, 0o644);
    assert_eq!(names(&nginx.path("etc/conf.d")), ["more.conf", "web.conf"], "nothing else is left");
    assert_eq!(names(&nginx.path("state/targets/edge")), ["journal"]);

    // With the same files there is no write and no reload, in this process and the next one.
    drop(edge);
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[web.clone(), more.clone()]);
    edge.want(&[(&web, &nginx.server("new")), (&more, "# nothing\n")]);
    edge.is_current().await;
    assert_eq!(fs::metadata(&web).expect("it exists").ino(), metadata.ino());
    assert_eq!(nginx.hang_ups(), 1);
}

#[tokio::test]
async fn mode_and_owner_are_set() {
    let nginx = Nginx::serving("old");
    let template = TemplateSettings {
        destination: nginx.web(),
        mode: Some(0o600),
        user: Some("daemon".to_owned()),
        group: Some("12".to_owned()),
        ..TemplateSettings::default()
    };
    let mut edge = Edge::with(nginx.kind(), &nginx.state(), vec![template]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    edge.writes(&[&nginx.web()]).await;
    let metadata = fs::metadata(nginx.web()).expect("it exists");
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o600, 1, 12));
}

/// A certificate without a key: enough for nginx to have to read it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBijCCAS+gAwIBAgIUTpPnQWzoaHAU8lp6Sbu5mDSmhmwwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOcG9ydHJlZXZlLXRlc3QwIBcNMjYxMTIwMTY1NDMzWhgPMjEy
NjEwMjcxNjU0MzNaMBkxFzAVBgNVBAMMDnBvcnRyZWV2ZS10ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEPvteQKmfrFRUDtSi9+BvPigMSgufXi3IDFVEAFnR
b/EW1bUaJIwXsLZ4WRpt9LjOD8Hjrxly4sebr/wfB6DVg6NTMFEwHQYDVR0OBBYE
FKqNsmmocZziWKvXB9JBYC04W5K0MB8GA1UdIwQYMBaAFKqNsmmocZziWKvXB9JB
YC04W5K0MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAKAjOXf6
YfXh4OsZcRflbZGZrAOh0SrvKEQp7+2hRnZnAiEAsZSK3FRwrlx5ZXnO2UD6ojiv
mDpwyH3unrz9xplJk0M=
-----END CERTIFICATE-----
";

/// A server that proxies over TLS, so that the check reads the certificate at `path`.
fn trusting(nginx: &Nginx, path: &str) -> String {
    format!(
        "server {{ listen {}; location / {{ proxy_pass https://127.0.0.1:9; proxy_ssl_verify on; \
         proxy_ssl_trusted_certificate {path}; }} }}\n",
        nginx.address
    )
}

#[tokio::test]
async fn the_check_reads_a_candidate_wherever_nginx_includes_it() {
    let nginx = Nginx::new("include sites/*/enabled/[!x]*;\ninclude \"deep.d/a b.conf\";\ninclude map.conf;");
    nginx.write("etc/deep.d/a b.conf", &format!("include '{}';\n", nginx.path("elsewhere/*.inc").display()));
    nginx.write("etc/map.conf", "map $host $name {\n default a;\n include maps/hosts;\n}\n");
    nginx.write("etc/maps/hosts", "a b;\n");
    nginx.write("etc/sites/one/available/s", "");
    nginx.write("elsewhere/x.inc", "include ../etc/nested.conf;\n");
    nginx.write("etc/nested.conf", "");
    fs::create_dir_all(nginx.path("etc/sites/one/enabled")).expect("a directory");
    symlink("../available/s", nginx.path("etc/sites/one/enabled/s")).expect("a link");
    // For each kind of include: the destination, and the file that the error names.
    let reached = [
        ("etc/conf.d/new.conf", "etc/conf.d/new.conf"),
        ("etc/sites/one/available/s", "etc/sites/one/enabled/s"),
        ("etc/sites/one/enabled/s", "etc/sites/one/enabled/s"),
        ("etc/deep.d/a b.conf", "etc/deep.d/a b.conf"),
        ("elsewhere/x.inc", "elsewhere/x.inc"),
        ("etc/nested.conf", "etc/../etc/nested.conf"),
        ("etc/maps/hosts", "etc/maps/hosts"),
        ("etc/nginx.conf", "etc/nginx.conf"),
    ];
    for (destination, named) in reached {
        let before = fs::read(nginx.path(destination)).ok();
        let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.path(destination)]);
        edge.want(&[(&nginx.path(destination), "# fine\n\nnonsense here and there;\n")]);
        let named = format!("{}:3", nginx.path(named).display());
        let error = edge.fails(&["nothing was touched", "[emerg] ", &named]).await;
        let message = error_chain(&error);
        assert!(!message.contains("/.portreeve-"), "a copy's name: {message}");
        assert_eq!(fs::read(nginx.path(destination)).ok(), before);
    }
    // Not included: the check cannot judge them.
    for destination in ["etc/conf.d/.hidden.conf", "etc/conf.d/new.conf.off", "etc/sites/one/enabled/x"] {
        let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.path(destination)]);
        edge.want(&[(&nginx.path(destination), "nonsense;")]);
        let opinion = edge.target.diff().await.expect("it can be checked").check;
        let Some(CheckVerdict::Accepted { warnings }) = opinion else { panic!("{destination}: {opinion:?}") };
        assert!(warnings[0].contains("no include leads to it"), "{warnings:?}");
    }
}

#[tokio::test]
async fn the_check_finds_relative_paths() {
    let nginx = Nginx::serving("old");
    nginx.write("etc/certs/ca.pem", CERTIFICATE);
    nginx.write("certs/ca.pem", CERTIFICATE);
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    for path in ["certs/ca.pem", "../certs/ca.pem", "../etc/certs/../certs/ca.pem"] {
        edge.want(&[(&nginx.web(), &trusting(&nginx, path))]);
        edge.writes(&[&nginx.web()]).await;
    }
    edge.want(&[(&nginx.web(), &trusting(&nginx, "certs/none.pem"))]);
    edge.fails(&["certs/none.pem", "No such file"]).await;

    // A certificate that is a candidate itself: good, then not.
    drop(edge);
    let certificate = nginx.path("etc/certs/new.pem");
    let files = [nginx.web(), certificate.clone()];
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &files);
    let site = trusting(&nginx, "certs/new.pem");
    edge.want(&[(&nginx.web(), &site), (&certificate, CERTIFICATE)]);
    edge.writes(&[&certificate, &nginx.web()]).await;
    edge.want(&[(&nginx.web(), &site), (&certificate, "no certificate")]);
    edge.fails(&["new.pem"]).await;
    assert_eq!(text(&certificate), CERTIFICATE);
}

#[tokio::test]
async fn a_rejected_candidate_changes_no_file_and_is_not_retried() {
    let nginx = Nginx::serving("old");
    let binary = watched(&nginx.path(""), "");
    let checks = || text(nginx.path("calls")).lines().filter(|call| *call == "-t").count();
    let kind = TargetKind::Nginx(Settings { binary, ..nginx.settings() });
    let mut edge = Edge::new(kind, &nginx.state(), &[nginx.web()]);
    let (workers, before) = (nginx.workers(), fs::metadata(nginx.web()).expect("it exists"));

    let broken = format!("server {{\n  listen {};\n  retrun 200;\n}}\n", nginx.address);
    edge.want(&[(&nginx.web(), &broken)]);
    let place = format!("unknown directive \"retrun\" in {}:3", nginx.web().display());
    for _ in 0..3 {
        let error = edge.fails(&["refused", &place]).await;
        assert!(matches!(error, ApplyError::Rejected(Rejection::CheckFailed { .. })), "{error:?}");
    }
    assert_eq!(checks(), 1, "one check is enough");
    let after = fs::metadata(nginx.web()).expect("it exists");
    assert_eq!((after.ino(), after.ctime_nsec()), (before.ino(), before.ctime_nsec()), "not even touched");
    assert_eq!(names(&nginx.path("etc/conf.d")), ["web.conf"]);
    assert_eq!((nginx.workers(), nginx.hang_ups(), edge.has_pending_reload()), (workers, 0, false));
    assert_eq!(nginx.ask().expect("it serves"), "old");

    // Other files of the configuration are inputs too.
    nginx.write("etc/conf.d/zz.conf", "# new\n");
    edge.fails(&[&place]).await;
    assert_eq!(checks(), 2);
    edge.want(&[(&nginx.web(), &nginx.server("good"))]);
    edge.writes(&[&nginx.web()]).await;
    assert_eq!(nginx.ask().expect("it serves"), "good");
}

#[tokio::test]
async fn files_that_nginx_rejects_only_at_reload_are_rolled_back() {
    let nginx = Nginx::serving("old");
    let more = nginx.path("etc/conf.d/more.conf");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web(), more.clone()]);
    let taken = TcpListener::bind(address()).expect("it is free");
    let place = taken.local_addr().expect("it is bound").to_string();
    let server = format!("server {{ listen {place}; return 200 more; }}\n");
    edge.want(&[(&nginx.web(), &nginx.server("new")), (&more, &server)]);
    for _ in 0..2 {
        let error = edge.fails(&["rolled back", &format!("bind() to {place} failed"), "in use"]).await;
        assert!(matches!(error, ApplyError::Rejected(Rejection::RolledBack { .. })), "{error:?}");
    }
    assert_eq!(text(nginx.web()), nginx.server("old"));
    assert_eq!(names(&nginx.path("etc/conf.d")), ["web.conf"], "what was not there is not there");
    assert_eq!(nginx.ask().expect("it serves"), "old");
    assert_eq!(nginx.hang_ups(), 2, "there and back, and not again");
    assert!(!edge.has_pending_reload());

    drop(taken);
    edge.want(&[(&nginx.web(), &nginx.server("new")), (&more, &format!("{server}\n"))]);
    edge.writes(&[&more, &nginx.web()]).await;
    assert_eq!(nginx.ask().expect("it serves"), "new");
    assert_eq!(targets::nginx::ask(&place).expect("it serves"), "more");
}

#[tokio::test]
async fn files_for_a_stopped_nginx_are_written_and_the_reload_stays_pending() {
    let mut nginx = Nginx::serving("old");
    nginx.stop();
    let pid_file = nginx.path("prefix/run/nginx.pid");
    assert!(!pid_file.exists(), "a master takes it away when it ends");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    for written in [vec![nginx.web()], vec![]] {
        let done = edge.apply().await.expect("this is not an error");
        let ApplyOutcome::Applied { written: files, effect: Effect::NotRunning(_) } = done else { panic!("{done:?}") };
        assert_eq!(files, written);
        assert!(edge.has_pending_reload());
    }
    assert!(!pid_file.exists(), "the check leaves no pid file behind");
    nginx.start();
    assert_eq!(nginx.ask().expect("it serves"), "new", "it has read the file when it started");
    let done = edge.apply().await.expect("it runs");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
    edge.is_current().await;
}

#[tokio::test]
async fn a_check_makes_no_pid_file_whether_or_not_the_configuration_names_one() {
    let nginx = Nginx::new("");
    let conf = text(nginx.path("etc/nginx.conf")).replace("pid run/nginx.pid;", "");
    nginx.write("etc/nginx.conf", &conf);
    // A wrapper of nginx, whose `-V` names another default pid file.
    let built_in = nginx.path("prefix/run/built-in.pid");
    let says = format!("[ \"$1\" = -V ] && echo nginx version: nginx/1.22.1 --pid-path={} && exit", built_in.display());
    let before = fs::metadata("/run/nginx.pid").ok().map(|metadata| metadata.ctime_nsec());
    let kind = TargetKind::Nginx(Settings { binary: watched(&nginx.path(""), &says), ..nginx.settings() });
    let mut edge = Edge::new(kind, &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    let done = edge.apply().await.expect("no process to notify is not an error");
    let ApplyOutcome::Applied { effect: Effect::NotRunning(absent), .. } = done else { panic!("{done:?}") };
    assert_eq!(absent.to_string(), format!("{}: is missing, or has no pid in it", built_in.display()));
    let after = fs::metadata("/run/nginx.pid").ok().map(|metadata| metadata.ctime_nsec());
    assert_eq!(before, after, "where a Debian nginx has it");
    assert!(!built_in.exists());
}

#[tokio::test]
async fn a_pid_of_another_program_gets_no_signal() {
    let nginx = Nginx::new("");
    let mut stranger = Program::start("sleep", &["300"]);
    nginx.write("prefix/run/nginx.pid", &stranger.id().to_string());
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    let done = edge.apply().await.expect("this is not an error");
    let ApplyOutcome::Applied { effect: Effect::NotRunning(absent), .. } = done else { panic!("{done:?}") };
    assert!(absent.to_string().ends_with("is sleep, not an nginx master"), "{absent}");
    assert!(stranger.runs());
    assert_eq!(text(nginx.path("prefix/run/nginx.pid")), stranger.id().to_string(), "the check leaves it alone");
}

#[tokio::test]
async fn a_configuration_broken_by_a_foreign_file_blocks_a_pending_reload_without_a_signal() {
    let mut nginx = Nginx::serving("old");
    nginx.stop();
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    edge.apply().await.expect("no process to notify is not an error");
    nginx.start();
    nginx.write("etc/conf.d/foreign.conf", "broken;\n");
    for _ in 0..3 {
        edge.fails(&["has to wait", "foreign.conf:1"]).await;
    }
    assert_eq!(nginx.hang_ups(), 0, "nginx is spared");
    fs::remove_file(nginx.path("etc/conf.d/foreign.conf")).expect("the test owns it");
    let done = edge.apply().await.expect("it is valid again");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
}

#[tokio::test]
async fn a_diff_shows_the_changes_and_makes_none() {
    let nginx = Nginx::serving("old");
    let more = nginx.path("etc/conf.d/more.conf");
    let edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web(), more.clone()]);
    // While the daemon has locked the state directory.
    let settings = portreeve::target::Settings::new(
        "edge".to_owned(),
        nginx.kind(),
        [nginx.web(), more.clone()]
            .map(|destination| TemplateSettings { destination, ..TemplateSettings::default() })
            .to_vec(),
    );
    let read_only = StateDir::open_read_only(&nginx.state());
    let mut target =
        portreeve::target::Target::new(settings, edge.desired.clone(), &read_only, &docker::Settings::default())
            .expect("the settings are valid");
    let diff = target.diff().await.expect("the diff succeeds");
    assert!(!diff.complete && diff.files.is_empty() && diff.check.is_none());

    edge.want(&[(&nginx.web(), &nginx.server("new")), (&more, "# more\n")]);
    let diff = target.diff().await.expect("the diff succeeds");
    assert_eq!(diff.check, Some(CheckVerdict::Accepted { warnings: vec![] }));
    let web = nginx.web().display().to_string();
    let (old, new) = (nginx.server("old"), nginx.server("new"));
    assert_eq!(diff.files[1].unified, format!("--- {web}\n+++ {web}\n@@ -1 +1 @@\n-{old}+{new}"));
    let created = format!("--- /dev/null\n+++ {}\n@@ -0,0 +1 @@\n+# more\n", more.display());
    assert_eq!(diff.files[0].unified, created);

    edge.want(&[(&nginx.web(), "x"), (&more, "")]);
    let diff = target.diff().await.expect("the diff succeeds");
    let Some(CheckVerdict::Rejected { output, .. }) = diff.check else { panic!("{diff:?}") };
    assert!(output.contains(&web), "{output}");
    assert_eq!((text(nginx.web()), nginx.hang_ups(), edge.has_pending_reload()), (old, 0, false));
    assert_eq!(names(&nginx.path("etc/conf.d")), ["web.conf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_delays_its_own_target_only() {
    let (slow, quick) = (Nginx::serving("old"), Nginx::serving("old"));
    let hold = slow.path("hold");
    fs::write(&hold, "").expect("the test owns it");
    let wait = format!("while [ \"$1\" = -t ] && [ -e '{}' ]; do sleep 0.01; done", hold.display());
    let kind = |hangs: &Nginx, limit| {
        TargetKind::Nginx(Settings {
            binary: watched(&hangs.path(""), &wait),
            check_timeout: limit,
            ..hangs.settings()
        })
    };
    let pace = LoopTimings::with_resync(Duration::from_secs(3600));
    let stop = CancellationToken::new();
    let run = |nginx: &Nginx, kind| {
        let Edge { mut target, desired, state } = Edge::new(kind, &nginx.state(), &[nginx.web()]);
        let (bell, stop) = (desired.bell(), stop.clone());
        let task = tokio::spawn(async move { reconcile::run(&mut target, bell, pace, stop).await });
        let want = |text: &str| Edge::put(&desired, &nginx.web(), &nginx.server(text));
        want("new");
        (task, state)
    };
    let (slow_task, _) = run(&slow, kind(&slow, Duration::from_secs(3600)));
    wait_until("the check that hangs", || {
        let calls = fs::read_to_string(slow.path("calls")).unwrap_or_default();
        if calls.contains("-t") { Ok(()) } else { Err(calls) }
    });
    let (quick_task, _) = run(&quick, quick.kind());
    quick.answers("new");
    assert_eq!(slow.ask().expect("it serves"), "old");
    fs::remove_file(&hold).expect("the test owns it");
    slow.answers("new");
    stop.cancel();
    slow_task.await.expect("it ends");
    quick_task.await.expect("it ends");
}

#[tokio::test]
async fn a_check_that_times_out_is_killed_and_retried() {
    let nginx = Nginx::serving("old");
    let hold = nginx.path("hold");
    fs::write(&hold, "").expect("the test owns it");
    let wait = format!("[ \"$1\" = -t ] && [ -e '{}' ] && sleep 300", hold.display());
    let settings = Settings {
        binary: watched(&nginx.path(""), &wait),
        check_timeout: Duration::from_millis(500),
        ..nginx.settings()
    };
    let mut edge = Edge::new(TargetKind::Nginx(settings.clone()), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    let error = edge.fails(&["cannot be checked", "took longer than 500ms"]).await;
    assert!(matches!(error, ApplyError::Check(_)), "{error:?}");
    assert_eq!(text(nginx.web()), nginx.server("old"));
    drop(edge);
    fs::remove_file(&hold).expect("the test owns it");
    let kind = TargetKind::Nginx(Settings { check_timeout: Duration::from_secs(60), ..settings });
    let mut edge = Edge::new(kind, &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    edge.writes(&[&nginx.web()]).await;
}

/// Kills a process between the swap and the reload, and checks how the next one recovers.
#[tokio::test]
async fn the_next_process_recovers_from_a_crash_between_swap_and_reload() {
    let nginx = Nginx::serving("old");
    let mut worker = Worker::start(&nginx, "hang");
    // The reload of that worker hangs after the swap, and records its pid.
    let hangs = Orphan::noted_in(&nginx.path("hangs"));
    worker.kill();
    drop(hangs);
    assert_eq!(text(nginx.web()), nginx.server("0"));
    assert_eq!((nginx.ask().expect("it serves").as_str(), nginx.hang_ups()), ("old", 0));

    // The desired files are unknown, but the pending reload is known.
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web(), nginx.path("etc/conf.d/more.conf")]);
    assert!(edge.has_pending_reload());
    let done = edge.apply().await.expect("nginx runs");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
    assert_eq!((nginx.ask().expect("it serves").as_str(), nginx.hang_ups()), ("0", 1));
    assert!(!edge.has_pending_reload());
}

#[tokio::test]
async fn the_next_process_recovers_from_a_crash_during_a_swap_even_without_the_desired_files() {
    let nginx = Nginx::serving("old");
    let more = nginx.path("etc/conf.d/more.conf");
    let mut worker = Worker::start(&nginx, "hang");
    let hangs = Orphan::noted_in(&nginx.path("hangs"));
    worker.kill();
    drop(hangs);
    // As if the process had been killed after the first of the two swaps.
    fs::remove_file(&more).expect("it was written");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web(), more.clone()]);
    let done = edge.apply().await.expect("nginx runs");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
    assert_eq!(text(nginx.web()), nginx.server("old"), "half a change is no change");
    assert!(!more.exists() && !edge.has_pending_reload());
}

#[tokio::test]
async fn a_process_killed_at_any_moment_leaves_a_state_that_the_next_one_can_complete() {
    let nginx = Nginx::serving("old");
    let more = nginx.path("etc/conf.d/more.conf");
    for round in 0..40_u64 {
        let mut worker = Worker::start(&nginx, "go on");
        worker.wait_until_ready();
        // At any moment of its passes, each of which takes about 120 ms.
        tokio::time::sleep(Duration::from_millis(round * 37 % 130)).await;
        worker.kill();
    }
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web(), more.clone()]);
    edge.apply().await.expect("the pending reload succeeds");
    edge.want(&[(&nginx.web(), &nginx.server("last")), (&more, "# last\n")]);
    edge.writes(&[&more, &nginx.web()]).await;
    assert_eq!(nginx.ask().expect("it serves"), "last");
    assert_eq!(names(&nginx.path("etc/conf.d")), ["more.conf", "web.conf"], "leftovers are swept");
    assert_eq!(names(&nginx.path("state/targets/edge")), ["journal"]);
}

const WORKER: &str = "PORTREEVE_TEST_WORKER";

/// The process that the tests above start and kill: writes 0, 1, 2 and so on to two files.
#[tokio::test]
#[ignore = "the program that other tests start and kill"]
async fn worker() {
    let Ok(settings) = std::env::var(WORKER) else { return };
    let [mode, root, address] = settings.split('\n').collect::<Vec<_>>()[..] else { panic!("{settings}") };
    let path = |below: &str| Path::new(root).join(below);
    let kind = match mode {
        "hang" => TargetKind::Command(CommandSettings {
            reload: Some(ReloadMethod::Command(
                ["sh", "-c", "echo $$ > \"$0\"; exec sleep 300", &path("hangs").to_string_lossy()]
                    .map(str::to_owned)
                    .to_vec(),
            )),
            reload_timeout: Duration::from_secs(300),
            ..CommandSettings::default()
        }),
        _ => TargetKind::Nginx(Settings {
            conf: Some(path("etc/nginx.conf")),
            prefix: Some(path("prefix")),
            ..Settings::default()
        }),
    };
    let (web, more) = (path("etc/conf.d/web.conf"), path("etc/conf.d/more.conf"));
    let mut edge = Edge::new(kind, &path("state"), &[web.clone(), more.clone()]);
    println!("\nready");
    for number in 0.. {
        let server = format!("server {{ listen {address}; return 200 \"{number}\"; }}\n");
        edge.want(&[(&web, &server), (&more, &format!("# {number}\n"))]);
        edge.apply().await.expect("the apply succeeds");
    }
}

/// [`worker`], in a process of its own.
struct Worker(Child);

impl Worker {
    fn start(nginx: &Nginx, mode: &str) -> Self {
        let settings = [mode, &nginx.path("").to_string_lossy(), &nginx.address].join("\n");
        let child = process::Command::new(std::env::current_exe().expect("/proc is mounted"))
            .args(["--ignored", "--exact", "worker", "--nocapture"])
            .env(WORKER, settings)
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("this program can be started"))
    }

    fn wait_until_ready(&mut self) {
        let mut lines = BufReader::new(self.0.stdout.as_mut().expect("it is a pipe")).lines();
        assert!(lines.any(|line| line.expect("a pipe") == "ready"), "the worker has ended");
    }

    fn kill(&mut self) {
        self.0.kill().expect("it is a child of ours");
        self.0.wait().expect("it was killed");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already killed, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn each_change_is_one_reload() {
    let nginx = Nginx::serving("0");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    let mut times = Vec::new();
    for number in 1..=20 {
        edge.want(&[(&nginx.web(), &nginx.server(&number.to_string()))]);
        let begin = Instant::now();
        edge.writes(&[&nginx.web()]).await;
        times.push(begin.elapsed());
    }
    times.sort();
    println!("new text -> new workers have taken over: median {:?}", times[10]);
    assert_eq!(nginx.hang_ups(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_by_another_program_are_not_mistaken_for_those_of_portreeve() {
    let nginx = Nginx::serving("0");
    // Read after the file that changes, so that a reload that has begun with the old file takes long.
    let long = (0..3000).map(|number| format!("upstream u{number} {{ server 127.0.0.1:9; }}\n"));
    nginx.write("etc/conf.d/zz.conf", &long.collect::<String>());
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    let master = Pid::from_raw(nginx.master().cast_signed());
    let stop = CancellationToken::new();
    let meddler = tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        for number in 0_u64.. {
            kill(master, Signal::SIGHUP).expect("it runs");
            tokio::time::sleep(Duration::from_millis(number * 29 % 150)).await;
        }
    }));
    for number in 1..=10 {
        edge.want(&[(&nginx.web(), &nginx.server(&number.to_string()))]);
        edge.writes(&[&nginx.web()]).await;
        assert_eq!(nginx.ask().expect("it serves"), number.to_string());
    }
    stop.cancel();
    meddler.await.expect("it was stopped");
}
