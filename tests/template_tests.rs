//! `portreeve test` as a black box; also runs the cases of the shipped templates.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

fn test(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    // Without a registry and without environment variables.
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("PATH", "/bin:/usr/bin:/usr/sbin")
        .env("CONSUL_HTTP_ADDR", "127.0.0.1:1");
    command.env("SECRET", "x").current_dir(directory).arg("test").args(arguments).output().expect("the program starts")
}

fn stdout_text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn shipped_templates_pass_their_cases() {
    let arguments = ["templates/tests", "--config", "templates/tests/portreeve.toml"];
    let output = test(Path::new(env!("CARGO_MANIFEST_DIR")), &arguments);
    assert!(output.status.success() && stdout_text(&output).ends_with(", failed 0\n"), "{}", stdout_text(&output));
}

/// A template, and one case `web` whose fixture has one instance.
struct Harness(TempDir);

const TEMPLATE: &str = "{{env \"ZONE\"}}{{env \"SECRET\"}}:{{#each (service \"web\")}} {{address}}{{/each}}\n";
const CONFIG: &str = "
    [[target]]
    name = 'app'
    kind = 'command'
    check = ['grep', '-q', '10.0.0.1', '{{candidate}}']
    [[target.template]]
    source = 'web.hbs'
    destination = '/etc/app/web.conf'
    [[target]]
    name = 'keys'
    kind = 'command'
    [[target.template]]
    source = 'key.hbs'
    destination = '/etc/app/key.conf'
";

impl Harness {
    fn new() -> Self {
        let harness = Self(tempfile::tempdir().expect("a temporary folder"));
        harness.write("portreeve.toml", CONFIG);
        harness.write("web.hbs", TEMPLATE);
        harness.write("key.hbs", "{{key \"a\"}}\n");
        harness.write("cases/web/fixture.yaml", "services: [{ name: web, address: 10.0.0.1 }]\nenv: { ZONE: eu }\n");
        harness.write("cases/web/case.toml", "targets = ['app']");
        harness.write("cases/web/expected/etc/app/web.conf", "eu: 10.0.0.1\n");
        harness
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the test owns it");
        fs::write(path, text).expect("the test owns it");
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.0.path().join(path)).ok()
    }

    fn run(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = test(self.0.path(), &[&["cases", "--config", "portreeve.toml"], arguments].concat());
        (stdout_text(&output), output.status.code())
    }

    #[track_caller]
    fn passes(&self, arguments: &[&str]) {
        let (text, code) = self.run(arguments);
        assert_eq!((text.as_str(), code), ("passed  web\ncases 1: passed 1, failed 0\n", Some(0)));
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], expected: &str) {
        let (text, code) = self.run(arguments);
        assert!(text.starts_with("failed  web\n") && text.contains(expected) && code == Some(1), "{text}");
    }
}

#[test]
fn a_case_passes_when_every_file_is_as_expected() {
    Harness::new().passes(&[]);
}

#[test]
fn every_difference_fails_the_case_with_a_diff() {
    let harness = Harness::new();
    harness.write("cases/web/fixture.yaml", "services: [{ name: web, address: 10.0.0.2 }]\nenv: { ZONE: eu }\n");
    let diff = "  etc/app/web.conf: is not as expected
--- expected/etc/app/web.conf
+++ rendered/etc/app/web.conf
@@ -1 +1 @@
-eu: 10.0.0.1
+eu: 10.0.0.2
";
    harness.fails(&[], diff);
    let harness = Harness::new();
    harness.write("cases/web/expected/etc/other", "x\n");
    harness.fails(&[], "  etc/other: is expected, but no template renders it\n--- expected/etc/other\n+++ /dev/null\n");
    let harness = Harness::new();
    harness.write("cases/web/case.toml", "");
    harness.fails(&[], "key.hbs: waits for key \"a\" (there is no such key)\n");
    harness.write(
        "cases/web/fixture.yaml",
        "services: [{ name: web, address: 10.0.0.1 }]\nenv: { ZONE: eu }\nkv: { a: b }",
    );
    harness.fails(&[], "  etc/app/key.conf: is rendered, but there is no expected file\n--- /dev/null\n");
}

#[test]
fn expected_error_must_occur() {
    let harness = Harness::new();
    harness.write("cases/web/case.toml", "error = 'waits for key'");
    harness.passes(&[]);
    harness.write("cases/web/case.toml", "error = 'something else'");
    harness.fails(&[], "key.hbs: waits for key \"a\"");
    harness.write("cases/web/case.toml", "error = 'waits for'\ntemplates = ['web.hbs']");
    harness.fails(&[], "everything renders, but an error with \"waits for\" is expected");
}

