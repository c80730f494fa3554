//! The files after `portreeve render` has ended, after failures, and without root.

mod common;
mod targets;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use common::{
    black_box::{Daemon, until},
    fake_keys::FakeKeys,
};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use portreeve_lab::portreeve;
use targets::nginx::Nginx;

const NOBODY: u32 = 65534;

/// Templates that print the key `value`, and a configuration for them.
struct Harness {
    folder: tempfile::TempDir,
    keys: FakeKeys,
}

impl Harness {
    /// `target`: the keys of the target besides its name and templates; `$H` is the directory.
    fn new(target: &str, files: &[&str]) -> Self {
        let harness = Self { folder: tempfile::tempdir().expect("a folder"), keys: FakeKeys::start() };
        let home = harness.folder.path().display().to_string();
        let mut config =
            format!("[render]\nstate_dir = \"$H/state\"\n[[target]]\nname = \"app\"\ninterval = \"0s\"\n{target}\n");
        for file in files {
            config += &format!("[[target.template]]\nsource = \"$H/a.hbs\"\ndestination = \"$H/{file}\"\n");
        }
        fs::write(harness.path("a.hbs"), "# {{key \"value\"}}\n").expect("it can be written");
        fs::write(harness.path("portreeve.toml"), config.replace("$H", &home)).expect("it can be written");
        harness
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        self.read(name) == format!("# {value}\n")
    }

    fn render(&self, arguments: &[&str]) -> Command {
        self.started_by(&[], arguments)
    }

    /// Started by a program that changes the permissions of the process.
    fn started_by(&self, before: &[&str], arguments: &[&str]) -> Command {
        let program = portreeve::program();
        let mut words = before.iter().map(AsRef::as_ref).chain([program.as_ref()]);
        let first: &std::ffi::OsStr = words.next().expect("the program at least");
        let mut command = Command::new(first);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(words).env_clear().env("CONSUL_HTTP_ADDR", self.keys.address()).env("PATH", path);
        command.arg("render").args(arguments).arg("--config").arg(self.path("portreeve.toml")).stdin(Stdio::null());
        command
    }

    /// As a user who owns the directory and its content, with these groups.
    fn as_nobody(&self, groups: &str, arguments: &[&str]) -> Command {
        for entry in fs::read_dir(self.folder.path()).expect("a folder").flatten() {
            chown(entry.path(), Some(NOBODY), Some(NOBODY)).expect("we are root");
        }
        chown(self.folder.path(), Some(NOBODY), Some(NOBODY)).expect("we are root");
        let groups = format!("--groups={groups}");
        self.started_by(&["setpriv", "--reuid=65534", "--regid=65534", &groups, "--inh-caps=-all"], arguments)
    }
}

/// A process that writes a line for each SIGHUP, with its pid in `app.pid`.
struct SighupRecorder(Child);

impl SighupRecorder {
    fn start(harness: &Harness) -> Self {
        let script = "trap 'echo told >> told' HUP; echo $$ > app.pid; while :; do sleep 0.02; done";
        let child =
            Command::new("sh").args(["-c", script]).current_dir(harness.folder.path()).spawn().expect("it starts");
        until("its pid", || !harness.read("app.pid").is_empty());
        Self(child)
    }
}

