//! The binary as a black box: templates, partials and configuration are saved while it runs.

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{
    black_box::{Daemon, portreeve, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
    fake_keys::FakeKeys,
};
use nix::sys::signal::Signal;
use portreeve::sys::state_dir::StateDir;
use portreeve_lab::portreeve::program;

/// A configuration file, templates, destinations, and a registry of keys.
struct Harness {
    folder: tempfile::TempDir,
    keys: FakeKeys,
}

impl Harness {
    /// The target `a`, whose template `a.hbs` is rendered to `a`.
    fn new() -> Self {
        let harness = Self { folder: tempfile::tempdir().expect("a directory"), keys: FakeKeys::start() };
        harness.keys.set("x", "1");
        harness.save("a.hbs", "x={{key \"x\"}}\n");
        harness.configure("", &["a"]);
        harness
    }

    fn start(&self, arguments: &[&str]) -> Daemon {
        self.start_with(Command::new(program()), arguments)
    }

    /// Starts it in its own user namespace, in which `/proc/sys/user/LIMIT` is 0.
    fn start_without(&self, limit: &str) -> Daemon {
        let mut command = Command::new("unshare");
        let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
        command.args(["--user", "--map-root-user", "sh", "-c", &script, program()]);
        self.start_with(command, &[])
    }

    fn start_with(&self, mut command: Command, arguments: &[&str]) -> Daemon {
        command.args(["render", "--config"]).arg(self.path("portreeve.toml")).args(arguments).stdin(Stdio::null());
        command.env_clear().env("CONSUL_HTTP_ADDR", self.keys.address()).env("PATH", "/usr/bin:/bin");
        Daemon::spawn(command)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Saves as an editor does: writes another file and renames it.
    fn save(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().expect("the path has a parent")).expect("a directory");
        fs::write(self.path(".saving"), text).expect("a file");
        fs::rename(self.path(".saving"), self.path(name)).expect("a file");
    }

    /// Saves a configuration with these lines in `[render]`, and these targets.
    fn configure(&self, render: &str, targets: &[&str]) {
        self.save("portreeve.toml", &self.configuration(render, targets));
    }

    fn configuration(&self, render: &str, targets: &[&str]) -> String {
        let state = if render.contains("state_dir") { String::new() } else { self.state("state") };
        let target = |name: &&str| {
            let [source, destination] = [format!("{name}.hbs"), (*name).to_owned()].map(|name| self.path(&name));
            let (source, destination) = (source.display(), destination.display());
            format!(
                "[[target]]\nname = '{name}'\nkind = 'command'\n\
                 [[target.template]]\nsource = '{source}'\ndestination = '{destination}'\n"
            )
        };
        format!("[render]\n{state}{render}\n{}", targets.iter().map(target).collect::<String>())
    }

    fn state(&self, name: &str) -> String {
        format!("state_dir = '{}'\n", self.path(name).display())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, name: &str, text: &str) {
        until(&format!("{name} to be {text:?}"), || self.text(name) == text);
    }
}

#[test]
fn a_saved_template_is_rendered_with_the_known_answers() {
    let harness = Harness::new();
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    for prefix in ["x is", "x:", "the value of x is"] {
        harness.save("a.hbs", &format!("{prefix} {{{{key \"x\"}}}}\n"));
        harness.until("a", &format!("{prefix} 1\n"));
    }
    daemon.until_logged_times("the templates were read again", 3);
    assert_eq!(harness.keys.asked(), ["x"], "the watch goes on");
    harness.keys.set("y", "2");
    harness.save("a.hbs", "{{key \"x\"}}{{key \"y\"}}\n");
    harness.until("a", "12\n");
    assert_eq!(harness.keys.asked(), ["x", "y"], "only the new query is watched");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_wrong_template_is_refused_with_its_position_and_the_previous_one_stays() {
    let harness = Harness::new();
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    harness.save("a.hbs", "x is\n  {{kye \"x\"}}\n");
    daemon.until_logged("the templates are refused, the previous ones stay in effect: target a: a template is wrong: ");
    assert!(daemon.log().contains("a.hbs:2:3: there is no helper `kye`"), "{}", daemon.log());
    harness.keys.set("x", "2");
    harness.until("a", "x=2\n");
    harness.save("a.hbs", "x={{key \"x\"}}\n");
    daemon.until_logged("the templates are again the ones in effect");
    // An error that occurs only with the data.
    harness.save("a.hbs", "{{#with (key \"x\")}}{{nope}}{{/with}}\n");
    daemon.until_logged("a.hbs:1:20: there is no value `nope` here");
    assert_eq!(harness.text("a"), "x=2\n");
    harness.save("a.hbs", "x: {{key \"x\"}}\n");
    harness.until("a", "x: 2\n");
    assert_eq!(daemon.log().matches("there is no helper").count(), 1, "{}", daemon.log());
}

#[test]
fn a_saved_template_that_waits_names_its_query_and_the_previous_one_stays() {
    let harness = Harness::new();
    harness.keys.silence("silent", true);
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    harness.save("a.hbs", "new x={{key \"x\"}} {{key \"silent\"}}\n");
    let template = harness.path("a.hbs").display().to_string();
    daemon.until_logged(&format!("target a: {template}: no answer for 5 s to key \"silent\""));
    harness.keys.set("x", "2");
    harness.until("a", "x=2\n");
    assert!(!daemon.log().contains("target a: in sync"), "{}", daemon.log());
    harness.keys.set("silent", "s");
    harness.keys.silence("silent", false);
    harness.until("a", "new x=2 s\n");
    assert_eq!(daemon.log().matches("no answer for 5 s").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_query_without_an_answer_is_logged_at_the_start_too() {
    let harness = Harness::new();
    harness.keys.silence("x", true);
    let daemon = harness.start(&[]);
    daemon.until_logged("a.hbs: no answer for 5 s to key \"x\"; what is in effect stays until then");
    assert!(!daemon.log().contains("target a: in sync"), "{}", daemon.log());
}

#[test]
fn saved_partials_are_read_again() {
    let harness = Harness::new();
    harness.save("partials/deep/x.hbs", "deep {{key \"x\"}}");
    harness.save("a.hbs", "[{{> deep/x}}]\n");
    harness.configure(&format!("partials = '{}'", harness.path("partials").display()), &["a"]);
    let daemon = harness.start(&[]);
    harness.until("a", "[deep 1]\n");
    harness.save("partials/deep/x.hbs", "deeper {{key \"x\"}}");
    harness.until("a", "[deeper 1]\n");
    harness.save("a.hbs", "[{{> y}}]\n");
    daemon.until_logged("the templates are refused");
    harness.save("partials/y.hbs", "y {{> deep/x}}");
    harness.until("a", "[y deeper 1]\n");
    fs::remove_dir_all(harness.path("partials/deep")).expect("the test owns it");
    daemon.until_logged_times("the templates are refused", 2);
    harness.keys.set("x", "2");
    harness.until("a", "[y deeper 2]\n");
    assert_eq!(harness.keys.asked(), ["x"], "the watch goes on");
}

#[test]
fn a_saved_configuration_is_applied() {
    let harness = Harness::new();
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    harness.save("b.hbs", "b\n");
    harness.configure("", &["a", "b"]);
    harness.until("b", "b\n");
    daemon.until_logged("portreeve.toml has changed: the configuration was read again");
    harness.keys.set("x", "2");
    harness.until("a", "x=2\n");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_position_and_the_previous_one_stays() {
    let harness = Harness::new();
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    harness.configure("no_such_key = 1", &["a"]);
    daemon.until_logged("has changed: the configuration is refused, the previous one stays in effect");
    assert!(daemon.log().contains("line 3, column 1"), "{}", daemon.log());
    harness.keys.set("x", "2");
    harness.until("a", "x=2\n");
    fs::remove_file(harness.path("portreeve.toml")).expect("a file");
    daemon.until_logged("cannot read the configuration file");
    harness.configure("# a comment", &["a"]);
    daemon.until_logged("has changed: the configuration is again the one in effect");
    harness.save("b.hbs", "b\n");
    harness.configure("", &["b"]);
    harness.until("b", "b\n");
    assert_eq!(daemon.log().matches("the configuration was read again").count(), 1, "{}", daemon.log());
}

#[test]
fn an_equal_configuration_changes_nothing() {
    let harness = Harness::new();
    let daemon = harness.start(&["--log-level", "portreeve=debug"]);
    harness.until("a", "x=1\n");
    // Once at the start, and once for the comment.
    daemon.until_logged_times("the configuration has not changed", 1);
    harness.configure("# a comment", &["a"]);
    daemon.until_logged_times("the configuration has not changed", 2);
    assert!(!daemon.log().contains("read again"), "{}", daemon.log());
    assert_eq!(harness.keys.asked(), ["x"], "the watch goes on");
}

#[test]
fn a_mounted_configuration_follows_the_swap_of_its_data() {
    let harness = Harness::new();
    harness.save("b.hbs", "b\n");
    let mount = harness.path("mount");
    let swap = |target: &str, name: &str| {
        symlink(target, mount.join("..new")).expect("a link");
        fs::rename(mount.join("..new"), mount.join(name)).expect("a link");
    };
    harness.save("mount/..1/portreeve.toml", &harness.configuration("", &["a"]));
    harness.save("mount/..2/portreeve.toml", &harness.configuration("", &["b"]));
    swap("..1", "..data");
    swap("..data/portreeve.toml", "portreeve.toml");
    fs::remove_file(harness.path("portreeve.toml")).expect("a file");
    symlink("mount/portreeve.toml", harness.path("portreeve.toml")).expect("a link");
    let _daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    swap("..2", "..data");
    harness.until("b", "b\n");
}

#[test]
fn with_a_locked_state_directory_the_previous_configuration_stays() {
    let harness = Harness::new();
    let daemon = harness.start(&[]);
    harness.until("a", "x=1\n");
    let locked = StateDir::open(&harness.path("held")).expect("it is free");
    let other = harness.state("held");
    harness.configure(&other, &["a"]);
    daemon.until_logged("the configuration is refused, the previous one stays in effect: state directory");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("SIGHUP: the configuration is refused");
    assert!(daemon.log().contains(&format!("in use by process {}", std::process::id())), "{}", daemon.log());
    harness.keys.set("x", "2");
    harness.until("a", "x=2\n");
    drop(locked);
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("SIGHUP: the configuration was read again");
    until("the previous state directory to be free", || StateDir::open(&harness.path("state")).is_ok());
    harness.keys.set("x", "3");
    harness.until("a", "x=3\n");
    StateDir::open(&harness.path("held")).expect_err("the daemon has locked it");
    // The same directory by another path.
    symlink("held", harness.path("alias")).expect("a link");
    harness.configure(&harness.state("alias"), &["a"]);
    daemon.until_logged("has changed: the configuration was read again");
    harness.keys.set("x", "4");
    harness.until("a", "x=4\n");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn without_watching_only_sighup_reads_again() {
    for (flags, setting) in [(&["--no-watch"][..], ""), (&[], "watch = false")] {
        let harness = Harness::new();
        harness.configure(setting, &["a"]);
        let daemon = harness.start(flags);
        harness.until("a", "x=1\n");
        harness.save("b.hbs", "b\n");
        harness.configure(setting, &["a", "b"]);
        harness.save("a.hbs", "x is {{key \"x\"}}\n");
        harness.keys.set("x", "2");
        harness.until("a", "x=2\n");
        assert!(!harness.path("b").exists());
        daemon.signal(Signal::SIGHUP);
        harness.until("b", "b\n");
        harness.until("a", "x is 2\n");
        assert!(!daemon.log().contains("has changed"), "{}", daemon.log());
    }
}

#[test]
fn without_inotify_polling_finds_changes() {
    let limits =
        [("max_inotify_watches", "fs.inotify.max_user_watches"), ("max_inotify_instances", "max_user_instances")];
    for (limit, advice) in limits {
        let harness = Harness::new();
        let daemon = harness.start_without(limit);
        harness.until("a", "x=1\n");
        daemon.until_logged("changes are found only by polling every 2 s");
        harness.save("b.hbs", "b\n");
        harness.configure("", &["a", "b"]);
        harness.until("b", "b\n");
        assert_eq!(daemon.log().matches(advice).count(), 1, "{}", daemon.log());
    }
}

#[test]
fn a_template_is_rendered_again_when_a_file_that_it_reads_changes() {
    let harness = Harness::new();
    harness.save("a.hbs", "[{{file \"motd\"}}]\n");
    harness.configure(&format!("files = '{}'", harness.path("files").display()), &["a"]);
    fs::create_dir(harness.path("files")).expect("a directory");
    let daemon = harness.start(&["--no-watch"]);
    daemon.until_logged("a.hbs: waits for file \"motd\": there is no such file");
    for text in ["one", "two"] {
        harness.save("files/motd", text);
        harness.until("a", &format!("[{text}]\n"));
    }
    fs::remove_file(harness.path("files/motd")).expect("a file");
    symlink("/etc/passwd", harness.path("files/motd")).expect("a link");
    daemon.until_logged("\"motd\": it lies outside of ");
    harness.save("files/motd", "three");
    harness.until("a", "[three]\n");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn json_lines_name_the_task_that_wrote_them_and_text_lines_do_not() {
    let harness = Harness::new();
    let daemon = harness.start(&["--log-format", "json"]);
    harness.until("a", "x=1\n");
    daemon.until_logged("\"span\":{\"task\":\"target a\",\"name\":\"task\"}");
    assert_eq!(daemon.stop(), Some(0));
    harness.keys.set("x", "2");
    let daemon = harness.start(&["--log-level", "portreeve=debug"]);
    harness.until("a", "x=2\n");
    daemon.until_logged("target a: ");
    assert!(!daemon.log().contains("task{"), "{}", daemon.log());
}

#[test]
fn register_applies_a_saved_configuration_too() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("portreeve.toml");
    let configure = |text: &str| fs::write(&file, text).expect("a file");
    configure("[register]\nip = '10.0.0.1'\n");
    let arguments = ["--config", path(&file)];
    let daemon = Daemon::spawn(portreeve(&docker, &consul, &arguments));
    let at = |address: &str| consul.registrations().iter().any(|body| body["Address"] == address);
    until("the registration", || at("10.0.0.1"));
    configure("[register]\nipp = '10.0.0.2'\n");
    daemon.until_logged("has changed: the configuration is refused, the previous one stays in effect");
    configure("[register]\nip = '10.0.0.2'\n");
    until("the new address", || at("10.0.0.2"));
    assert_eq!(consul.count(), 1);
    assert_eq!(daemon.stop(), Some(0));
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}
