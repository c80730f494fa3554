//! The renderer on answers in memory.

mod each;

use std::path::PathBuf;

use super::*;
use crate::{
    registry::ServiceRecord,
    render::{
        CompiledTemplate, Escape, UnrenderedReason,
        template_set::{EachSpec, OutputSpec, TargetTemplates, TemplateSpec},
        tests::answer,
    },
    target::Digest,
};

fn template(name: &str, text: &str, escape: Escape) -> CompiledTemplate {
    CompiledTemplate::compile(name, text, escape).unwrap_or_else(|error| panic!("{error}"))
}

fn spec(number: usize, text: &str) -> TemplateSpec {
    let output = OutputSpec::File(PathBuf::from(format!("/{number}")));
    TemplateSpec { template: template(&format!("{number}.hbs"), text, Escape::Nginx), output }
}

fn each_spec(each: &str, destination: &str, text: &str) -> TemplateSpec {
    let list = CompiledTemplate::compile_expression("each", each).unwrap_or_else(|error| panic!("{error}"));
    let path = template("destination", destination, Escape::Path);
    TemplateSpec {
        template: template("many.hbs", text, Escape::Nginx),
        output: OutputSpec::Each(Box::new(EachSpec { list, path })),
    }
}

/// A renderer of the targets `t0`, `t1` and so on.
fn renderer_of(targets: Vec<TargetTemplates>) -> Renderer {
    let store = TemplateStore::default();
    let named = targets.iter().enumerate();
    let renderers = named.map(|(number, templates)| TargetRenderer::new(format!("t{number}"), templates)).collect();
    store.put((), Arc::new(TemplateSet::from_targets(targets)));
    Renderer::new(Store::with_bell_of(&store), BTreeMap::new(), store, PinnedTemplatesStore::default(), renderers)
}

fn target_templates(targets: &[&[&str]]) -> Vec<TargetTemplates> {
    let templates = |texts: &&[&str]| texts.iter().enumerate().map(|(number, text)| spec(number, text)).collect();
    targets.iter().map(templates).collect()
}

fn renderer(targets: &[&[&str]]) -> Renderer {
    renderer_of(target_templates(targets))
}

impl Renderer {
    /// Makes passes, answering new queries after each, until there are none. Returns the number of passes.
    fn render_until_settled(&mut self) -> usize {
        for passes in 1.. {
            self.update();
            let known = self.answers.snapshot().entries;
            let new: Vec<_> =
                self.wanted_queries.borrow().iter().filter(|query| !known.contains_key(*query)).cloned().collect();
            if new.is_empty() {
                return passes;
            }
            new.into_iter().for_each(|query| self.answers.put(query.clone(), Arc::new(answer(&query))));
        }
        unreachable!()
    }

    fn text(&self, target: usize, file: &str) -> Option<String> {
        let files = self.targets[target].desired.snapshot().entries;
        files.get(&PathBuf::from(file)).map(|file| String::from_utf8_lossy(file.content.bytes()).into_owned())
    }

    fn set_key(&self, path: &str, value: Option<&str>) {
        self.answers.put(Query::key(path), Arc::new(Answer::Key(value.map(str::to_owned))));
    }

    fn files(&self) -> Vec<String> {
        let files = self.targets[0].desired.snapshot().entries;
        files.keys().map(|path| path.display().to_string()).collect()
    }

    fn set_services(&self, services: &[(&str, &str)]) {
        let tags = |tag: &str| vec![tag.to_owned()];
        let services = services.iter().map(|(name, tag)| (name.to_string(), tags(tag))).collect();
        self.answers.put(Query::services(), Arc::new(Answer::Services(services)));
    }

    fn held(&self) -> String {
        self.targets[0].narrowing.hold_reasons().iter().map(|reason| format!("{reason}\n")).collect()
    }

    /// Records that the target has accepted the desired files.
    fn accept(&self) {
        let target = &self.targets[0];
        target.narrowing.record_accepted(Digest::of_files(&target.desired.snapshot().entries));
    }

    fn unrendered_text(&self) -> String {
        self.unrendered.borrow().iter().map(|template| format!("{template}\n")).collect()
    }
}

#[test]
fn desired_files_change_once_when_all_of_them_are_rendered() {
    let mut renderer =
        renderer(&[&["{{#each (services)}}{{#each (service name)}}{{id}} {{/each}}{{/each}}", "{{key \"app/max\"}}"]]);
    let mut bell = renderer.targets[0].desired.bell();
    bell.mark_unchanged();
    renderer.update();
    assert!(!bell.has_changed().expect("the store lives") && renderer.unrendered.borrow().len() == 2);
    assert_eq!(renderer.render_until_settled(), 3);
    assert_eq!(*bell.borrow_and_update(), 1, "one change, whatever the number of passes");
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("api-1 consul web-1b web-2 "));
    assert_eq!(renderer.text(0, "/1").as_deref(), Some("15"));
    renderer.update();
    assert!(!bell.has_changed().expect("the store lives") && renderer.unrendered.borrow().is_empty());
}

