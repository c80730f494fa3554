//! `portreeve render rollback`, with and without a running Portreeve.

mod common;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use common::{
    black_box::{Daemon, until},
    fake_keys::FakeKeys,
};
use portreeve_lab::portreeve;

struct Harness {
    folder: tempfile::TempDir,
    keys: FakeKeys,
}

impl Harness {
    /// A target `app` whose file holds a key. Its check rejects files that contain `bad`; its reload appends to `reloads`.
    fn new() -> Self {
        let harness = Self { folder: tempfile::tempdir().expect("a folder"), keys: FakeKeys::start() };
        harness.save("{{key \"value\"}}\n");
        harness.configure("bad");
        harness
    }

    fn configure(&self, rejected: &str) {
        let config = format!(
            "[render]\nstate_dir = \"{0}/state\"\n[[target]]\nname = \"app\"\nkind = \"command\"\ninterval = \"0s\"\n\
             generations = 3\ncheck = [\"sh\", \"-c\", \"! grep -q {rejected} $1\", \"check\", \"{{{{candidate}}}}\"]\n\
             reload = [\"sh\", \"-c\", \"cat {0}/app >> {0}/reloads\"]\n[[target.template]]\nsource = \"{0}/app.hbs\"\n\
             destination = \"{0}/app\"\n",
            self.folder.path().display()
        );
        fs::write(self.path("portreeve.toml"), config).expect("it can be written");
    }

