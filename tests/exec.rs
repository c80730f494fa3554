//! The child process that `portreeve render` supervises.

mod common;
mod targets;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use common::{
    black_box::{Daemon, until},
    fake_keys::FakeKeys,
};
use nix::sys::signal::Signal;
use portreeve_lab::portreeve::program;
use tempfile::TempDir;

/// A shell that records each signal and exits at SIGTERM with a code of its own. It exits when its directory is removed, even
/// if a test fails and Portreeve is killed.
const NOTES: &str = r#"
for name in HUP USR1 USR2 QUIT WINCH CONT ALRM INT; do trap "echo $name >> log" $name; done
trap 'echo TERM >> log; exit 7' TERM
echo "start $(cat out)" >> log
while [ -e child.sh ]; do sleep 0.02; done
"#;

/// The directory of the child, with a template of the key `k`, its file `out`, and the file `log` of the child.
struct Harness {
    folder: TempDir,
    keys: FakeKeys,
}

impl Harness {
    fn new() -> Self {
        let harness = Self { folder: tempfile::tempdir().expect("a folder"), keys: FakeKeys::start() };
        harness.write("out.hbs", "{{key \"k\"}}");
        harness
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the test owns it");
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A script as the child's command.
    fn script(&self, text: &str) -> String {
        self.write("child.sh", text);
        "sh child.sh".to_owned()
    }

    /// Writes the configuration: one target without a quiet period, followed by `more`.
    fn configure(&self, more: &str) {
        let target = "[[target]]\nname = 'one'\nkind = 'command'\ninterval = '0s'\n\
             [[target.template]]\nsource = 'out.hbs'\ndestination = 'out'\n";
        self.write("portreeve.toml", &format!("[render]\nstate_dir = 'state'\n{target}{more}\n"));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        let path = std::env::var_os("PATH").expect("there is one");
        command.env_clear().env("PATH", path).env("CONSUL_HTTP_ADDR", self.keys.address());
        command.args(["render", "--config", "portreeve.toml"]).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&self, arguments: &[&str]) -> Daemon {
        Daemon::spawn(self.command(arguments))
    }

    /// Waits until the child has recorded this.
    fn until_noted(&self, daemon: &Daemon, noted: &str) {
        until(&format!("{noted:?} in {:?}; {}", self.text("log"), daemon.log()), || self.text("log") == noted);
    }
}

#[test]
fn the_child_starts_when_all_files_are_written_and_gets_its_signal_for_changes() {
    let harness = Harness::new();
    harness.configure("");
    let command = harness.script(NOTES);
    let mut daemon = harness.start(&["--exec", &command, "--exec-reload-signal", "hup"]);
    daemon.until_logged("the child starts when all targets are in sync; still waiting for one");
    assert_eq!(harness.text("log"), "", "there is no key yet");
    harness.keys.set("k", "1");
    harness.until_noted(&daemon, "start 1\n");
    harness.keys.set("k", "2");
    harness.until_noted(&daemon, "start 1\nHUP\n");
    assert_eq!(harness.text("out"), "2");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(7), "it has ended as it wanted, when it was told to: {}", daemon.log());
    assert_eq!(harness.text("log"), "start 1\nHUP\nTERM\n");
}

#[test]
fn without_a_signal_the_child_is_restarted_and_only_for_its_targets() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.keys.set("o", "1");
    harness.write("other.hbs", "{{key \"o\"}}");
    let other = "[[target]]\nname = 'other'\nkind = 'command'\n\
         [[target.template]]\nsource = 'other.hbs'\ndestination = 'other'\n";
    harness.script(NOTES);
    harness
        .configure(&format!("{other}[exec]\ncommand = ['sh', 'child.sh']\nkill_signal = 'SIGTERM'\ntargets = ['one']"));
    let daemon = harness.start(&[]);
    harness.until_noted(&daemon, "start 1\n");
    harness.keys.set("o", "2");
    until("the other file", || harness.text("other") == "2");
    harness.keys.set("k", "2");
    harness.until_noted(&daemon, "start 1\nTERM\nstart 2\n");
    daemon.stop();
}

#[test]
fn a_rejected_target_delays_the_start_and_is_logged() {
    let harness = Harness::new();
    harness.keys.set("k", "bad");
    harness.configure("");
    let text =
        harness.text("portreeve.toml").replace("interval", "check = ['grep', 'good', '{{candidate}}']\ninterval");
    harness.write("portreeve.toml", &text);
    let daemon = harness.start(&["--exec", &harness.script(NOTES)]);
    daemon.until_logged("exec: the child is not started: target one: ");
    assert_eq!(harness.text("log"), "");
    harness.keys.set("k", "good");
    harness.until_noted(&daemon, "start good\n");
    daemon.stop();
}