#[test]
fn a_template_that_waits_or_fails_affects_its_own_target_only() {
    let mut renderer = renderer(&[&["{{key \"a\"}}", "{{keyOr \"b\" \"-\"}}"], &["{{keyOr \"b\" \"-\"}}"]]);
    renderer.render_until_settled();
    assert_eq!((renderer.text(0, "/1"), renderer.text(1, "/0")), (None, Some("-".to_owned())));
    assert_eq!(
        renderer.unrendered.borrow()[0].to_string(),
        "target t0: 0.hbs: waits for key \"a\" (there is no such key)"
    );
    renderer.set_key("a", Some("1"));
    renderer.update();
    assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
    // A template that fails keeps the previous files of its target, although the other file could be rendered.
    renderer.set_key("a", Some("1;"));
    renderer.set_key("b", Some("2"));
    renderer.update();
    assert!(renderer.unrendered.borrow()[0].to_string().contains("0.hbs:1:1: the value \"1;\""));
    assert_eq!(renderer.text(0, "/1").as_deref(), Some("-"));
    assert_eq!(renderer.text(1, "/0").as_deref(), Some("2"));
    renderer.set_key("a", Some("3"));
    renderer.update();
    assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["3", "2"]);
}

#[test]
fn only_templates_whose_answers_changed_are_rendered_again() {
    let mut renderer = renderer(&[&["{{keyOr \"a\" \"-\"}}", "{{keyOr \"b\" \"-\"}}"]]);
    renderer.render_until_settled();
    let before = renderer.targets[0].desired.snapshot().entries;
    renderer.set_key("b", Some("2"));
    renderer.update();
    let after = renderer.targets[0].desired.snapshot().entries;
    let same = |file: &str| Arc::ptr_eq(&before[&PathBuf::from(file)], &after[&PathBuf::from(file)]);
    assert!(same("/0") && !same("/1"));
}

#[test]
fn queries_follow_the_answers_but_stay_after_an_error() {
    let mut renderer = renderer(&[&["{{#with (key \"which\")}}{{key this}}{{/with}}"]]);
    renderer.set_key("which", Some("app/max"));
    renderer.render_until_settled();
    assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
    renderer.set_key("motd", Some("a;"));
    renderer.set_key("which", Some("motd"));
    renderer.render_until_settled();
    assert!(matches!(renderer.unrendered.borrow()[0].reason, UnrenderedReason::Failed(_)));
    assert!(renderer.wanted_queries.borrow().contains(&Query::key("app/max")), "an error hides the queries behind it");
    renderer.set_key("which", Some("app/max"));
    renderer.render_until_settled();
    assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("which"), Query::key("app/max")]));
}

#[test]
fn an_invalid_value_affects_its_own_entry_only() {
    let text = "{{#each (service \"a\")}}{{address}}={{meta.x}} {{/each}}{{key \"max\"}}";
    let mut renderer = renderer(&[&[text]]);
    let set = |renderer: &Renderer, instances: &[(&str, &str)]| {
        let record = |(id, x): &(&str, &str)| ServiceRecord {
            id: (*id).into(),
            address: (*id).into(),
            meta: [("x".to_owned(), (*x).to_owned())].into(),
            ..ServiceRecord::default()
        };
        renderer.answers.put(Query::service("a"), Arc::new(Answer::Service(instances.iter().map(record).collect())));
    };
    set(&renderer, &[("1", "x"), ("2", "x"), ("3", "a;")]);
    renderer.set_key("max", Some("10"));
    renderer.render_until_settled();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=x 10"), "there is no earlier value");
    renderer.accept();
    set(&renderer, &[("1", "b;"), ("2", "y"), ("3", "a;"), ("4", "x")]);
    renderer.set_key("max", Some("1 1"));
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=x 2=y 4=x 10"));
    assert_eq!(renderer.held().matches("target t0: ").count(), 3, "{}", renderer.held());
    renderer.accept();
    // A removal takes effect, and so does a value that is valid again.
    set(&renderer, &[("1", "z"), ("3", "a;"), ("4", "x")]);
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("1=z 4=x 10"));
    set(&renderer, &[("4", "x")]);
    renderer.set_key("max", Some("11"));
    renderer.update();
    assert_eq!((renderer.text(0, "/0").as_deref(), renderer.held().as_str()), (Some("4=x 11"), ""));
}

#[test]
fn a_mistake_in_a_template_does_not_empty_its_files() {
    let mut renderer = renderer(&[&["{{#each (services)}}{{#if (ne name \"consul\")}}{{nmae}}{{/if}}{{/each}}"]]);
    renderer.render_until_settled();
    assert!(renderer.files().is_empty() && renderer.held().is_empty(), "{}", renderer.held());
    assert!(renderer.unrendered_text().contains("there is no value `nmae`"), "{}", renderer.unrendered_text());
}

