//! Targets of kind `command`, and the guarantees for files of every kind.

mod targets;

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
};
use portreeve::{
    docker,
    sys::state_dir::StateDir,
    target::{
        ApplyError, ApplyOutcome, CommandSettings, DesiredFileStore, Effect, Rejection, ReloadMethod, Settings,
        SymlinkPolicy, Target, TargetKind, TemplateSettings,
    },
};
use targets::{Edge, Program, directory, names, text, wait_until};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A directory with the file `app.conf`, which contains `old`.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(directory());
        fs::create_dir(home.path("etc")).expect("a directory");
        fs::write(home.file(), "old\n").expect("the test owns it");
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn file(&self) -> PathBuf {
        self.path("etc/app.conf")
    }

    /// A target of `app.conf` only.
    fn edge(&self, command: CommandSettings) -> Edge {
        Edge::new(TargetKind::Command(command), &self.path("state"), &[self.file()])
    }

    /// A script as a command: `$H` is this directory.
    fn shell(&self, script: &str) -> Vec<String> {
        let script = format!("H='{}'; {script}", self.0.path().display());
        ["sh", "-c", &script, "{{candidate}}"].map(str::to_owned).to_vec()
    }

    fn reload(&self, script: &str) -> Option<ReloadMethod> {
        Some(ReloadMethod::Command(self.shell(script)))
    }
}

#[tokio::test]
async fn the_check_reads_the_candidate_and_the_reload_the_file() {
    let home = Home::new();
    let check = "echo \"$(basename $0): $(cat $0), $(cat $H/etc/app.conf)\" >> $H/log";
    let reload = "echo \"reload: $(cat $H/etc/app.conf)\" >> $H/log";
    let mut edge = home.edge(CommandSettings {
        check: Some(home.shell(check)),
        reload: home.reload(reload),
        ..CommandSettings::default()
    });
    edge.want(&[(&home.file(), "new\n")]);
    edge.writes(&[&home.file()]).await;
    assert_eq!(text(home.path("log")), "app.conf: new, old\nreload: new\n");
}

#[tokio::test]
async fn several_candidates_are_in_a_directory_under_their_full_paths() {
    let home = Home::new();
    let other = home.path("etc/other.conf");
    let check = Some(home.shell("cat $0$H/etc/app.conf $0$H/etc/other.conf > $H/log"));
    let kind = TargetKind::Command(CommandSettings { check, ..CommandSettings::default() });
    let mut edge = Edge::new(kind, &home.path("state"), &[home.file(), other.clone()]);
    edge.want(&[(&home.file(), "new\n"), (&other, "other\n")]);
    let done = edge.apply().await.expect("the apply succeeds");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![home.file(), other], effect: Effect::NoReload });
    assert_eq!(text(home.path("log")), "new\nother\n");
    edge.is_current().await;
}