#[test]
fn when_the_child_exits_portreeve_exits_with_its_code() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -SEGV $$", 139)] {
        for once in [&[][..], &["--once"][..]] {
            let command = harness.script(script);
            let mut daemon = harness.start(&[&["--exec", &command][..], once].concat());
            assert_eq!(daemon.wait(), Some(code), "{script}: {}", daemon.log());
        }
    }
    let mut daemon = harness.start(&["--exec", "/nonexistent/app"]);
    assert_eq!(daemon.wait(), Some(1));
    assert!(daemon.log().contains("exec: /nonexistent/app: cannot be started: No such file"), "{}", daemon.log());
}

#[test]
fn signals_without_a_meaning_for_portreeve_are_forwarded() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    let daemon = harness.start(&["--exec", &harness.script(NOTES), "--exec-kill-signal", "TERM"]);
    harness.until_noted(&daemon, "start 1\n");
    let mut expected = "start 1\n".to_owned();
    for signal in ["USR1", "USR2", "QUIT", "WINCH", "CONT", "ALRM"] {
        daemon.signal(format!("SIG{signal}").parse().expect("a signal"));
        expected += &format!("{signal}\n");
        harness.until_noted(&daemon, &expected);
    }
    assert_eq!(daemon.stop(), Some(7));
}

#[test]
fn a_child_that_does_not_exit_in_time_is_killed_with_its_group() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    let deaf = "trap '' TERM\nsleep 90 & echo $! > pid\nwhile [ -e child.sh ]; do sleep 0.02; done";
    let mut daemon = harness.start(&["--exec", &harness.script(deaf), "--exec-kill-timeout", "200ms"]);
    until("the child's child", || harness.text("pid").ends_with('\n'));
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.wait(), Some(137), "{}", daemon.log());
    assert!(daemon.log().contains("has not exited within 200ms after SIGTERM; sending SIGKILL"), "{}", daemon.log());
    until_gone(&harness);
}

#[test]
fn a_second_signal_ends_portreeve_immediately_and_leaves_no_process() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    let deaf = "trap 'echo TERM >> log' TERM\nsleep 90 & echo $! > pid\nwhile [ -e child.sh ]; do sleep 0.02; done";
    let mut daemon = harness.start(&["--exec", &harness.script(deaf)]);
    until("the child's child", || harness.text("pid").ends_with('\n'));
    daemon.signal(Signal::SIGTERM);
    harness.until_noted(&daemon, "TERM\n");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(1), "{}", daemon.log());
    until_gone(&harness);
}

