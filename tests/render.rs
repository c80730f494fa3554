//! The render mode with a registry in memory and real files.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portreeve::{
    core::{condition::error_chain, store::Store},
    registry::{Answer, Query, Source},
    render::{self, RenderSection, Settings, Setup, TemplateSet},
    target::{self, CommandSettings, TargetKind},
    ui::colour::Colours,
};
use tokio_util::sync::CancellationToken;

/// A registry of keys. A key that was not set does not exist; the key `panic` panics.
#[derive(Clone, Default)]
struct Memory(Store<String, String>, Arc<Mutex<Vec<String>>>);

impl Memory {
    /// The keys whose watches were started, sorted, one entry for each start.
    fn watched_keys(&self) -> Vec<String> {
        let mut keys = self.1.lock().expect("no test panics with it").clone();
        keys.sort();
        keys
    }
}

impl Source for Memory {
    async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
        let mut bell = self.0.bell();
        let Query::Key { path, .. } = &query else { panic!("only keys are kept here") };
        assert_ne!(path, "panic", "deliberate");
        self.1.lock().expect("no test panics with it").push(path.clone());
        loop {
            bell.mark_unchanged();
            let value = self.0.snapshot().entries.get(path).cloned();
            answers.put(query.clone(), Arc::new(Answer::Key(value)));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = bell.changed() => changed.expect("the store exists"),
            }
        }
    }
}

/// Templates, destinations and state in a temporary folder.
struct Harness {
    folder: tempfile::TempDir,
    registry: Arc<Memory>,
    settings: Settings,
}

impl Harness {
    /// One target for each template. Targets, templates and destinations are named `a`, `b` and so on.
    fn new(templates: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = |(name, text): (char, &&str)| {
            let template = target::TemplateSettings {
                source: folder.path().join(format!("{name}.hbs")),
                destination: folder.path().join(name.to_string()),
                ..target::TemplateSettings::default()
            };
            fs::write(&template.source, text).expect("it can be written");
            let kind = TargetKind::Command(CommandSettings::default());
            target::Settings::new(name.to_string(), kind, vec![template])
        };
        let targets = ('a'..).zip(templates).map(target).collect();
        let section = RenderSection { state_dir: Some(folder.path().join("state")), ..RenderSection::default() };
        let settings = Settings { targets, section, ..Settings::default() };
        Self { folder, registry: Arc::default(), settings }
    }

    fn check(mut self, target: usize, command: &str) -> Self {
        let check = Some(command.split(' ').map(str::to_owned).collect());
        self.settings.targets[target].kind =
            TargetKind::Command(CommandSettings { check, ..CommandSettings::default() });
        self
    }