impl Drop for SighupRecorder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn once_ends_when_all_desired_files_are_applied() {
    // The program is not running, so each run finds the pending reload of the one before.
    let harness = Harness::new("kind = \"command\"\npid_file = \"$H/app.pid\"", &["app"]);
    for value in ["1", "2", "3", "4"] {
        harness.keys.set("value", value);
        let ended = harness.render(&["--once"]).output().expect("it starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        assert!(harness.holds("app", value), "{value}: {}", harness.read("app"));
    }
}

#[test]
fn files_change_together_even_if_the_process_is_stopped_meanwhile() {
    let names: Vec<_> = (0..400).map(|number| format!("out/{number:03}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let harness = Harness::new("kind = \"command\"", &names);
    harness.keys.set("value", "0");
    assert!(harness.render(&["--once"]).status().expect("it starts").success());
    let daemon: [&[&str]; 2] = [&["--once"], &[]];
    for (value, arguments) in ["1", "2"].into_iter().zip(daemon) {
        harness.keys.set("value", value);
        let mut running = Daemon::spawn(harness.render(arguments));
        until("the first file", || harness.holds(names[0], value));
        running.signal(Signal::SIGTERM);
        running.wait();
        let new = names.iter().filter(|name| harness.holds(name, value)).count();
        assert_eq!(new, names.len(), "{}", running.log());
    }
}

/// A file system whose server never answers.
#[test]
fn the_second_signal_ends_the_process_although_a_thread_hangs() {
    let harness = Harness::new("kind = \"command\"", &["out/app"]);
    harness.keys.set("value", "1");
    let own = ["unshare", "--mount", "sh", "-c", "exec \"$@\"", "sh"];
    let mut daemon = Daemon::spawn(harness.started_by(&own, &["--no-watch"]));
    daemon.until_logged("wrote");
    let mount = "exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none out && exec cat";
    let mut server = Command::new("nsenter");
    server
        .args(["--mount", "--target", &daemon.id().to_string()])
        .arg(format!("--wd={}", harness.folder.path().display()));
    let mut server = server.args(["sh", "-c", mount]).stdin(Stdio::piped()).spawn().expect("it starts");
    let mounts = format!("/proc/{}/mounts", daemon.id());
    until("the file system", || fs::read_to_string(&mounts).is_ok_and(|mounts| mounts.contains(" fuse ")));
    harness.keys.set("value", "2");
    let threads = format!("/proc/{}/task", daemon.id());
    let hangs =
        |thread: fs::DirEntry| fs::read_to_string(thread.path().join("wchan")).is_ok_and(|at| at.contains("fuse"));
    until("a thread that hangs", || fs::read_dir(&threads).expect("it runs").flatten().any(hangs));
    daemon.signal(Signal::SIGTERM);
    daemon.until_logged("SIGTERM: stopping");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(1), "{}", daemon.log());
    drop(server.stdin.take());
    server.wait().expect("our child");
}

#[test]
fn a_failed_reload_is_rolled_back_by_a_user_who_may_not_set_the_former_owner() {
    let reload = "reload = [\"sh\", \"-c\", \"! grep -q bad $H/out/app\"]";
    let harness = Harness::new(&format!("kind = \"command\"\n{reload}"), &["out/app"]);
    fs::create_dir(harness.path("out")).expect("a folder");
    fs::write(harness.path("out/app"), "# old\n").expect("a file");
    fs::set_permissions(harness.path("out/app"), fs::Permissions::from_mode(0o644)).expect("the test owns it");
    harness.keys.set("value", "bad");
    let daemon = Daemon::spawn(harness.as_nobody("65534", &[]));
    daemon.until_logged("rolled back");
    assert!(harness.holds("out/app", "old"), "{}", daemon.log());
    harness.keys.set("value", "good");
    until("the good content", || harness.holds("out/app", "good"));
    let log = daemon.log();
    assert_eq!(log.matches("cannot be kept by user 65534").count(), 1, "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_user_who_is_not_the_owner_keeps_a_group_of_its_own_and_the_mode() {
    let harness = Harness::new("kind = \"command\"", &["out/app", "out/setgid/new"]);
    let out = harness.path("out");
    harness.keys.set("value", "1");
    let mut command = harness.as_nobody("65534,33", &["--once"]);
    fs::create_dir(&out).expect("a folder");
    fs::write(harness.path("out/app"), "# old\n").expect("a file");
    for (path, mode) in [(&out, 0o2775), (&harness.path("out/app"), 0o640)] {
        chown(path, Some(0), Some(33)).expect("we are root");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the test owns it");
    }
    let ended = command.output().expect("it starts");
    assert!(ended.status.success() && harness.holds("out/app", "1"), "{}", String::from_utf8_lossy(&ended.stderr));
    let access = |path: &Path| fs::metadata(path).map(|is| (is.uid(), is.gid(), is.mode() & 0o7777)).expect("a file");
    assert_eq!(access(&harness.path("out/app")), (NOBODY, 33, 0o640));
    // New files in a directory with the set-group-id bit belong to its group.
    assert_eq!(access(&harness.path("out/setgid")), (NOBODY, 33, 0o2755));
    assert_eq!(access(&harness.path("out/setgid/new")), (NOBODY, 33, 0o644));
}

#[test]
fn the_obstacle_to_replacing_a_file_is_named() {
    let harness = Harness::new("kind = \"command\"", &["out/app"]);
    harness.keys.set("value", "1");
    let refused = |mode: u32| {
        let mut command = harness.as_nobody("65534", &["--once", "--deadline", "3s"]);
        drop(fs::create_dir(harness.path("out")));
        fs::write(harness.path("out/app"), "# old\n").expect("a file");
        chown(harness.path("out"), Some(0), Some(0)).expect("we are root");
        chown(harness.path("out/app"), Some(0), Some(0)).expect("we are root");
        fs::set_permissions(harness.path("out"), fs::Permissions::from_mode(mode)).expect("the test owns it");
        let ended = command.output().expect("it starts");
        assert!(ended.status.code() == Some(1) && harness.holds("out/app", "old"));
        String::from_utf8(ended.stderr).expect("text")
    };
    let error = refused(0o1777);
    assert!(error.contains("may not be replaced by user 65534") && error.contains("sticky bit"), "{error}");
    let error = refused(0o755);
    assert!(error.contains("may not be staged by user 65534; its directory has to be writable"), "{error}");
}

#[test]
fn a_journal_that_cannot_be_opened_does_not_count_as_corrupt() {
    let harness = Harness::new("kind = \"command\"\npid_file = \"$H/app.pid\"", &["app"]);
    harness.keys.set("value", "1");
    let daemon = Daemon::spawn(harness.render(&[]));
    daemon.until_logged("the reload is pending");
    let limit = |limit: &str| {
        let pid = daemon.id().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, limit]).status().expect("prlimit is there");
        assert!(set.success());
    };
    limit("--nofile=3:4096");
    daemon.until_logged("Too many open files");
    limit("--nofile=1024:4096");
    // The reload is still pending, and is made when the program is running.
    let _recorder = SighupRecorder::start(&harness);
    daemon.until_logged("in effect");
    until("the reload", || harness.read("told").contains("told"));
    assert!(!harness.path("state/targets/app/journal.unreadable").exists(), "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

/// For each file in the state directory.
#[test]
fn a_pipe_in_the_state_directory_is_named_and_does_not_block() {
    let harness = Harness::new("kind = \"command\"\nreload = [\"true\"]", &["app"]);
    harness.keys.set("value", "1");
    assert_eq!(harness.render(&["--once"]).output().expect("it starts").status.code(), Some(0));
    for (number, file) in ["targets/app/journal", "generations/app/index", "versions/app/index"].iter().enumerate() {
        let (path, aside) = (harness.path(&format!("state/{file}")), harness.path("aside"));
        fs::rename(&path, &aside).expect("it exists");
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        harness.keys.set("value", &format!("new {number}"));
        let daemon = Daemon::spawn(harness.render(&[]));
        daemon.until_logged(&format!("{file}: it is not a regular file"));
        fs::rename(&aside, &path).expect("it exists");
        until("the file", || harness.holds("app", &format!("new {number}")));
        assert_eq!(daemon.stop(), Some(0));
    }
}

/// Without space for the pid in the lock or for the journal: the daemon logs that, and continues when there is space.
#[test]
fn a_full_state_directory_at_the_start_is_named_and_recovers() {
    let harness = Harness::new("kind = \"command\"\nreload = [\"true\"]", &["app"]);
    harness.keys.set("value", "1");
    fs::create_dir(harness.path("state")).expect("the test owns it");
    let state = harness.path("state").display().to_string();
    let full =
        format!("mount -t tmpfs -o size=64k none {state} && ! cp /dev/zero {state}/fill 2>/dev/null && exec \"$@\"");
    let mut daemon = Daemon::spawn(harness.started_by(&["unshare", "--mount", "sh", "-c", &full, "sh"], &[]));
    daemon.until_logged(&format!(
        "cannot write {state}/lock; make room there, or name another with --state-dir: No space"
    ));
    daemon.until_logged("target app: ");
    assert!(!harness.path("app").exists(), "{}", daemon.log());
    let inside = format!("/proc/{}/root{state}/fill", daemon.id());
    fs::remove_file(inside).expect("it exists");
    until("the file", || harness.holds("app", "1"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    // Without a lock no state can be written.
    let unusable = format!("mount -t tmpfs -o size=64k,ro none {state} && exec \"$@\"");
    let ended =
        harness.started_by(&["unshare", "--mount", "sh", "-c", &unusable, "sh"], &[]).output().expect("it starts");
    let stderr = String::from_utf8(ended.stderr).expect("text");
    assert!(
        ended.status.code() == Some(2) && stderr.contains("let this user write there, or name another"),
        "{stderr}"
    );
}

#[test]
fn a_dry_run_of_a_pinned_target_does_not_report_that_it_would_be_applied() {
    let harness = Harness::new("kind = \"command\"\ncheck = [\"test\", \"-f\", \"{{candidate}}\"]", &["app"]);
    for value in ["1", "2"] {
        harness.keys.set("value", value);
        assert_eq!(harness.render(&["--once"]).output().expect("it starts").status.code(), Some(0));
    }
    assert_eq!(harness.render(&["rollback", "--data"]).output().expect("it starts").status.code(), Some(0));
    assert!(harness.holds("app", "1"));
    let printed = harness.render(&["--dry-run"]).output().expect("it starts").stdout;
    let printed = String::from_utf8(printed).expect("text");
    assert!(printed.contains("+# 2") && printed.contains("is pinned to generation"), "{printed}");
    assert!(printed.contains("which waits for the release") && !printed.contains("would be taken"), "{printed}");
}

/// An nginx configuration with the file of the target in `conf.d`.
fn nginx(harness: &Harness) {
    let home = harness.folder.path().display();
    let config =
        format!("error_log {home}/error.log;\npid {home}/app.pid;\nevents {{}}\nhttp {{ include conf.d/*.conf; }}\n");
    fs::create_dir(harness.path("conf.d")).expect("a folder");
    fs::write(harness.path("nginx.conf"), config).expect("it can be written");
}

/// Stops an nginx by its pid file when dropped.
struct Running<'a>(&'a Harness);

impl Running<'_> {
    /// The workers of the master.
    fn workers(&self) -> String {
        let pid = self.0.read("app.pid");
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", pid.trim())).unwrap_or_default()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Ok(pid) = self.0.read("app.pid").trim().parse() {
            // It may have exited.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

#[test]
fn for_an_nginx_of_root_the_documented_capabilities_are_sufficient_and_necessary() {
    let harness = Harness::new("kind = \"nginx\"\nconf = \"$H/nginx.conf\"\nprefix = \"$H\"", &["conf.d/app.conf"]);
    nginx(&harness);
    // Only root may read it, as a private key; `nginx -t` also opens the log of root.
    fs::write(harness.path("secret.conf"), "map $host $secret { default 1; }\n").expect("it can be written");
    let config = harness.read("nginx.conf").replace("http {", "http { include secret.conf;");
    fs::write(harness.path("nginx.conf"), config).expect("it can be written");
    harness.keys.set("value", "1");
    let render = |capabilities: &str| {
        drop(harness.as_nobody("65534", &[]));
        for secret in ["secret.conf", "error.log"] {
            chown(harness.path(secret), Some(0), Some(0)).expect("we are root");
            fs::set_permissions(harness.path(secret), fs::Permissions::from_mode(0o600)).expect("the test owns it");
        }
        let sets = ["--inh-caps", "--ambient-caps"].map(|set| format!("{set}={capabilities}"));
        let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &sets[0], &sets[1]];
        harness.started_by(&user, &["--once", "--deadline", "5s"]).output().expect("it starts")
    };
    fs::write(harness.path("error.log"), "").expect("it can be written");
    let mut started = Command::new("nginx");
    started.arg("-c").arg(harness.path("nginx.conf")).arg("-p").arg(harness.folder.path());
    assert!(started.status().expect("nginx is there").success());
    let running = Running(&harness);
    until("its workers", || !running.workers().is_empty());
    let before = running.workers();
    for (capabilities, missing) in [("-all", "secret.conf"), ("+dac_override", "cannot be signalled")] {
        let ended = render(capabilities);
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(1) && stderr.contains(missing), "{capabilities}: {stderr}");
    }
    assert_eq!(running.workers(), before);
    let ended = render("+kill,+dac_override");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(harness.holds("conf.d/app.conf", "1"));
    until("other workers", || running.workers() != before);
}

#[test]
fn a_pipe_among_the_included_files_is_named_and_delays_no_other_target() {
    let harness = Harness::new("kind = \"nginx\"\nconf = \"$H/nginx.conf\"\nprefix = \"$H\"", &["conf.d/app.conf"]);
    nginx(&harness);
    let pipe = harness.path("conf.d/x.conf");
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
    harness.keys.set("value", "1");
    let daemon = Daemon::spawn(harness.render(&[]));
    daemon.until_logged("x.conf is a pipe (FIFO)");
    assert!(!harness.path("conf.d/app.conf").exists());
    fs::remove_file(&pipe).expect("it exists");
    until("the file", || harness.holds("conf.d/app.conf", "1"));
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
    harness.keys.set("value", "2");
    daemon.until_logged_times("x.conf is a pipe (FIFO)", 2);
    assert_eq!(daemon.stop(), Some(0));
}

/// An nginx of root, and a Portreeve that may write its files but not signal it.
#[test]
fn an_nginx_that_may_not_be_signalled_keeps_its_new_files_and_is_reloaded_later() {
    let nginx = Nginx::serving("old");
    let conf = format!("conf = {:?}\nprefix = {:?}", nginx.path("etc/nginx.conf"), nginx.path("prefix"));
    let harness = Harness::new(&format!("kind = \"nginx\"\n{conf}"), &["unused"]);
    let config = harness
        .read("portreeve.toml")
        .replace(&harness.path("unused").display().to_string(), &nginx.web().display().to_string());
    fs::write(harness.path("portreeve.toml"), config).expect("the test owns it");
    fs::write(harness.path("a.hbs"), nginx.server("{{key \"value\"}}")).expect("the test owns it");
    chown(nginx.path("etc/conf.d"), Some(NOBODY), Some(NOBODY)).expect("we are root");
    chown(nginx.web(), Some(NOBODY), Some(NOBODY)).expect("we are root");
    fs::set_permissions(nginx.path("prefix/error.log"), fs::Permissions::from_mode(0o666)).expect("the test owns it");
    harness.keys.set("value", "new");
    let daemon = Daemon::spawn(harness.as_nobody("65534", &[]));
    daemon.until_logged("the reload is pending");
    let master = nginx.master();
    daemon.until_logged(&format!("process {master}"));
    harness.keys.set("value", "newer");
    until("the newest file", || targets::text(nginx.web()).contains("newer"));
    assert_eq!((nginx.hang_ups(), nginx.ask().expect("it serves").as_str()), (0, "old"), "{}", daemon.log());
    let log = daemon.log();
    assert!(log.contains("not permitted") && !log.contains("rolled back") && !log.contains("in effect"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
    // A Portreeve that may signal it does.
    let ended = harness.render(&["--once"]).output().expect("it starts");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    nginx.answers("newer");
    assert_eq!(nginx.hang_ups(), 1);
}