#[test]
fn env_of_a_case_is_its_own() {
    let harness = Harness::new();
    harness.write("cases/web/case.toml", "targets = ['app']\nenv = { ZONE = 'us' }");
    harness.fails(&[], "\n+us: 10.0.0.1\n");
}

#[test]
fn invalid_cases_are_reported() {
    let cases = [
        ("fixture.yaml", "servces: []", "fixture.yaml: "),
        ("case.toml", "target = 'app'", "case.toml: TOML parse error at line 1, column 1"),
        ("case.toml", "targets = ['no']", "there is no target \"no\" (known: app, keys)"),
        ("case.toml", "templates = ['no.hbs']", "there is no template no.hbs"),
        ("fixture.json", "{}", "a case has one fixture, not 2"),
    ];
    for (file, text, expected) in cases {
        let harness = Harness::new();
        harness.write(&format!("cases/web/{file}"), text);
        harness.fails(&[], expected);
        harness.fails(&["--update"], expected);
        assert_eq!(harness.read("cases/web/expected/etc/app/web.conf").as_deref(), Some("eu: 10.0.0.1\n"));
    }
    let harness = Harness::new();
    harness.write("web.hbs", "{{#each (service \"web@dc9\")}}{{/each}}");
    harness.fails(&[], "service \"web\" dc=\"dc9\": the fixture has no datacenter \"dc9\" (it has: dc1)");
}

#[test]
fn update_writes_the_expected_files() {
    let harness = Harness::new();
    harness.write("cases/web/fixture.yaml", "services: [{ name: web, address: 10.0.0.2 }]\n");
    harness.write("cases/web/expected/gone/file", "x\n");
    let (text, code) = harness.run(&["--update"]);
    assert_eq!((text.as_str(), code), ("updated web\ncases 1: passed 0, failed 0, updated 1\n", Some(0)));
    assert_eq!(harness.read("cases/web/expected/etc/app/web.conf").as_deref(), Some(": 10.0.0.2\n"));
    assert!(!harness.0.path().join("cases/web/expected/gone").exists());
    harness.passes(&[]);
    harness.passes(&["--update"]);
}

#[test]
fn the_check_of_the_target_can_run_too() {
    let harness = Harness::new();
    harness.passes(&["--check"]);
    harness.write("cases/web/fixture.yaml", "services: [{ name: web, address: 10.0.0.2 }]\n");
    harness.run(&["--update"]);
    harness.passes(&[]);
    harness.fails(&["--check"], "  target app: the check refuses this:\n");
}

#[test]
fn cases_are_selected_by_name_and_printed_as_json() {
    let harness = Harness::new();
    harness.write("cases/deep/er/fixture.json", "{}");
    harness.write("cases/deep/er/case.toml", "targets = ['app']");
    harness.passes(&["--filter", "we"]);
    let (text, code) = harness.run(&["--format", "json"]);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let of = |case: usize| [json["cases"][case]["name"].clone(), json["cases"][case]["verdict"].clone()];
    assert_eq!(
        (of(0), of(1), code),
        (["deep/er", "failed"].map(Value::from), ["web", "passed"].map(Value::from), Some(1))
    );
    let problem = &json["cases"][0]["problems"][0];
    assert_eq!((&problem["kind"], &problem["file"]), (&"not-expected".into(), &"etc/app/web.conf".into()));
    assert_eq!(harness.run(&["--filter", "nothing"]), (String::new(), Some(2)));
    let none = test(harness.0.path(), &[".", "--filter", "x"]);
    assert_eq!(none.status.code(), Some(2));
    fs::create_dir(harness.0.path().join("empty")).expect("the test owns it");
    let none = test(harness.0.path(), &["empty", "--config", "portreeve.toml"]);
    let error = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.code() == Some(2) && error.contains("there is no case in empty"), "{error}");
}

#[test]
fn terminal_gets_colours_unless_disabled() {
    let harness = Harness::new();
    harness.write("cases/web/expected/etc/app/web.conf", "other\n");
    // `script` (bsdutils) runs a command on a terminal of its own.
    let on_terminal = |no_color: &str| {
        let program = env!("CARGO_BIN_EXE_portreeve");
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{program} test cases --config portreeve.toml"), "/dev/null"]);
        command.env("NO_COLOR", no_color).current_dir(harness.0.path()).stdin(Stdio::null());
        stdout_text(&command.output().expect("script is everywhere"))
    };
    let (with, without) = (on_terminal(""), on_terminal("1"));
    assert!(with.contains("\x1b[31m-other\x1b[0m") && with.contains("\x1b[32m+eu: 10.0.0.1\x1b[0m"), "{with:?}");
    assert!(!without.contains('\x1b') && without.contains("-other"), "{without:?}");
    assert!(!harness.run(&[]).0.contains('\x1b'));
}