    fn set(&self, key: &str, value: &str) {
        self.registry.0.put(key.to_owned(), value.to_owned());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    async fn until(&self, name: &str, text: &str) {
        let begin = Instant::now();
        while self.text(name).as_deref() != Some(text) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{name} holds {:?}, not {text:?}", self.text(name));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_gone(&self, name: &str) {
        let begin = Instant::now();
        while self.path(name).exists() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{name} is still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn once(&self, deadline: Duration) -> Result<(), String> {
        let setup = Setup::open(self.settings.clone()).unwrap_or_else(|error| panic!("{}", error_chain(&error)));
        render::run_once(setup, Arc::clone(&self.registry), deadline, &CancellationToken::new())
            .await
            .map_err(|error| error.to_string())
    }

    async fn dry_run(&self, deadline: Duration) -> (String, Result<(), String>) {
        let setup =
            Setup::open_read_only(self.settings.clone()).unwrap_or_else(|error| panic!("{}", error_chain(&error)));
        let mut printed = Vec::new();
        let done = render::dry_run(setup, Arc::clone(&self.registry), deadline, Colours::Off, &mut printed).await;
        (String::from_utf8(printed).expect("it is text"), done.map_err(|error| error.to_string()))
    }
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(5);

#[tokio::test]
async fn once_writes_only_files_that_differ() {
    let harness = Harness::new(&["{{key (keyOr \"which\" \"x\")}}\n", "{{keyOr \"y\" \"-\"}}\n"]);
    harness.set("x", "1");
    harness.once(LONG).await.expect("all keys exist");
    assert_eq!((harness.text("a").as_deref(), harness.text("b").as_deref()), (Some("1\n"), Some("-\n")));
    let inode = |name: &str| fs::metadata(harness.path(name)).expect("it exists").ino();
    let before = (inode("a"), inode("b"));
    harness.set("y", "2");
    harness.once(LONG).await.expect("all keys exist");
    assert_eq!((inode("a"), harness.text("b").as_deref()), (before.0, Some("2\n")));
    assert_ne!(inode("b"), before.1);
}

#[tokio::test]
async fn once_reports_at_the_deadline_what_is_not_in_sync_and_why() {
    let templates = ["{{key \"nope\"}}", "a\n{{#with (keyOr \"x\" \"y\")}}{{z}}{{/with}}", "c", "d"];
    let harness = Harness::new(&templates).check(2, "grep -q x {{candidate}}");
    let error = harness.once(SHORT).await.expect_err("three of four targets fail");
    let reasons = [
        "target a: ",
        "a.hbs: waits for key \"nope\" (there is no such key)",
        "b.hbs:2:26: there is no value `z` here",
        "target c: the candidate was refused",
    ];
    for reason in reasons {
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(["a", "b", "c", "d"].map(|name| harness.text(name)), [None, None, None, Some("d".to_owned())]);
}

#[tokio::test]
async fn an_error_that_does_not_pass_ends_once_before_the_deadline() {
    let harness = Harness::new(&["{{#with (keyOr \"x\" \"y\")}}{{nope}}{{/with}}", "b"]);
    let forever = Duration::from_secs(24 * 60 * 60);
    let error = tokio::time::timeout(LONG, harness.once(forever)).await.expect("it ends").expect_err("one fails");
    assert!(error.contains("target a: ") && error.contains("a.hbs:1:26: there is no value `nope` here"), "{error}");
    assert_eq!(["a", "b"].map(|name| harness.text(name)), [None, Some("b".to_owned())], "the other target is in sync");
    let (printed, done) = tokio::time::timeout(LONG, harness.dry_run(forever)).await.expect("it ends");
    assert!(printed.contains("# target b: nothing would change"), "{printed}");
    assert!(done.expect_err("one fails").contains("there is no value `nope` here"));
}

#[tokio::test]
async fn run_follows_the_registry_and_a_failure_affects_its_own_target_only() {
    let harness = Harness::new(&[
        "{{#with (keyOr \"a\" \"1\")}}{{#if (eq this \"bad\")}}{{no}}{{/if}}{{this}}{{/with}}",
        "{{keyOr \"b\" \"1\"}}",
    ]);
    let stop = CancellationToken::new();
    let setup = Setup::open(harness.settings.clone()).expect("it is valid");
    let run = tokio::spawn(render::run(setup, Arc::clone(&harness.registry), stop.clone()));
    harness.until("a", "1").await;
    harness.set("a", "bad");
    harness.set("b", "2");
    harness.until("b", "2").await;
    assert_eq!(harness.text("a").as_deref(), Some("1"));
    harness.set("a", "3");
    harness.until("a", "3").await;
    stop.cancel();
    run.await.expect("no panic").expect("no panic inside");
}

#[tokio::test]
async fn a_panic_ends_the_run_with_an_error() {
    let harness = Harness::new(&["{{key \"panic\"}}"]);
    let setup = || Setup::open(harness.settings.clone()).expect("it is valid");
    let ended = render::run(setup(), Arc::clone(&harness.registry), CancellationToken::new()).await;
    assert!(ended.expect_err("it panics").to_string().contains("deliberate"));
    let ended = render::run_once(setup(), Arc::clone(&harness.registry), LONG, &CancellationToken::new()).await;
    assert!(ended.expect_err("it panics").to_string().contains("deliberate"));
}

#[tokio::test]
async fn a_dry_run_shows_what_would_change_and_changes_nothing() {
    let harness = Harness::new(&["{{keyOr \"x\" \"1\"}}\n", "b\n"]).check(0, "true {{candidate}}");
    harness.once(LONG).await.expect("all keys exist");
    harness.set("x", "2");
    // A running Portreeve may have locked the state directory.
    let running = Setup::open(harness.settings.clone()).expect("it is valid");
    let a = harness.path("a").display().to_string();
    let (printed, done) = harness.dry_run(LONG).await;
    let expected = format!(
        "--- {a}\n+++ {a}\n@@ -1 +1 @@\n-1\n+2\n# target a: this would be taken\n# target b: nothing would change\n"
    );
    assert_eq!((printed.as_str(), done), (expected.as_str(), Ok(())));
    assert_eq!(harness.text("a").as_deref(), Some("1\n"));
    drop(running);
    let harness = harness.check(0, "grep 1 {{candidate}}");
    let (printed, done) = harness.dry_run(LONG).await;
    assert!(printed.contains("+2\n# target a: the check refuses this:\n"), "{printed}");
    assert!(printed.contains("\n# it would be held for some seconds"), "{printed}");
    assert!(done.expect_err("the check rejects it").contains("target a: the check refuses it"));
    assert_eq!(harness.text("a").as_deref(), Some("1\n"));
}

#[tokio::test]
async fn a_dry_run_reports_templates_that_are_not_rendered() {
    let harness = Harness::new(&["{{key \"nope\"}}", "b\n"]);
    let (printed, done) = harness.dry_run(SHORT).await;
    assert!(printed.contains("# target a: not rendered\n") && printed.contains("\n+b\n"), "{printed}");
    assert!(done.expect_err("a key is missing").contains("a.hbs: waits for key \"nope\""));
    assert_eq!((harness.text("a"), harness.text("b")), (None, None));
}

#[tokio::test]
async fn a_template_may_name_its_language() {
    let mut harness = Harness::new(&["{{key \"x\"}}", "{{key \"x\"}}"]);
    harness.set("x", "a;");
    let [source, destination] = ["a.hbs", "a"].map(|name| harness.path(name).display().to_string());
    let table = format!(
        "name = 'a'\nkind = 'command'\n[[template]]\nsource = '{source}'\ndestination = '{destination}'\nescape = 'nginx'\n"
    );
    harness.settings.targets[0] = toml::from_str(&table).expect("it is valid");
    let (printed, done) = harness.dry_run(SHORT).await;
    assert!(done.expect_err("a value is rejected").contains("the value \"a;\" of `key \"x\"` holds ';'"));
    assert!(printed.contains("+a;\n"), "{printed}");
}

#[tokio::test]
async fn partials_are_read_from_a_directory() {
    let mut harness = Harness::new(&["{{#> box}}{{> nginx/value of=\"x\"}}{{/box}}\n"]);
    fs::create_dir_all(harness.path("partials/nginx")).expect("a directory");
    fs::write(harness.path("partials/box.hbs"), "[{{> @partial-block}}]").expect("a file");
    fs::write(harness.path("partials/nginx/value.hbs"), "{{keyOr of \"-\"}}").expect("a file");
    harness.settings.section.partials = Some(harness.path("partials"));
    harness.set("x", "1");
    harness.once(LONG).await.expect("all keys exist");
    assert_eq!(harness.text("a").as_deref(), Some("[1]\n"));
    fs::write(harness.path("partials/box.hbs"), "{{> nginx/value}}{{> box}}").expect("a file");
    let refused = error_chain(&Setup::open(harness.settings.clone()).expect_err("a cycle"));
    assert!(
        refused.contains("partials/box.hbs:1:18: partials include each other without end: box -> box"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_list_gives_files_that_are_added_and_removed() {
    let mut harness = Harness::new(&["{{this}}: {{keyOr this \"-\"}}"]);
    let template = &mut harness.settings.targets[0].templates[0];
    template.each = Some("(split (key \"sites\") \",\")".to_owned());
    template.destination = template.destination.with_file_name("{{this}}.conf");
    harness.set("sites", "x,y");
    let setup = Setup::open(harness.settings.clone()).unwrap_or_else(|error| panic!("{}", error_chain(&error)));
    let stop = CancellationToken::new();
    let run = tokio::spawn(render::run(setup, Arc::clone(&harness.registry), stop.clone()));
    harness.until("y.conf", "y: -").await;
    harness.until("x.conf", "x: -").await;
    harness.set("z", "1");
    harness.set("sites", "y,z");
    harness.until("z.conf", "z: 1").await;
    harness.until_gone("x.conf").await;
    stop.cancel();
    run.await.expect("no panic").expect("no panic inside");
    // An invalid file name keeps the whole target back.
    harness.set("sites", "y,../z");
    harness.set("y", "2");
    let error = harness.once(SHORT).await.expect_err("a name is invalid");
    assert!(error.contains("the value \"../z\" of `this` holds '/'"), "{error}");
    assert_eq!((harness.text("y.conf").as_deref(), harness.text("z.conf").as_deref()), (Some("y: -"), Some("z: 1")));
}

#[tokio::test]
async fn other_templates_are_rendered_while_the_watches_go_on() {
    let harness = Harness::new(&["{{keyOr \"x\" \"-\"}}", "{{keyOr \"y\" \"-\"}}"]);
    let setup = Setup::open(harness.settings.clone()).expect("it is valid");
    let (stop, store) = (CancellationToken::new(), setup.template_store());
    let run = tokio::spawn(render::run(setup, Arc::clone(&harness.registry), stop.clone()));
    harness.until("a", "-").await;
    harness.set("x", "1");
    harness.until("a", "1").await;
    fs::write(harness.path("a.hbs"), "new {{keyOr \"x\" \"-\"}} {{keyOr \"z\" \"-\"}}").expect("a file");
    let templates = TemplateSet::read(&harness.settings).expect("it is valid");
    let sources = ["a.hbs", "b.hbs"].map(|name| harness.path(name));
    assert_eq!(*templates.source_files(), sources.into());
    store.put((), Arc::new(templates));
    harness.until("a", "new 1 -").await;
    harness.set("z", "2");
    harness.until("a", "new 1 2").await;
    assert_eq!(harness.registry.watched_keys(), ["x", "y", "z"], "each watch is started once");
    stop.cancel();
    run.await.expect("no panic").expect("no panic inside");
}

#[test]
fn an_invalid_configuration_is_reported_before_the_start() {
    let refusal =
        |settings: &Settings| error_chain(&Setup::open(settings.clone()).expect_err("the configuration is invalid"));
    let harness = Harness::new(&["{{#if}}{{/if}}", "b"]);
    assert!(refusal(&harness.settings).contains("a.hbs:1:1: `if` takes 1 argument, not 0"));
    let mut settings = harness.settings.clone();
    settings.targets[0].templates[0].source = harness.path("none.hbs");
    assert!(refusal(&settings).contains("cannot read the template"));
    settings = harness.settings.clone();
    settings.targets.remove(0);
    let locking = Setup::open(settings.clone()).expect("it is valid");
    assert!(refusal(&settings).contains("in use by process"));
    drop(locking);
    settings.targets.push(settings.targets[0].clone());
    assert!(refusal(&settings).contains("two targets have the name \"b\""));
    settings.targets[1].name = "c".to_owned();
    assert!(refusal(&settings).contains("is the destination of two targets, b and c"));
    settings.targets = Vec::new();
    assert!(refusal(&settings).contains("nothing to render"));
}

#[tokio::test]
async fn a_file_is_removed_with_its_item() {
    let mut harness = Harness::new(&["{{this}}\n"]);
    let destination = harness.path("sites").join("{{this}}.conf");
    let template = &mut harness.settings.targets[0].templates[0];
    template.destination = destination;
    template.each = Some("(parseJSON (key \"sites\"))".to_owned());
    harness.set("sites", "[\"one\", \"two\"]");
    harness.once(LONG).await.expect("all keys exist");
    assert_eq!(
        ["one", "two"].map(|name| harness.text(&format!("sites/{name}.conf"))),
        ["one\n", "two\n"].map(|text| Some(text.to_owned()))
    );
    harness.set("sites", "[\"two\"]");
    harness.once(LONG).await.expect("all keys exist");
    assert_eq!(["one", "two"].map(|name| harness.path(&format!("sites/{name}.conf")).exists()), [false, true]);
}
