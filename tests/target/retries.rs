//! Retries of candidates after temporary failures: in the reconcile loop of a target, with a real nginx.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use portreeve::{
    core::reconcile::{self, LoopTimings},
    docker,
    sys::state_dir::StateDir,
    target::{
        ApplyError, ApplyOutcome, DesiredFile, DesiredFileStore, Effect, NginxSettings as Settings, ProbeSettings,
        Rejection, ReloadBudgets, Settings as TargetSettings, Target, TargetKind, TargetStatus, TargetStatuses,
        TemplateSettings,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    CERTIFICATE,
    targets::{
        Edge, members as members_of,
        nginx::{Nginx, address, ask, watched},
        text, wait_until,
    },
    trusting,
};

/// A target with one file, in its reconcile loop.
struct Running {
    file: PathBuf,
    desired: DesiredFileStore,
    reports: TargetStatuses,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(nginx: &Nginx, name: &str, settings: TargetSettings, budgets: &ReloadBudgets) -> Self {
        let file = settings.templates[0].destination.clone();
        let (desired, reports, stop) =
            (DesiredFileStore::default(), TargetStatuses::default(), CancellationToken::new());
        let state = StateDir::open(&nginx.path(&format!("state-{name}"))).expect("no other process has locked it");
        let settings = TargetSettings { name: name.to_owned(), ..settings };
        let mut target = Target::new(settings, desired.clone(), &state, &docker::Settings::default())
            .expect("the settings are valid")
            .stop_with(stop.clone());
        target.publish_to(reports.clone());
        target.share_budgets(budgets.clone());
        let (bell, ended) = (desired.bell(), stop.clone());
        let task = tokio::spawn(async move {
            let _state = state;
            reconcile::run(&mut target, bell, LoopTimings::with_resync(Duration::from_secs(3600)), ended).await;
        });
        Self { file, desired, reports, stop, task }
    }

    fn of(nginx: &Nginx, kind: TargetKind) -> Self {
        Self::start(nginx, "edge", settings(kind, nginx.web()), &ReloadBudgets::default())
    }

    fn want(&self, text: &str) {
        self.want_of(text, &[]);
    }

    fn want_of(&self, text: &str, members: &[&str]) {
        let instances = members_of(members);
        let product = Arc::new(DesiredFile { instances, ..DesiredFile::new(0, text) });
        self.desired.replace([(self.file.clone(), product)].into());
    }

    fn report(&self) -> TargetStatus {
        self.reports.snapshot().entries.values().next().cloned().unwrap_or_default()
    }