#[tokio::test]
async fn a_rejection_names_the_destination_instead_of_the_copy() {
    let home = Home::new();
    let check = Some(home.shell("echo $0:1: wrong >&2; echo >> $H/calls; exit 3"));
    let mut edge =
        home.edge(CommandSettings { check, reload: home.reload("touch $H/reloaded"), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    let place = format!("{}:1: wrong", home.file().display());
    let error = edge.fails(&["nothing was touched", "exit status: 3", &place]).await;
    assert!(matches!(error, ApplyError::Rejected(Rejection::CheckFailed { is_permanent: false, .. })), "{error:?}");
    assert_eq!((text(home.file()).as_str(), text(home.path("calls")).as_str()), ("old\n", "\n"));
    assert_eq!(names(home.0.path()), ["calls", "etc", "state"]);
    edge.want(&[(&home.file(), "old\n")]);
    edge.is_current().await;
}

#[tokio::test]
async fn a_check_that_fails_once_is_retried() {
    let home = Home::new();
    let check = Some(home.shell("test -e $H/well || { touch $H/well; echo not now; exit 1; }"));
    let mut edge = home.edge(CommandSettings { check, reload: home.reload("true"), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    edge.fails(&["not now"]).await;
    let again = async {
        while edge.apply().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(targets::LONG, again).await.expect("the retry succeeds");
    assert_eq!(text(home.file()), "new\n");
}

#[tokio::test]
async fn a_reload_command_that_cannot_be_started_causes_no_rollback() {
    let home = Home::new();
    let program = home.path("reload").display().to_string();
    let mut edge =
        home.edge(CommandSettings { reload: Some(ReloadMethod::Command(vec![program])), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    edge.fails(&["the reload is pending", "reload: cannot be started"]).await;
    assert_eq!((text(home.file()).as_str(), edge.has_pending_reload()), ("new\n", true));
}

#[tokio::test]
async fn a_failed_reload_rolls_the_files_back_and_reloads_again() {
    let home = Home::new();
    let reload = "cat $H/etc/app.conf >> $H/log; if grep -q bad $H/etc/app.conf; then echo 'no, bad'; exit 1; fi";
    let other = home.path("etc/other.conf");
    let kind = TargetKind::Command(CommandSettings { reload: home.reload(reload), ..CommandSettings::default() });
    let mut edge = Edge::new(kind, &home.path("state"), &[home.file(), other.clone()]);
    let before = fs::metadata(home.file()).expect("it exists").mode();
    edge.want(&[(&home.file(), "bad\n"), (&other, "other\n")]);
    for _ in 0..2 {
        let error = edge.fails(&["rolled back", "sh: exit status: 1", "no, bad"]).await;
        assert!(matches!(error, ApplyError::Rejected(Rejection::RolledBack { .. })), "{error:?}");
    }
    assert_eq!(text(home.path("log")), "bad\nold\n", "there and back, and not again");
    assert_eq!((text(home.file()).as_str(), other.exists(), edge.has_pending_reload()), ("old\n", false, false));
    assert_eq!(fs::metadata(home.file()).expect("it exists").mode(), before);
    edge.want(&[(&home.file(), "good\n"), (&other, "other\n")]);
    edge.writes(&[&home.file(), &other]).await;
}

#[tokio::test]
async fn a_reload_that_always_fails_does_not_reject_the_candidate() {
    let home = Home::new();
    let reload = "echo $(cat $H/etc/app.conf) >> $H/log; test -e $H/well";
    let mut edge = home.edge(CommandSettings { reload: home.reload(reload), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    let error = edge.fails(&["rolled back", "the reload of the former files has failed"]).await;
    assert!(matches!(error, ApplyError::RollbackFailed { .. }), "{error:?}");
    assert_eq!(text(home.file()), "old\n");
    // The next process knows the pending reload, and completes it before it tries new files.
    drop(edge);
    let mut edge = home.edge(CommandSettings { reload: home.reload(reload), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    for _ in 0..3 {
        edge.fails(&["pending reload has failed"]).await;
        edge.want(&[(&home.file(), "newer\n")]);
    }
    assert_eq!(text(home.path("log")), "new\nold\nold\nnewer\nold\n", "another candidate is tried once, and not again");
    drop(edge);
    let mut edge = home.edge(CommandSettings { reload: home.reload(reload), ..CommandSettings::default() });
    edge.want(&[(&home.file(), "new\n")]);
    fs::write(home.path("well"), "").expect("the test owns it");
    edge.writes(&[&home.file()]).await;
    assert_eq!(text(home.path("log")), "new\nold\nold\nnewer\nold\nold\nnew\n");
}

#[tokio::test]
async fn former_files_that_the_check_rejects_do_not_block_new_ones() {
    // Neither a former file that the check rejects, nor one that did not exist.
    for was_there in [true, false] {
        let home = Home::new();
        if !was_there {
            fs::remove_file(home.file()).expect("the test owns it");
        }
        let command = CommandSettings {
            check: Some(home.shell("test \"$(cat $0)\" = new")),
            reload: home.reload("test -e $H/well"),
            ..CommandSettings::default()
        };
        // Each process tries immediately.
        for _ in 0..3 {
            let mut edge = home.edge(command.clone());
            edge.want(&[(&home.file(), "new\n")]);
            edge.apply().await.expect_err("the apply fails");
        }
        assert_eq!(home.file().exists(), was_there);
        fs::write(home.path("well"), "").expect("the test owns it");
        let mut edge = home.edge(command);
        edge.want(&[(&home.file(), "new\n")]);
        edge.writes(&[&home.file()]).await;
    }
}

#[tokio::test]
async fn a_reload_that_hangs_is_killed_with_its_children_and_rolled_back() {
    let home = Home::new();
    let reload = "if grep -q new $H/etc/app.conf; then sleep 300 & echo $! > $H/child; echo $$ > $H/parent; wait; fi";
    let mut edge = home.edge(CommandSettings {
        reload: home.reload(reload),
        reload_timeout: Duration::from_secs(1),
        ..CommandSettings::default()
    });
    edge.want(&[(&home.file(), "new\n")]);
    edge.fails(&["rolled back", "took longer than 1s"]).await;
    assert_eq!(text(home.file()), "old\n");
    for pid in ["child", "parent"].map(|name| text(home.path(name))) {
        wait_until("its end", || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        });
    }
}

#[tokio::test]
async fn a_signal_reaches_only_the_expected_process() {
    let home = Home::new();
    let script = format!(
        "trap 'echo got >> {0}/log' USR1; touch {0}/ready; while :; do sleep 0.01; done",
        home.0.path().display()
    );
    let program = Program::start("sh", &["-c", &script]);
    wait_until("the program", || if home.path("ready").exists() { Ok(()) } else { Err("not ready") });
    fs::write(home.path("pid"), program.id().to_string()).expect("the test owns it");
    let command = |program: Option<&str>| CommandSettings {
        reload: Some(ReloadMethod::Signal {
            pid_file: home.path("pid"),
            signal: Signal::SIGUSR1,
            program: program.map(str::to_owned),
        }),
        ..CommandSettings::default()
    };
    let mut edge = home.edge(command(Some("haproxy")));
    edge.want(&[(&home.file(), "new\n")]);
    let done = edge.apply().await.expect("this is not an error");
    let ApplyOutcome::Applied { effect: Effect::NotRunning(absent), .. } = done else { panic!("{done:?}") };
    assert!(absent.to_string().ends_with("is sh, not haproxy"), "{absent}");
    drop(edge);
    let mut edge = home.edge(command(Some("sh")));
    edge.want(&[(&home.file(), "new\n")]);
    assert_eq!(
        edge.apply().await.expect("it runs"),
        ApplyOutcome::Applied { written: vec![], effect: Effect::Verified }
    );
    wait_until("the signal", || fs::read_to_string(home.path("log")));
}

#[tokio::test]
async fn a_symlink_is_followed() {
    let home = Home::new();
    let link = home.path("link.conf");
    symlink("etc/app.conf", &link).expect("a link");
    let kind = TargetKind::Command(CommandSettings {
        reload: home.reload("! grep -q bad $H/link.conf"),
        ..CommandSettings::default()
    });
    let mut edge = Edge::new(kind, &home.path("state"), std::slice::from_ref(&link));
    edge.want(&[(&link, "bad\n")]);
    edge.fails(&["rolled back"]).await;
    edge.want(&[(&link, "new\n")]);
    edge.writes(&[&link]).await;
    assert!(fs::symlink_metadata(&link).expect("it exists").is_symlink());
    assert_eq!(text(home.file()), "new\n");
}

#[tokio::test]
async fn staged_files_of_a_killed_process_are_removed() {
    let home = Home::new();
    for name in [".app.conf.portreeve-x1", ".other.conf.portreeve-x1"] {
        fs::write(home.path("etc").join(name), "half").expect("the test owns it");
    }
    let mut edge = home.edge(CommandSettings::default());
    edge.want(&[(&home.file(), "old\n")]);
    edge.is_current().await;
    assert_eq!(names(&home.path("etc")), [".other.conf.portreeve-x1", "app.conf"], "its own, and nobody else's");
}

#[tokio::test]
async fn a_missing_directory_is_created_after_the_check_unless_the_settings_forbid_it() {
    let home = Home::new();
    let missing = home.path("no/where/app.conf");
    let check = Some(home.shell("grep new $0"));
    let mut edge = Edge::new(
        TargetKind::Command(CommandSettings { check, ..CommandSettings::default() }),
        &home.path("state"),
        std::slice::from_ref(&missing),
    );
    edge.want(&[(&missing, "bad\n")]);
    edge.fails(&["refused"]).await;
    assert!(!home.path("no").exists(), "not for a candidate that is refused");
    edge.want(&[(&missing, "new\n")]);
    edge.apply().await.expect("the apply succeeds");
    for made in ["no", "no/where"] {
        assert_eq!(fs::metadata(home.path(made)).expect("it was made").mode() & 0o7777, 0o755);
    }
    drop(edge);

    let missing = home.path("never/app.conf");
    let template =
        TemplateSettings { destination: missing.clone(), create_dirs: Some(false), ..TemplateSettings::default() };
    let mut edge = Edge::with(TargetKind::Command(CommandSettings::default()), &home.path("state"), vec![template]);
    edge.want(&[(&missing, "new\n")]);
    edge.fails(&["the directory is missing; make it"]).await;
    assert!(!home.path("never").exists());
    fs::create_dir(home.path("never")).expect("a directory");
    let done = edge.apply().await.expect("the directory exists");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![missing], effect: Effect::NoReload });
}

/// Runs a test in a mount namespace of its own, which ends with its thread.
fn with_mounts(test: impl AsyncFnOnce(&Home) + Send) {
    // It outlives the mounts, so that it can be removed.
    let home = Home::new();
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("the tests run as root");
            run("mount", &["--make-rprivate", "/"]);
            // Created here, so that its threads are in the same namespace.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(test(&home));
        });
        thread.join().expect("the test passes");
    });
}

fn run(program: &str, args: &[&str]) {
    let status = process::Command::new(program).args(args).status().expect("it is installed");
    assert!(status.success(), "{program} {args:?}");
}

fn name(path: &Path) -> &str {
    path.to_str().expect("it is plain")
}

#[test]
fn a_full_disk_changes_nothing() {
    with_mounts(async |home| {
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "none", name(&home.path("etc"))]);
        let other = home.path("etc/other.conf");
        fs::write(home.file(), "old\n").expect("there is room");
        let kind = TargetKind::Command(CommandSettings {
            reload: home.reload("touch $H/reloaded"),
            ..CommandSettings::default()
        });
        let mut edge = Edge::new(kind, &home.path("state"), &[home.file(), other.clone()]);
        let large = "x".repeat(100 * 1024);
        for files in [[("new\n", large.as_str())], [(large.as_str(), "new\n")]] {
            let (first, second) = files[0];
            edge.want(&[(&home.file(), first), (&other, second)]);
            let error = edge.fails(&["the files are as they were", "no space left", "No space left on device"]).await;
            assert!(matches!(error, ApplyError::File(_)), "{error:?}");
            assert_eq!(text(home.file()), "old\n");
            assert_eq!(names(&home.path("etc")), ["app.conf"], "what was staged is gone");
            assert!(!home.path("reloaded").exists() && !edge.has_pending_reload());
        }
        edge.want(&[(&home.file(), "new\n"), (&other, "new\n")]);
        edge.writes(&[&home.file(), &other]).await;
    });
}

#[test]
fn with_a_full_state_directory_no_file_is_changed() {
    with_mounts(async |home| {
        fs::create_dir(home.path("state")).expect("a directory");
        run("mount", &["-t", "tmpfs", "-o", "size=64k", "none", name(&home.path("state"))]);
        fs::write(home.file(), "x".repeat(100 * 1024)).expect("there is room");
        let mut edge = home.edge(CommandSettings::default());
        edge.want(&[(&home.file(), "new\n")]);
        edge.fails(&[
            "the state directory cannot be read or written",
            "state directory: cannot write",
            "No space left",
        ])
        .await;
        assert_eq!(text(home.file()).len(), 100 * 1024);
        assert_eq!(names(&home.path("etc")), ["app.conf"]);
        assert!(!edge.has_pending_reload());
    });
}

#[test]
fn a_read_only_directory_changes_nothing() {
    with_mounts(async |home| {
        let etc = home.path("etc");
        run("mount", &["--bind", name(&etc), name(&etc)]);
        run("mount", &["-o", "remount,bind,ro", name(&etc)]);
        let mut edge = home.edge(CommandSettings::default());
        edge.want(&[(&home.file(), "new\n")]);
        edge.fails(&["the files are as they were", "app.conf: cannot be staged; its file system is mounted read-only"])
            .await;
        assert_eq!(text(home.file()), "old\n");
        run("mount", &["-o", "remount,bind,rw", name(&etc)]);
        assert!(matches!(edge.apply().await, Ok(ApplyOutcome::Applied { .. })), "it recovers by itself");
    });
}

#[test]
fn a_mounted_file_is_overwritten_in_place() {
    with_mounts(async |home| {
        let source = home.path("source.conf");
        fs::write(&source, "older and longer\n").expect("the test owns it");
        run("mount", &["--bind", name(&source), name(&home.file())]);
        let inode = fs::metadata(home.file()).expect("it exists").ino();
        let reload = home.reload("! grep -q bad $H/etc/app.conf");
        let mut edge = home.edge(CommandSettings { reload, ..CommandSettings::default() });
        edge.want(&[(&home.file(), "new\n")]);
        edge.writes(&[&home.file()]).await;
        edge.want(&[(&home.file(), "bad, and longer\n")]);
        edge.fails(&["rolled back"]).await;
        assert_eq!((text(home.file()), text(&source)), ("new\n".to_owned(), "new\n".to_owned()));
        assert_eq!(fs::metadata(home.file()).expect("it exists").ino(), inode, "the mount holds");
        assert_eq!(names(&home.path("etc")), ["app.conf"]);
    });
}

#[test]
fn a_failed_swap_leaves_no_reload_pending_and_notifies_no_program() {
    with_mounts(async |home| {
        let file = home.file();
        run("mount", &["--bind", name(&file), name(&file)]);
        run("mount", &["-o", "remount,bind,ro", name(&file)]);
        let mut edge =
            home.edge(CommandSettings { reload: home.reload("touch $H/reloaded"), ..CommandSettings::default() });
        edge.want(&[(&file, "new\n")]);
        for _ in 0..2 {
            edge.fails(&[
                "the files are as they were",
                "app.conf: cannot be overwritten; its file system is mounted read-only",
            ])
            .await;
            assert!(text(&file) == "old\n" && !edge.has_pending_reload() && !home.path("reloaded").exists());
        }
        run("umount", &[name(&file)]);
        edge.writes(&[&file]).await;
    });
}

#[tokio::test]
async fn a_symlink_is_refused_with_the_setting() {
    let home = Home::new();
    let link = home.path("link.conf");
    symlink("etc/app.conf", &link).expect("a link");
    let template =
        TemplateSettings { destination: link.clone(), symlinks: SymlinkPolicy::Refuse, ..TemplateSettings::default() };
    let mut edge = Edge::with(TargetKind::Command(CommandSettings::default()), &home.path("state"), vec![template]);
    edge.want(&[(&link, "new\n")]);
    edge.fails(&["link.conf: is a symlink, and `symlinks = \"refuse\"` is set for it"]).await;
    assert_eq!((text(home.file()).as_str(), edge.has_pending_reload()), ("old\n", false));
    fs::remove_file(&link).expect("the test owns it");
    let done = edge.apply().await.expect("it is not a symlink any more");
    assert_eq!(done, ApplyOutcome::Applied { written: vec![link], effect: Effect::NoReload });
}

#[tokio::test]
async fn mode_and_owner_are_corrected_without_a_reload() {
    let home = Home::new();
    let template = TemplateSettings {
        destination: home.file(),
        mode: Some(0o640),
        user: Some("1".to_owned()),
        group: Some("2".to_owned()),
        ..TemplateSettings::default()
    };
    let kind =
        TargetKind::Command(CommandSettings { reload: home.reload("touch $H/reloaded"), ..CommandSettings::default() });
    let mut edge = Edge::with(kind, &home.path("state"), vec![template]);
    let before = fs::metadata(home.file()).expect("it exists").ino();
    edge.want(&[(&home.file(), "old\n")]);
    edge.is_current().await;
    let after = fs::metadata(home.file()).expect("it exists");
    assert_eq!((after.mode() & 0o7777, after.uid(), after.gid(), after.ino()), (0o640, 1, 2, before));
    assert!(!home.path("reloaded").exists());
}

#[tokio::test]
async fn two_paths_of_one_file_are_refused_at_load() {
    let home = Home::new();
    let state = StateDir::open(&home.path("state")).expect("no other process has locked it");
    let template = |below: &str| TemplateSettings { destination: home.path(below), ..TemplateSettings::default() };
    let templates = vec![template("no/a"), template("no/../no/a")];
    let settings = Settings::new("edge".to_owned(), TargetKind::Command(CommandSettings::default()), templates);
    let made = Target::new(settings, DesiredFileStore::default(), &state, &docker::Settings::default());
    assert!(made.expect_err("both destinations are the same file").to_string().contains("is written by two templates"));
}

#[tokio::test]
async fn a_long_reload_is_killed_at_the_stop_and_stays_pending() {
    let home = Home::new();
    let stop = CancellationToken::new();
    let reload = "test -e $H/quick && exit; sleep 300 & echo $! > $H/child; wait";
    let Edge { target, desired, state } = home.edge(CommandSettings {
        reload: home.reload(reload),
        reload_timeout: Duration::from_secs(300),
        ..CommandSettings::default()
    });
    let mut edge = Edge { target: target.stop_with(stop.clone()), desired, state };
    edge.want(&[(&home.file(), "new\n")]);
    let child = async {
        while fs::read_to_string(home.path("child")).unwrap_or_default().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let (error, ()) = tokio::join!(edge.fails(&["the next start completes what has begun"]), child);
    assert!(matches!(error, ApplyError::Stopped), "{error:?}");
    let pid = text(home.path("child"));
    wait_until("its end", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
    });
    assert!(text(home.file()) == "new\n" && edge.has_pending_reload());
    drop(edge);
    fs::write(home.path("quick"), "").expect("the test owns it");
    let mut edge = home.edge(CommandSettings { reload: home.reload(reload), ..CommandSettings::default() });
    assert_eq!(
        edge.apply().await.expect("the reload succeeds"),
        ApplyOutcome::Applied { written: vec![], effect: Effect::Verified }
    );
}