    fn save(&self, template: &str) {
        fs::write(self.path("app.hbs"), template).expect("it can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn render(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(portreeve::program());
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("CONSUL_HTTP_ADDR", self.keys.address()).env("PATH", path);
        command.arg("render").args(arguments).arg("--config").arg(self.path("portreeve.toml")).stdin(Stdio::null());
        command
    }

    fn check(&self) -> String {
        let mut command = Command::new(portreeve::program());
        command.arg("check").arg("--config").arg(self.path("portreeve.toml"));
        String::from_utf8(command.output().expect("it starts").stdout).expect("text")
    }

    fn rollback(&self, arguments: &[&str]) -> Output {
        self.render(&[&["rollback"], arguments].concat()).output().expect("it starts")
    }

    #[track_caller]
    fn rolls_back(&self, arguments: &[&str]) -> String {
        let output = self.rollback(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.rollback(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("text")
    }

    #[track_caller]
    fn becomes(&self, value: &str) {
        self.keys.set("value", value);
        until(value, || self.read("reloads").ends_with(&format!("{value}\n")));
    }
}

/// A running Portreeve with the second version of the template in effect: `oops one`.
fn with_mistake() -> (Harness, Daemon) {
    let harness = Harness::new();
    harness.keys.set("value", "one");
    let daemon = Daemon::spawn(harness.render(&[]));
    harness.becomes("one");
    harness.save("oops {{key \"value\"}}\n");
    until("the mistake", || harness.rolls_back(&["--list"]).contains("template edited: "));
    (harness, daemon)
}

#[test]
fn an_earlier_generation_stays_in_effect_until_it_is_released() {
    let harness = Harness::new();
    fs::write(harness.path("app"), "by hand\n").expect("it can be written");
    harness.keys.set("value", "one");
    let daemon = Daemon::spawn(harness.render(&[]));
    harness.becomes("one");
    harness.becomes("two");
    // A generation is recorded after its reload is verified.
    until("three generations", || harness.rolls_back(&["--list"]).matches("1 file").count() == 3);
    let listed = harness.rolls_back(&["--list"]);
    assert!(
        listed.starts_with(&format!("app (state directory {}", harness.path("state").display()))
            && listed.lines().last().is_some_and(|line| line.ends_with("(in effect)")),
        "{listed}"
    );

    assert!(listed.contains("before portreeve, 1 file") && listed.contains("data, 1 file"), "{listed}");
    assert!(harness.rolls_back(&["--diff", "--data"]).contains("\n-two\n+one\n"));

    assert_eq!(harness.rolls_back(&["--data"]), "app: generation 2 of its data is in effect and pinned\n");
    assert_eq!((harness.read("app"), harness.read("reloads")), ("one\n".into(), "one\ntwo\none\n".into()));
    harness.keys.set("value", "three");
    daemon.until_logged_times("a change of its files is withheld", 2);
    let output = harness.rolls_back(&["app", "--data", "--to", "1"]);
    assert_eq!(output, "app: generation 1 of its data is in effect and pinned\n");
    assert_eq!(harness.read("app"), "by hand\n");
    daemon.until_logged("is pinned to generation 1");
    assert!(harness.refuses(&["--data"]).contains("there is no earlier generation"));
    assert!(harness.refuses(&["--data", "--to", "9"]).contains("there is no generation 9; there are 1, 2, 3"));
    let output = harness.refuses(&[]);
    assert!(
        output.contains("no earlier version of its templates") && output.contains("(state directory /"),
        "{output}"
    );
    assert!(harness.refuses(&["other"]).contains("there is no target \"other\"; there are app"));
    assert_eq!(harness.read("app"), "by hand\n");

    // The pin outlasts a restart and new data.
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::spawn(harness.render(&[]));
    daemon.until_logged("is pinned to generation 1");
    daemon.until_logged("a change of its files is withheld");
    assert_eq!(harness.read("app"), "by hand\n");
    assert_eq!(harness.rolls_back(&["--release"]), "app: follows its templates\n");
    assert!(harness.read("reloads").ends_with("three\n"), "the release waits until the files are in effect");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_generation_that_the_check_rejects_is_not_pinned() {
    let harness = Harness::new();
    harness.keys.set("value", "one");
    let daemon = Daemon::spawn(harness.render(&[]));
    harness.becomes("one");
    harness.becomes("two");
    daemon.until_logged_times("in effect", 2);
    assert_eq!(daemon.stop(), Some(0));
    harness.configure("one");
    let daemon = Daemon::spawn(harness.render(&[]));
    daemon.until_logged("in sync");
    let output = harness.refuses(&["--data", "--to", "1"]);
    assert!(
        output.contains("generation 1 of its data did not come into effect") && output.contains("refused"),
        "{output}"
    );
    assert_eq!(harness.read("app"), "two\n");
    harness.becomes("three");
    assert!(!harness.rolls_back(&["--list"]).contains("pinned"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_rollback_works_without_a_running_portreeve() {
    let harness = Harness::new();
    harness.keys.set("value", "one");
    assert!(harness.render(&["--once"]).status().expect("it starts").success());
    harness.keys.set("value", "two");
    assert!(harness.render(&["--once"]).status().expect("it starts").success());
    let json: serde_json::Value =
        serde_json::from_str(&harness.rolls_back(&["--data", "--format", "json"])).expect("JSON");
    assert_eq!((&json[0]["held"], harness.read("app").as_str()), (&serde_json::json!(1), "one\n"));
    assert!(harness.render(&["--once"]).status().expect("it starts").success());
    assert_eq!(harness.read("app"), "one\n");
    let has_line = |list: &str, end: &str| list.lines().any(|line| line.contains("1 file") && line.ends_with(end));
    assert!(has_line(&harness.rolls_back(&["--list"]), "1 file  (in effect, pinned)"));
    let released = "app: is no longer pinned; its files follow when `portreeve render` runs\n";
    assert_eq!(harness.rolls_back(&["--release"]), released);
    let listed = harness.rolls_back(&["--list"]);
    let marked: Vec<_> = listed.lines().filter(|line| line.contains("in effect")).map(str::trim_start).collect();
    assert!(
        marked.len() == 1 && marked[0].starts_with("1 "),
        "the rolled back files are in effect until then: {listed}"
    );
    assert!(harness.render(&["--once"]).status().expect("it starts").success());
    assert_eq!((harness.read("app"), harness.read("reloads")), ("two\n".into(), "one\ntwo\none\ntwo\n".into()));
}

#[test]
fn a_template_is_rolled_back_while_new_data_takes_effect() {
    let (harness, daemon) = with_mistake();
    let listed = harness.rolls_back(&["--list"]);
    let edited = listed.lines().find(|line| line.contains("template edited: ")).expect("it is listed");
    assert!(edited.trim_start().starts_with("2 ") && edited.ends_with("app.hbs  (in effect)"), "{listed}");
    assert!(edited.contains(" s ago "), "{listed}");
    let diff = harness.rolls_back(&["--diff"]);
    assert!(diff.contains("-oops {{key \"value\"}}\n+{{key \"value\"}}\n"), "{diff}");
    assert_eq!(harness.read("app"), "oops one\n");

    let output = harness.rolls_back(&[]);
    assert_eq!(output, "app: version 1 of its templates and configuration is in effect and pinned\n");
    assert_eq!(harness.read("app"), "one\n");
    // New data takes effect with the pinned template.
    harness.becomes("two");
    assert_eq!(harness.read("app"), "two\n");
    harness.save("worse {{key \"value\"}}\n");
    daemon.until_logged("a change of its templates is withheld");
    assert_eq!(daemon.stop(), Some(0));
    let daemon = Daemon::spawn(harness.render(&[]));
    daemon.until_logged("in sync");
    harness.becomes("three");
    assert_eq!(harness.read("app"), "three\n");
    let dry = harness.render(&["--dry-run"]).output().expect("it starts");
    let output = String::from_utf8_lossy(&dry.stdout).into_owned();
    assert!(
        output.contains("is pinned to version 1 of its templates") && output.contains("nothing would change"),
        "{output}"
    );
    let check = harness.check();
    assert!(check.contains("is pinned to version 1 of its templates"), "{check}");
    assert!(harness.rolls_back(&["--list"]).contains("first  (in effect, pinned)"));
    harness.rolls_back(&["--release"]);
    assert_eq!(harness.read("app"), "worse three\n");
    let listed = harness.rolls_back(&["--list"]);
    let newest = listed.lines().find(|line| line.trim_start().starts_with("3 ")).unwrap_or_default();
    assert!(newest.ends_with("app.hbs  (in effect)"), "{listed}");
    assert!(!harness.check().contains("is pinned to"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_release_to_rejected_templates_is_an_error() {
    let (harness, daemon) = with_mistake();
    harness.rolls_back(&[]);
    harness.save("bad {{key \"value\"}}\n");
    daemon.until_logged("a change of its templates is withheld");
    let output = harness.refuses(&["--release"]);
    assert!(
        output.contains(
            "is no longer pinned, but the files of its templates are not in effect: the candidate was refused"
        ),
        "{output}"
    );
    assert_eq!(harness.read("app"), "one\n");
    let listed = harness.rolls_back(&["--list"]);
    assert!(listed.contains("first  (in effect)") && !listed.contains("pinned"), "{listed}");
    harness.save("good {{key \"value\"}}\n");
    until("the corrected template", || harness.read("app") == "good one\n");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_configuration_is_rolled_back_without_a_running_portreeve() {
    let harness = Harness::new();
    harness.keys.set("value", "one");
    let once = || assert!(harness.render(&["--once"]).status().expect("it starts").success());
    once();
    let config = harness.read("portreeve.toml");
    fs::write(harness.path("portreeve.toml"), format!("{config}escape = \"json\"\n")).expect("it can be written");
    once();
    assert!(harness.rolls_back(&["--list"]).contains("configuration  (in effect)"));
    harness.rolls_back(&[]);
    // In JSON, this value would be an error.
    harness.keys.set("value", "c\"d");
    once();
    assert_eq!(harness.read("app"), "c\"d\n");
    harness.keys.set("value", "two");
    // A version with other destinations cannot be pinned, and a pin to it is suspended.
    let moved = format!("{config}escape = \"json\"\n").replace("/app\"\nescape", "/moved\"\nescape");
    fs::write(harness.path("portreeve.toml"), moved).expect("it can be written");
    once();
    assert_eq!(harness.read("moved"), "two\n");
    let listed = harness.rolls_back(&["--list"]);
    assert!(!listed.contains("pinned"), "{listed}");
    assert!(harness.refuses(&["--to", "1"]).contains("has other destinations than the configuration"));
    fs::write(harness.path("portreeve.toml"), config).expect("it can be written");
    assert!(harness.rolls_back(&["--list"]).contains("pinned"));
}