    /// Waits until its status has an error with this text.
    fn until_error(&self, text: &str) {
        wait_until(text, || match self.report() {
            TargetStatus { error: Some(error), .. } if error.contains(text) => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Waits until this content is in effect. Until then the file never has the content `never`.
    fn until_in_effect(&self, wanted: &str, never: Option<&str>) {
        wait_until("the files", || {
            let there = text(&self.file);
            assert_ne!(Some(there.as_str()), never, "it was put back");
            match self.report() {
                TargetStatus { in_sync_files: Some(_), .. } if there == wanted => Ok(()),
                other => Err(format!("{there}: {other:?}")),
            }
        });
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.expect("no panic");
    }
}

fn settings(kind: TargetKind, destination: PathBuf) -> TargetSettings {
    let template = TemplateSettings { destination, ..TemplateSettings::default() };
    TargetSettings::new("edge".to_owned(), kind, vec![template])
}

fn probing(settings: TargetSettings, address: &str, timeout: Duration) -> TargetSettings {
    let url = format!("http://{address}/").parse().expect("a URL");
    TargetSettings { probe: Some(ProbeSettings { url, timeout, status: None }), ..settings }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_check_is_reported_and_retried() {
    let nginx = Nginx::serving("old");
    let killed = nginx.path("killed");
    let once = format!("if [ \"$1\" = -t ] && [ ! -e '{0}' ]; then touch '{0}'; kill -9 $$; fi", killed.display());
    let kind = TargetKind::Nginx(Settings { binary: watched(&nginx.path(""), &once), ..nginx.settings() });
    let mut edge = Edge::new(kind.clone(), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    let error = edge.fails(&["refused", "nginx -t was killed by signal 9"]).await;
    assert!(matches!(error, ApplyError::Rejected(Rejection::CheckFailed { is_permanent: false, .. })), "{error:?}");
    fs::remove_file(&killed).expect("it was made");
    let running = Running::of(&nginx, kind);
    running.want(&nginx.server("new"));
    running.until_in_effect(&nginx.server("new"), None);
    assert!(killed.exists());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_detected_when_it_appears() {
    let nginx = Nginx::serving("old");
    let running = Running::of(&nginx, nginx.kind());
    let certificate = trusting(&nginx, "certs/late.pem");
    running.want(&certificate);
    running.until_error("certs/late.pem");
    nginx.write("etc/certs/late.pem", CERTIFICATE);
    running.until_in_effect(&certificate, None);

    let log = nginx.path("logs/late/access.log");
    let logging = format!("server {{ listen {}; access_log {}; return 200 logged; }}\n", nginx.address, log.display());
    running.want(&logging);
    running.until_error("late/access.log");
    fs::create_dir_all(nginx.path("logs/late")).expect("the test owns it");
    running.until_in_effect(&logging, None);
    assert_eq!(nginx.hang_ups(), 2, "what the check refuses costs no reload");
    running.end().await;
}

/// The file is not a module: another error message shows that nginx has checked it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_module_is_detected_when_it_appears() {
    let mut nginx = Nginx::new("");
    let modules = nginx.path("etc/modules.d/late.conf");
    let conf = text(nginx.path("etc/nginx.conf"));
    nginx.write("etc/nginx.conf", &format!("include modules.d/*.conf;\n{conf}"));
    nginx.write("etc/modules.d/late.conf", "# none\n");
    nginx.start();
    let running = Running::start(&nginx, "edge", settings(nginx.kind(), modules.clone()), &ReloadBudgets::default());
    running.want(&format!("load_module {};\n", nginx.path("late.so").display()));
    running.until_error("No such file");
    nginx.write("late.so", "no module");
    running.until_error("too short");
    assert_eq!((text(&modules).as_str(), nginx.hang_ups()), ("# none\n", 0));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_free_again_is_used() {
    let nginx = Nginx::serving("old");
    let taken = TcpListener::bind(address()).expect("it is free");
    let place = taken.local_addr().expect("it is bound").to_string();
    let server = format!("{}server {{ listen {place}; return 200 more; }}\n", nginx.server("new"));
    let running = Running::of(&nginx, nginx.kind());
    running.want(&server);
    running.until_error("rolled back");
    assert_eq!((text(nginx.web()), nginx.hang_ups()), (nginx.server("old"), 2));
    drop(taken);
    running.until_in_effect(&server, None);
    assert_eq!(ask(&place).expect("it serves"), "more");
    running.end().await;
}

/// A server that answers well as soon as the file `etc/flag` exists.
fn flagged(nginx: &Nginx) -> String {
    format!(
        "server {{ listen {}; root {}; location / {{ try_files /flag =503; }} }}\n",
        nginx.address,
        nginx.path("etc").display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_nginx_during_the_verification_is_not_a_rejection() {
    let mut nginx = Nginx::serving("old");
    let settings = probing(settings(nginx.kind(), nginx.web()), &nginx.address, Duration::from_secs(4));
    let running = Running::start(&nginx, "edge", settings, &ReloadBudgets::default());
    running.want(&flagged(&nginx));
    wait_until("the reload", || if nginx.hang_ups() == 1 { Ok(()) } else { Err(nginx.hang_ups()) });
    wait_until("the new workers", || nginx.ask().map(|answer| assert!(answer.contains("503") || answer == "old")));
    nginx.stop();
    nginx.start();
    nginx.write("etc/flag", "there");
    running.until_in_effect(&flagged(&nginx), Some(&nginx.server("old")));
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_always_fails_costs_few_reloads() {
    let mut nginx = Nginx::new("");
    nginx.write("etc/conf.d/web.conf", &flagged(&nginx));
    nginx.start();
    let settings = probing(settings(nginx.kind(), nginx.web()), &nginx.address, Duration::from_millis(200));
    let running = Running::start(&nginx, "edge", settings, &ReloadBudgets::default());
    let text = |number: usize| format!("{}# {number}\n", flagged(&nginx));
    running.want(&text(0));
    running.until_error("the probe");
    // One other candidate is tried immediately. The next ones wait: each would cause two reloads.
    let end = Instant::now() + Duration::from_secs(6);
    for number in 1.. {
        running.want(&text(number));
        tokio::time::sleep(Duration::from_millis(500)).await;
        if Instant::now() >= end {
            break;
        }
    }
    assert!((2..=4).contains(&nginx.hang_ups()), "{}", nginx.hang_ups());
    nginx.write("etc/flag", "there");
    running.want(&text(99));
    running.until_in_effect(&text(99), None);
    running.end().await;
}

/// The probe fails with the former file too.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_passes_the_probe_supersedes_files_that_never_do() {
    let mut nginx = Nginx::new("");
    nginx.write("etc/conf.d/web.conf", &flagged(&nginx));
    nginx.start();
    let settings = probing(settings(nginx.kind(), nginx.web()), &nginx.address, Duration::from_millis(200));
    let running = Running::start(&nginx, "edge", settings, &ReloadBudgets::default());
    running.want(&format!("{}# new\n", flagged(&nginx)));
    running.until_error("the probe");
    assert_eq!(text(nginx.web()), flagged(&nginx));
    for number in 0..3 {
        running.want(&format!("{}# {number}\n", flagged(&nginx)));
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let mended = nginx.server("new");
    running.want(&mended);
    running.until_in_effect(&mended, None);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_times_out_backs_off_and_another_candidate_is_checked_immediately() {
    let nginx = Nginx::serving("old");
    let hangs = nginx.path("hangs");
    let before = format!("if [ \"$1\" = -t ] && [ -e '{}' ]; then exec sleep 60; fi", hangs.display());
    let binary = watched(&nginx.path(""), &before);
    let limit = Duration::from_millis(300);
    let running = Running::of(&nginx, TargetKind::Nginx(Settings { binary, check_timeout: limit, ..nginx.settings() }));
    fs::write(&hangs, "").expect("the test owns it");
    running.want(&nginx.server("new"));
    running.until_error("took longer than");
    let checks = || text(nginx.path("calls")).lines().filter(|call| *call == "-t").count();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!((2..=4).contains(&checks()), "after 1, 2, 4 and 8 s: {}", checks());
    let before = checks();
    running.want(&nginx.server("newer"));
    wait_until("a check", || if checks() > before { Ok(()) } else { Err(checks()) });
    fs::remove_file(&hangs).expect("the test owns it");
    running.want(&nginx.server("newest"));
    running.until_in_effect(&nginx.server("newest"), None);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_service_causes_one_reload_per_interval() {
    let nginx = Nginx::serving("0");
    let running = Running::of(&nginx, nginx.kind());
    let members = ["web n a 10.0.0.1 80", "web n b 10.0.0.2 80"];
    running.want_of(&nginx.server("1"), &members);
    running.until_in_effect(&nginx.server("1"), None);
    let begin = Instant::now();
    for flap in 0..60 {
        let count = if flap % 2 == 0 { 1 } else { 2 };
        running.want_of(&nginx.server(&format!("{count}-{flap}")), &members[..count]);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let most = usize::try_from(begin.elapsed().as_secs()).expect("a small number") + 4;
    running.until_in_effect(&nginx.server("2-59"), None);
    assert!(nginx.hang_ups() <= most, "{} reloads, at most {most}", nginx.hang_ups());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_of_one_target_neither_rolls_back_nor_blocks_the_good_one_of_another() {
    let nginx = Nginx::serving("old");
    let other = nginx.path("etc/conf.d/other.conf");
    nginx.write("etc/conf.d/other.conf", "# other\n");
    let budgets = ReloadBudgets::default();
    // Another spelling of the same pid file.
    let named = TargetKind::Nginx(Settings { pid_file: Some(nginx.path("prefix/run/nginx.pid")), ..nginx.settings() });
    let good = Running::start(&nginx, "good", settings(nginx.kind(), nginx.web()), &budgets);
    let bad = Running::start(&nginx, "bad", settings(named, other.clone()), &budgets);
    good.want(&nginx.server("1"));
    bad.want("# fine\n");
    good.until_in_effect(&nginx.server("1"), None);
    bad.until_in_effect("# fine\n", None);

    let taken = TcpListener::bind(address()).expect("it is free");
    let place = taken.local_addr().expect("it is bound");
    for round in 2..5 {
        bad.want(&format!("server {{ listen {place}; }} # {round}\n"));
        tokio::time::sleep(Duration::from_millis(10 * round)).await;
        good.want(&nginx.server(&round.to_string()));
        good.until_in_effect(&nginx.server(&round.to_string()), None);
        nginx.answers(&round.to_string());
    }
    bad.until_error("rolled back");
    assert!(matches!(bad.report().rejection, Some(Rejection::RolledBack { .. })), "{:?}", bad.report());
    assert_eq!((text(&other), good.report().error), ("# fine\n".to_owned(), None));
    good.end().await;
    bad.end().await;
}

#[tokio::test]
async fn a_pid_file_that_cannot_be_read_causes_no_rollback() {
    let nginx = Nginx::serving("old");
    let pid_file = nginx.path("pid-file");
    fs::create_dir(&pid_file).expect("the test owns it");
    let kind = TargetKind::Nginx(Settings { pid_file: Some(pid_file.clone()), ..nginx.settings() });
    let mut edge = Edge::new(kind, &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &nginx.server("new"))]);
    for _ in 0..3 {
        edge.fails(&["the reload is pending", "pid-file: the pid file cannot be read"]).await;
        assert_eq!((text(nginx.web()), nginx.hang_ups(), edge.has_pending_reload()), (nginx.server("new"), 0, true));
    }
    fs::remove_dir(&pid_file).expect("it is empty");
    fs::copy(nginx.path("prefix/run/nginx.pid"), &pid_file).expect("nginx runs");
    fs::set_permissions(&pid_file, fs::Permissions::from_mode(0o644)).expect("the test owns it");
    let done = edge.apply().await.expect("an immediate retry, since the pid file has changed");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![], effect: Effect::Verified });
    assert_eq!(nginx.ask().expect("it serves"), "new");
}

#[tokio::test]
async fn an_error_quotes_the_line_of_the_candidate() {
    let nginx = Nginx::serving("old");
    let mut edge = Edge::new(nginx.kind(), &nginx.state(), &[nginx.web()]);
    edge.want(&[(&nginx.web(), &format!("server {{\n  listen {};\n  retrun 200 x;\n}}\n", nginx.address))]);
    let web = nginx.web().display().to_string();
    edge.fails(&[&format!("in {web}:3\n"), &format!("line 3 of the candidate for {web}: retrun 200 x;")]).await;
    edge.want(&[(&nginx.web(), "server {\n")]);
    edge.fails(&["unexpected end of file", &format!("of the candidate for {web}: server {{")]).await;
}