#[test]
fn an_nginx_child_that_its_target_has_reloaded_is_not_restarted_as_well() {
    let harness = Harness::new();
    let nginx = targets::nginx::Nginx::new("");
    let (conf, prefix) = (nginx.path("etc/nginx.conf"), nginx.path("prefix"));
    harness.write("out.hbs", &nginx.server("{{key \"k\"}}"));
    harness.keys.set("k", "1");
    let target = format!(
        "[[target]]\nname = 'edge'\nkind = 'nginx'\nconf = '{}'\nprefix = '{}'\ninterval = '0s'\n\
         [[target.template]]\nsource = 'out.hbs'\ndestination = '{}'\n",
        conf.display(),
        prefix.display(),
        nginx.web().display()
    );
    harness.write("portreeve.toml", &format!("[render]\nstate_dir = 'state'\n{target}"));
    let command = format!("setpriv --pdeathsig KILL nginx -p {} -c {}", prefix.display(), conf.display());
    let daemon = harness.start(&["--exec", &command]);
    nginx.answers("1");
    let master = targets::text(nginx.path("prefix/run/nginx.pid"));
    for value in ["2", "3", "4"] {
        harness.keys.set("k", value);
        nginx.answers(value);
    }
    daemon.until_logged("target edge: reloaded nginx in ");
    let log = daemon.log();
    assert!(!log.contains("files have changed"), "{log}");
    assert_eq!(targets::text(nginx.path("prefix/run/nginx.pid")), master);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn once_logs_the_same_lines_as_the_daemon() {
    let harness = Harness::new();
    let mut nginx = targets::nginx::Nginx::serving("0");
    harness.write("out.hbs", &nginx.server("{{key \"k\"}}"));
    let target = format!(
        "[[target]]\nname = 'edge'\nkind = 'nginx'\nconf = '{}'\nprefix = '{}'\n\
         [[target.template]]\nsource = 'out.hbs'\ndestination = '{}'\n",
        nginx.path("etc/nginx.conf").display(),
        nginx.path("prefix").display(),
        nginx.web().display()
    );
    harness.write("portreeve.toml", &format!("[render]\nstate_dir = 'state'\n{target}"));
    let once = || {
        let output = harness.command(&["--once"]).output().expect("it starts");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{log}");
        log
    };
    for value in ["1", "2", "3", "4"] {
        harness.keys.set("k", value);
        let log = once();
        let reload_lines =
            log.lines().filter(|line| line.contains("target edge: reloaded nginx in ")).collect::<Vec<_>>();
        assert!(matches!(reload_lines[..], [line] if line.contains("wrote ") && line.contains("; in effect")), "{log}");
        nginx.answers(value);
    }
    assert!(once().contains("target edge: in sync"));
    nginx.stop();
    harness.keys.set("k", "5");
    let log = once();
    assert!(
        log.contains("wrote ") && log.contains("the program is not running") && !log.contains("in effect"),
        "{log}"
    );
}

/// Waits until the process with the pid in `pid` has exited. It may still be a zombie.
fn until_gone(harness: &Harness) {
    let stat = format!("/proc/{}/stat", harness.text("pid").trim());
    until("the end of the child's child", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
}

#[test]
fn a_child_ended_by_the_kill_signal_counts_as_success() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    let daemon = harness.start(&["--exec", &harness.script("echo started > log\nexec sleep 90")]);
    harness.until_noted(&daemon, "started\n");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_reload_of_the_configuration_keeps_the_child_unless_its_settings_change() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.script(NOTES);
    let exec = "[exec]\ncommand = 'sh child.sh'\n";
    harness.configure(exec);
    let daemon = harness.start(&[]);
    harness.until_noted(&daemon, "start 1\n");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("target one: in sync");
    // An invalid configuration changes nothing either.
    harness.write("portreeve.toml", "[exec");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("the configuration is refused");
    assert_eq!(harness.text("log"), "start 1\n");
    // Changed files are new to the child, even if another process has written them.
    harness.configure(exec);
    harness.write("out.hbs", "{{key \"k\"}}!");
    daemon.signal(Signal::SIGHUP);
    harness.until_noted(&daemon, "start 1\nTERM\nstart 1!\n");
    harness.configure("[exec]\ncommand = 'sh child.sh'\nreload_signal = 'SIGHUP'\n");
    daemon.signal(Signal::SIGHUP);
    harness.until_noted(&daemon, "start 1\nTERM\nstart 1!\nTERM\nstart 1!\n");
    harness.configure("");
    daemon.signal(Signal::SIGHUP);
    harness.until_noted(&daemon, "start 1\nTERM\nstart 1!\nTERM\nstart 1!\nTERM\n");
    assert_eq!(daemon.stop(), Some(0), "there is no child any more, and that is no trouble");
}

#[test]
fn the_child_gets_the_variables_that_the_rules_allow() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("[exec]\n[exec.env]\nallow = ['PATH', 'SHOW_*']\ndeny = ['*_SECRET']\ncustom = ['OWN=1']");
    let mut command = harness.command(&["--once"]);
    // The command comes from the environment, the rules from the file.
    command.env("PORTREEVE_EXEC_COMMAND", "env").env("SHOW_A", "a").env("SHOW_SECRET", "x").env("HOME", "/");
    let output = command.stdout(Stdio::piped()).output().expect("it starts");
    let mut seen: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    seen.sort();
    seen.retain(|line| !line.starts_with("PATH="));
    assert_eq!(seen, ["OWN=1", "SHOW_A=a"], "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_dry_run_does_not_start_the_child_and_errors_are_found_before_the_start() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    let run = |arguments: &[&str]| harness.command(arguments).output().expect("it starts");
    assert_eq!(run(&["--dry-run", "--exec", &harness.script("echo started > log")]).status.code(), Some(0));
    assert!(!harness.path("log").exists() && !harness.path("out").exists());
    for (arguments, message) in [
        (["--exec", "a | b"], "\"|\" means something to a shell only"),
        (["--exec-splay", "1s"], "no `command`"),
        (["--exec-kill-signal", "SIGNOPE"], "\"SIGNOPE\" is not a signal's name"),
    ] {
        let output = run(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains(message), "{arguments:?}: {stderr}");
    }
}

#[test]
fn as_pid_1_it_reaps_orphans_and_forwards_signals() {
    let harness = Harness::new();
    harness.keys.set("k", "1");
    harness.configure("");
    // Each round leaves an orphan that exits soon.
    let script = "trap 'echo USR1 >> log' USR1\ntrap 'exit 5' TERM\necho start >> log\n\
         while :; do (sleep 0.01 &); echo x >> rounds; sleep 0.02; done";
    harness.script(script);
    let mut command = Command::new("unshare");
    let path = std::env::var_os("PATH").expect("there is one");
    command.env_clear().env("PATH", path).env("CONSUL_HTTP_ADDR", harness.keys.address());
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", program()]);
    command.args(["render", "--config", "portreeve.toml", "--exec", "sh child.sh"]);
    command.current_dir(harness.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut daemon = Daemon::spawn(command);
    until("some rounds", || harness.text("rounds").len() > 100);
    let first = children(daemon.id()).into_iter().next().expect("unshare has one child");
    until("no zombies", || children(first).iter().all(|pid| !state(*pid).contains(") Z ")));
    assert!(children(first).len() < 10, "they are taken in as they come");
    // `unshare` does not forward signals, so they are sent to PID 1, as an engine does.
    let tell = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), signal).expect("it runs");
    tell(Signal::SIGUSR1);
    until("the forwarded signal", || harness.text("log").contains("USR1"));
    tell(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(5), "{}", daemon.log());
}

fn state(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()
}

fn children(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}