#[test]
fn a_template_that_keeps_failing_does_not_collect_watches() {
    let text = "{{#each (services)}}{{#each (service name)}}{{id}} {{/each}}{{/each}}{{key \"a\"}}";
    let mut renderer = renderer(&[&[text]]);
    let services = |names: &[String]| Answer::Services(names.iter().map(|name| (name.clone(), vec![])).collect());
    let set = |renderer: &Renderer, names: &[String]| {
        renderer.answers.put(Query::services(), Arc::new(services(names)));
    };
    let named = |kind: &str| (0..60).map(|number| format!("{kind}-{number}")).collect::<Vec<_>>();
    set(&renderer, &named("good"));
    renderer.set_key("a", Some("1"));
    renderer.render_until_settled();
    assert_eq!(renderer.wanted_queries.borrow().len(), 62);
    renderer.set_key("a", Some("1;"));
    for round in 0..5 {
        set(&renderer, &named(&format!("r{round}")));
        renderer.render_until_settled();
        assert!(matches!(renderer.unrendered.borrow()[0].reason, UnrenderedReason::Failed(_)));
        assert_eq!(renderer.wanted_queries.borrow().len(), 122, "those of the last good render and of the current one");
    }
    set(&renderer, &[]);
    renderer.render_until_settled();
    assert_eq!(renderer.wanted_queries.borrow().len(), 62);
    renderer.set_key("a", Some("1"));
    renderer.render_until_settled();
    assert_eq!(renderer.wanted_queries.borrow().len(), 2);
}

#[test]
fn the_previous_template_stays_in_effect_until_the_new_one_renders() {
    let set = |text: &str| target_templates(&[&[text, "{{keyOr \"b\" \"-\"}}"]]);
    let mut renderer = renderer_of(set("{{#each (service \"web\")}}{{id}} {{/each}}"));
    renderer.render_until_settled();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("web-1b web-2 "));
    renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"silent\"}}"))));
    renderer.update();
    renderer.answers.put(Query::service("web"), Arc::new(Answer::Service(Vec::new())));
    renderer.set_key("b", Some("2"));
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some(""), "a removal takes effect");
    assert_eq!(renderer.text(0, "/1").as_deref(), Some("2"));
    assert_eq!(renderer.unrendered_text(), "target t0: 0.hbs: waits for key \"silent\" (not answered yet)\n");
    // A template that is saved meanwhile replaces the one that waits, not the one in effect.
    renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"nope\"}}"))));
    renderer.render_until_settled();
    renderer.set_key("b", Some("3"));
    renderer.update();
    assert_eq!([renderer.text(0, "/0"), renderer.text(0, "/1")].map(Option::unwrap_or_default), ["", "3"]);
    renderer.set_key("nope", Some("new"));
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("new"));
    assert_eq!(*renderer.wanted_queries.borrow(), BTreeSet::from([Query::key("b"), Query::key("nope")]));
}

#[test]
fn a_new_template_set_renders_with_the_answers_that_are_known() {
    let set = |first: &str| target_templates(&[&[first, "{{keyOr \"b\" \"-\"}}"]]);
    let mut renderer = renderer_of(set("{{keyOr \"a\" \"1\"}}"));
    renderer.render_until_settled();
    let (bell, before) = (renderer.wanted_queries.subscribe(), renderer.targets[0].desired.snapshot().entries);
    renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("new {{keyOr \"a\" \"1\"}}"))));
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "in one pass");
    assert!(!bell.has_changed().expect("the renderer lives"), "the queries are the same");
    let after = renderer.targets[0].desired.snapshot().entries;
    let same = Arc::ptr_eq(&before[&PathBuf::from("/1")], &after[&PathBuf::from("/1")]);
    assert!(same, "an unchanged template is not rendered again");
    renderer.template_store.put((), Arc::new(TemplateSet::from_targets(set("{{key \"which\"}}"))));
    renderer.render_until_settled();
    assert_eq!(*renderer.wanted_queries.borrow(), ["a", "b", "which"].map(Query::key).into());
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("new 1"), "until the new one renders");
}

#[test]
fn a_template_set_with_other_destinations_is_refused() {
    let mut renderer = renderer(&[&["a"]]);
    renderer.render_until_settled();
    for other in [vec![], vec![vec![spec(1, "b")]], vec![vec![spec(0, "b"), spec(1, "c")]]] {
        renderer.template_store.put((), Arc::new(TemplateSet::from_targets(other)));
        renderer.update();
        assert_eq!(renderer.text(0, "/0").as_deref(), Some("a"));
    }
    renderer.template_store.put((), Arc::new(TemplateSet::from_targets(target_templates(&[&["b"]]))));
    renderer.update();
    assert_eq!(renderer.text(0, "/0").as_deref(), Some("b"));
}
