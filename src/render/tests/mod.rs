//! Renders templates with the reference catalog, on which the behaviour of consul-template was measured.

mod nginx_syntax;
mod queries;
mod reference;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use super::{
    Answers, CompiledTemplate, Escape, MissingInput, Partials, RenderInputs, RenderOutcome, RenderReport,
    TemplateError,
    renderer::{TemplateState, all_desired_files},
    template_set::{EachSpec, OutputSpec, TemplateSpec},
};
use crate::{
    fixture::{Catalog, Fixture, FixtureFormat, FixturePreparedQuery},
    registry::{Answer, CaLeaf, CaRoot, CaRoots, FileContent, Query, Scope, ServiceQuery, ServiceRecord},
    target,
};

/// The reference catalog, and what the catalog cannot express: a key whose value every language must quote, an
/// unreachable second datacenter with the same keys, a prepared query, the mesh, files.
fn fixture() -> Fixture {
    let text = include_str!("../../fixture/reference.yaml");
    let mut fixture = Fixture::parse(text, FixtureFormat::Yaml).unwrap_or_else(|error| panic!("{error}"));
    fixture.catalog.kv.insert("motd".to_owned(), "say \"hi\";\n".to_owned());
    let kv = fixture.catalog.kv.clone();
    fixture.datacenters.insert("dc2".to_owned(), Catalog { kv, ..Catalog::default() });
    let prepared =
        FixturePreparedQuery { service: "web".to_owned(), only_passing: true, ..FixturePreparedQuery::default() };
    fixture.prepared.insert("web-or-elsewhere".to_owned(), prepared);
    fixture.files.insert("allow.conf".into(), "allow 10.0.0.0/8;\n".to_owned());
    fixture.answers.extend(recorded());
    fixture
}

/// Answers that a fixture cannot compute.
fn recorded() -> [(Query, Answer); 5] {
    let connect = ServiceQuery { name: "web".into(), passing: true, connect: true, ..ServiceQuery::default() };
    let proxy = ServiceRecord { name: "web-sidecar-proxy".into(), ..member("web-1b-sidecar-proxy", "10.0.0.1", 21000) };
    let root = CaRoot { id: "7d:6e".into(), root_cert: pem("root"), active: true, ..CaRoot::default() };
    let roots = CaRoots { active_root_id: root.id.clone(), trust_domain: "ea2897a3.consul".into(), roots: vec![root] };
    let leaf = CaLeaf { cert_pem: pem("web"), private_key_pem: pem("key"), ..CaLeaf::default() };
    let refused = FileContent::Refused("it lies outside of /etc/portreeve".into());
    [
        (Query::Service(connect), Answer::Service(vec![proxy])),
        (Query::Datacenters { reachable: true }, Answer::Datacenters(vec!["dc1".into()])),
        (Query::CaRoots, Answer::CaRoots(roots)),
        (Query::CaLeaf { service: "web".into() }, Answer::CaLeaf(leaf)),
        (Query::File { path: "/etc/shadow".into() }, Answer::File(refused)),
    ]
}

fn pem(name: &str) -> String {
    format!("-----BEGIN {name}-----\n")
}

/// A healthy instance of `a` on n1.
fn member(id: &str, address: &str, port: u16) -> ServiceRecord {
    ServiceRecord {
        node: "n1".into(),
        id: id.into(),
        name: "a".into(),
        address: address.into(),
        port,
        weight: 1,
        healthy: true,
        ..ServiceRecord::default()
    }
}

/// The answer of the fixture.
pub(super) fn answer(query: &Query) -> Answer {
    fixture().answer(query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

struct TestRender {
    answers: Answers,
    env: BTreeMap<String, String>,
}

impl TestRender {
    fn new() -> Self {
        let env = [("ZONE", "eu"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { answers: Answers::new(), env: env.into() }
    }

    fn render(&self, template: &CompiledTemplate) -> RenderReport {
        template.render(self.inputs())
    }

    fn inputs(&self) -> RenderInputs<'_> {
        RenderInputs { answers: &self.answers, env: &self.env, item: &serde_json::Value::Null }
    }

    /// Renders until all queries are answered, as the renderer does. Returns the last report and the number of renders.
    fn render_until_settled(&mut self, template: &CompiledTemplate) -> (RenderReport, usize) {
        for count in 1..20 {
            let report = self.render(template);
            let unanswered = report.queries.iter().filter(|query| !self.answers.contains_key(*query));
            let unanswered: Vec<_> = unanswered.cloned().collect();
            if unanswered.is_empty() {
                return (report, count);
            }
            self.answers.extend(unanswered.into_iter().map(|query| (query.clone(), Arc::new(answer(&query)))));
        }
        panic!("the template never settles");
    }
}

fn outcome(text: &str, escape: Escape) -> RenderOutcome {
    let template = CompiledTemplate::compile("t.hbs", text, escape).unwrap_or_else(|error| panic!("{error}"));
    TestRender::new().render_until_settled(&template).0.outcome
}

fn text(template: &str) -> String {
    match outcome(template, Escape::Nginx) {
        RenderOutcome::Text(text) => text,
        other => panic!("{template}: {other:?}"),
    }
}

fn failure(template: &str) -> String {
    match outcome(template, Escape::Nginx) {
        RenderOutcome::Failed(error) => error.to_string(),
        other => panic!("{template}: {other:?}"),
    }
}

fn refusal(template: &str) -> String {
    CompiledTemplate::compile("t.hbs", template, Escape::Nginx).expect_err(template).to_string()
}

#[test]
fn service_selects_and_sorts_instances() {
    let cases = [
        (r#""web""#, "10.1.0.12:8081 10.0.0.2:8080 "),
        (r#"name="web""#, "10.1.0.12:8081 10.0.0.2:8080 "),
        (r#""web|passing""#, "10.1.0.12:8081 10.0.0.2:8080 "),
        (r#""web|passing,warning""#, "10.1.0.11:8080 10.1.0.12:8081 10.0.0.2:8080 "),
        (r#""web" status="warning,passing""#, "10.1.0.11:8080 10.1.0.12:8081 10.0.0.2:8080 "),
        (r#""web" tag="v1""#, "10.0.0.2:8080 "),
        (r#""v1.web|passing""#, "10.0.0.2:8080 "),
        (r#""v1.web|any""#, "10.1.0.11:8080 10.0.0.2:8080 10.0.0.3:8080 10.0.0.4:8080 "),
        (r#""web" tag="v1" any=true"#, "10.1.0.11:8080 10.0.0.2:8080 10.0.0.3:8080 10.0.0.4:8080 "),
        (r#""api""#, "10.0.0.1:9000 "),
        (r#""maint""#, ""),
        (r#""maint|maintenance""#, "10.0.0.2:7000 "),
        (r#""v1.web""#, "10.0.0.2:8080 "),
        (r#"name="v1.web""#, ""),
        (r#""nobody""#, ""),
        (r#""""#, ""),
    ];
    for (arguments, expected) in cases {
        let template = format!("{{{{#each (service {arguments})}}}}{{{{address}}}}:{{{{port}}}} {{{{/each}}}}");
        assert_eq!(text(&template), expected, "{arguments}");
    }
}

#[test]
fn values_are_printed_as_they_are() {
    let cases = [
        (
            "{{#each (services)}}{{name}}: {{#each tags}}{{this}}{{#unless @last}},{{/unless}}{{/each}}\n{{/each}}",
            "api: \nconsul: \nmaint: \nweb: blue,green,v1\n",
        ),
        (r#"{{key "app/max"}} {{key "/app/max"}} {{key path="app/max"}} {{key "app/max@dc2"}}"#, "15 15 15 15"),
        (
            r#"[{{key "app/empty"}}] {{keyOr "app/empty" "a"}} {{keyOr "app/none" "b"}} {{keyOr "app/max" "c"}}"#,
            "[] a b 15",
        ),
        (
            r#"{{env "ZONE"}} [{{env "NONE"}}] {{envOr "ZONE" "a"}} {{envOr "NONE" "b"}} [{{envOr "EMPTY" "c"}}]"#,
            "eu [] eu b []",
        ),
        (r#"{{quote (key "motd")}}"#, r#""say \"hi\";\n""#),
        (r#"{{raw (key "motd")}}{{{key "motd"}}}{{&(key "motd")}}"#, "say \"hi\";\nsay \"hi\";\nsay \"hi\";\n"),
        (
            r#"{{hostPort "10.0.0.1" 80}} {{hostPort "fd00::1" "80"}} {{hostPort "[fd00::1]" 80}}"#,
            "10.0.0.1:80 [fd00::1]:80 [fd00::1]:80",
        ),
        (
            r#"{{#each (where (service "web" any=true) "healthy" "meta.weight")}}{{id}}={{meta.weight}} {{/each}}"#,
            "web-1b=10 web-2=2 ",
        ),
        (r#"{{len (service "web")}} {{lookup (lookup (service "web") 0) "id"}} {{eq 1 1}}"#, "2 web-1b true"),
        (r#"{{#if (service "nobody")}}a{{else if (service "web")}}b{{else}}c{{/if}}"#, "b"),
        (
            r#"{{#with (keyOr "none" "web") as |name|}}{{#each (service name)}}{{../this}}{{id}} {{/each}}{{/with}}"#,
            "webweb-1b webweb-2 ",
        ),
        ("{{#*inline \"a\"}}<{{x}}>{{/inline}}{{> a x=1}}{{#> a x=2}}{{/a}}", "<1><2>"),
        ("{{{{raw}}}}{{name}}{{{{/raw}}}} \\{{name}} {{! note }}", "{{name}} {{name}} "),
    ];
    for (template, expected) in cases {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn a_value_that_cannot_be_printed_is_an_error_with_its_position() {
    let cases = [
        ("a\n  {{service \"web\"}}", "t.hbs:2:3: a list cannot be printed"),
        ("{{#each (service \"web\")}}{{this}}{{/each}}", "a record cannot be printed"),
        ("{{#each (service \"web\")}}{{meta.colour}}{{/each}}", "there is no value `meta.colour` here"),
        ("{{nothing}}", "there is no value `nothing` here"),
        ("{{{nothing}}}", "there is no value `nothing` here"),
        ("{{#each services}}{{/each}}", "`services` here; put the helper in parentheses: (services)"),
        ("{{len nodes}}", "`nodes` here; put the helper in parentheses: (nodes)"),
        ("{{key \"motd\"}}", r#"the value "say \"hi\";\n" of `key "motd"` holds ' '"#),
        ("{{lookup (service \"nobody\") 0}}", "there is no such value"),
        ("{{#each (service nobody)}}{{/each}}", "service: there is no value `nobody` here"),
        ("{{#each (service \"web\" any=\"yes\")}}{{/each}}", "any must be true or false"),
        ("{{#each (service \"web~n1@dc2\")}}{{/each}}", "`@` in \"web~n1@dc2\" is in the wrong place"),
        ("{{#each (service \"web?stale=1\")}}{{/each}}", "`stale` is not known"),
        ("{{#each (service \"web?peer=a&sameness-group=b\")}}{{/each}}", "exclude each other"),
        ("{{#each (service \"web?peer=a\" samenessGroup=\"b\")}}{{/each}}", "exclude each other"),
        ("{{#each (service \"web\" ns=\"a\" namespace=\"b\")}}{{/each}}", "namespace= and ns= are the same"),
        ("{{#each (service \"web\" min=\"all\")}}{{/each}}", "min must be a whole number"),
        ("{{#each (service \"\" min=1)}}{{/each}}", "the name is empty"),
        ("{{#each (services \"web@dc2\")}}{{/each}}", "must be `@` and a datacenter"),
        ("{{key \"a?peer=b\"}}", "only `service` and `connect` ask a peer"),
        ("{{file \"/etc/shadow\"}}", "file: \"/etc/shadow\": it lies outside of /etc/portreeve"),
        ("{{mustEnv \"EMPTY\"}}", "the environment variable \"EMPTY\" is unset or empty"),
        ("{{upstream \"nobody\"}}", "`upstream` has no server"),
        ("{{{upstream \"nobody\"}}}", "`upstream` has no server"),
        ("{{upstream \"web\" extra=\"a;b\"}}", "extra: \"a;b\" holds ';'"),
        ("{{#each (service \"a\" name=\"b\")}}{{/each}}", "the name is given both by position and by name="),
        ("{{quote \"$a\"}}", "quote: \"$a\" cannot be quoted"),
        ("{{#each (where \"web\" \"healthy\")}}{{/each}}", "argument 1 must be a list"),
        ("{{#if (eq meta.colour \"red\")}}{{/if}}", "there is no value `meta.colour` here, argument 1 of `eq`"),
        ("{{#if (or (eq 1 a) (eq 2 b))}}{{/if}}", "there is no value `a` or `b` here, argument 2 of `eq`"),
        ("{{#each nothing}}{{/each}}", "there is no value `nothing` here"),
        ("{{#each (where nothing \"a\")}}{{/each}}", "where: there is no value `nothing` here"),
        ("{{#with nothing}}{{/with}}", "there is no value `nothing` here"),
        ("{{len (lookup nothing \"a\")}}", "`lookup nothing \"a\"` finds nothing"),
        ("{{#*inline \"p\"}}\n {{x}}{{/inline}}{{> p x=nothing}}", "t.hbs:2:2: there is no value `x` here: it is null"),
        ("{{#*inline \"p\"}}{{> @partial-block}}{{/inline}}{{> p}}", "there is no content to insert"),
        (
            "{{#with 1}}{{#*inline \"p\"}}{{/inline}}{{/with}}\n{{> p}}",
            "t.hbs:2:1: there is no partial `p` at this place",
        ),
        ("{{#*inline \"p\"}}\n{{this.x}}{{/inline}}{{> p}}", "t.hbs:2:1: there is no value `this.x` here"),
    ];
    for (template, expected) in cases {
        let error = failure(template);
        assert!(error.contains(expected) && error.contains('^'), "{template}: {error}");
    }
}

#[test]
fn an_error_names_the_instance_that_the_value_belongs_to() {
    let template = CompiledTemplate::compile(
        "t.hbs",
        "{{#each (service \"a\")}}{{#each tags}}{{this}}{{/each}}{{/each}}",
        Escape::Nginx,
    );
    let [id, name, node] = ["a-1", "a", "n1"].map(str::to_owned);
    let evil = ServiceRecord { id, name, node, tags: vec!["x;".to_owned()], ..ServiceRecord::default() };
    let query = Query::service("a");
    let test = TestRender { answers: [(query, Arc::new(Answer::Service(vec![evil])))].into(), ..TestRender::new() };
    let RenderOutcome::Failed(error) = test.render(&template.expect("it compiles")).outcome else {
        panic!("it is printed")
    };
    let expected = r#"the value "x;" of `this` (service "a", instance "a-1" on node "n1") holds ';'"#;
    assert!(error.reason.contains(expected), "{error}");
}

#[test]
fn unprintable_values_can_be_skipped() {
    let template = "{{#each (service \"web\")}}{{#if (printable meta.weight)}}{{id}} {{/if}}{{/each}}\
                    {{printable (key \"motd\")}} {{printable nothing}} {{printable (services)}} {{printable 1}}";
    assert_eq!(text(template), "web-1b web-2 false false false true");
    assert_eq!(outcome("{{printable (key \"motd\")}}", Escape::None), RenderOutcome::Text("true".to_owned()));
}

#[test]
fn a_template_that_can_never_render_does_not_compile() {
    let cases = [
        ("{{#each x}}\n b", "t.hbs:1:1: the block `{{#each}}` is not closed"),
        ("{{#if x}}{{/each}}", "`{{/each}}` closes a block that was opened as `if`"),
        ("x {{/if}}", "closes a block that is not open"),
        ("{{else}}", "`else` stands outside of a block"),
        ("upstream x {{{#each y}}\n{{/each}}", "put a space"),
        ("a\n {{foo", "the file ends inside"),
        ("{{}} b", "a name or a value must stand here"),
        ("{{env \"x}} b\n", "texts stand in double quotes"),
        ("{{sevrice \"web\"}}", "there is no helper `sevrice`: did you mean `service`?"),
        ("{{keyOrDefault \"a\" \"b\"}}", "`keyOrDefault`, which is from consul-template: write `keyOr`"),
        ("{{range services}}", "write {{#each …}} … {{/each}}"),
        ("{{- key \"a\" -}}", "write {{~ … ~}}"),
        ("{{gauge \"web\"}}", "there is no helper `gauge`: the reference lists all"),
        ("{{#if (web)}}{{/if}}", "there is no helper `web`; a value stands without parentheses"),
        ("{{#service \"web\"}}{{/service}}", "`service` is not a block"),
        ("{{#len x}}{{/len}}", "`len` is not a block"),
        ("{{if x}}", "`if` is a block"),
        ("{{keyOr \"x\"}}", "`keyOr` takes 2 arguments, not 1"),
        (
            "{{#each (service \"x\" tga=\"y\")}}{{/each}}",
            "`service` has no option `tga` (it has: any, dc, filter, min, name, namespace, near, ns, partition, peer, samenessGroup, status, tag)",
        ),
        ("{{#if (raw x)}}{{/if}}", "`raw` prints"),
        ("{{*foo}}", "there is no decorator `foo`"),
        ("{{(sevrice \"web\")}}", "there is no helper `sevrice`"),
        ("{{> other}}", "there is no partial `other`"),
        ("{{> (lookup a b)}}", "a partial's name cannot be computed"),
        ("{{#*inline a}}{{/inline}}", "a partial's name must be a text"),
        ("{{#*inline \"a\"}}{{> a}}{{/inline}}", "without end: a -> a"),
        (
            "{{#*inline \"a\"}}\n{{> b}}{{/inline}}\n{{#*inline \"b\"}}{{#if x}}{{else if y}}{{> a}}{{/if}}{{/inline}}",
            "without end: a -> b -> a",
        ),
        (
            "{{#*inline \"a\"}}{{#> b}}{{> a}}{{/b}}{{/inline}}{{#*inline \"b\"}}{{> @partial-block}}{{/inline}}",
            "without end: a -> a",
        ),
    ];
    for (template, expected) in cases {
        let error = refusal(template);
        assert!(error.contains(expected) && error.contains('^'), "{template}: {error}");
    }
}

#[test]
fn a_with_of_an_empty_value_is_an_error() {
    for (template, expected) in [
        (
            "a\n {{#with (key \"app/empty\")}}{{this}}{{/with}}",
            "t.hbs:2:2: `key \"app/empty\"` is an empty text here: add {{else}}",
        ),
        ("{{#with (service \"nobody\") as |all|}}{{/with}}", "`service \"nobody\"` is an empty list here"),
        ("{{#with (dict)}}{{/with}}", "`dict` is an empty record here"),
        ("{{#with nothing}}{{/with}}", "there is no value `nothing` here"),
        ("{{#with (lookup (dict) \"x\")}}{{/with}}", "there is no such value here"),
    ] {
        let failure = failure(template);
        assert!(failure.contains(expected), "{template}: {failure}");
    }
    assert_eq!(text("{{#with (key \"app/empty\")}}a{{else}}b{{/with}}"), "b");
    assert_eq!(text("{{or (env \"EMPTY\") \"http\"}} {{or (env \"ZONE\") \"http\"}}"), "http eu");
}

#[test]
fn go_template_syntax_gives_hints_with_positions() {
    for (template, expected) in [
        ("a\n  {{ .Name }}", "t.hbs:2:"),
        ("{{ .Name }}", "`name`, without the dot"),
        ("{{range services}}x{{end}}", "{{#each …}} … {{/each}}"),
        ("{{ $x := service \"web\" }}", "{{#with … as |x|}} … {{/with}}"),
        ("{{ service \"web\" | toJSON }}", "{{toJSON (service \"web\")}}"),
        ("{{ scratch.Set \"a\" 1 }}", "{{#with … as |name|}}"),
        ("{{ secret \"kv/a\" }}", "Vault is not supported"),
        ("{{ with secret \"kv/a\" }}{{ end }}", "`secret` is from consul-template: Vault"),
        ("{{ service \"web\" \"any\" }}", "any=true"),
        ("{{- service \"web\" -}}", "{{~ … ~}}"),
        ("{{ if .Tags }}x{{ end }}", "{{#if …}} … {{/if}}"),
        ("{{ with secret \"kv/a\" }}{{ .Data.a }}{{ end }}", "t.hbs:1:1: `secret` is from Go's templates: Vault"),
        ("a\n{{ range service \"web\" }}\n{{ .Name }}\n{{ end }}", "t.hbs:2:1: `range`"),
        ("{{ else if x }}", "outside of a block"),
        ("{{/* note */}}", "{{!-- … --}}"),
    ] {
        let refusal = refusal(template);
        assert!(refusal.contains(expected), "{template}: {refusal}");
        assert!(refusal.contains(" | "), "{template}: no place: {refusal}");
    }
    for (template, expected) in [
        ("a {{end}}", "{{/each}}"),
        ("{{Name}}", "`name`"),
        ("{{$x}}", "as |x|"),
        ("{{nil}}", "{{#if x}} to ask whether there is x"),
        ("{{env.FOO}}", "`env` is a helper: write (env \"FOO\")"),
        ("{{FOO_BAR}}", "(env \"FOO_BAR\")"),
        ("{{env FOO_BAR}}", "(env \"FOO_BAR\")"),
        ("{{key.app}}", "(key \"app\")"),
        ("{{key app/db}}", "put a text in quotes: \"app/db\""),
        ("{{#each (service web)}}{{/each}}", "put a text in quotes: \"web\""),
    ] {
        let failure = failure(template);
        assert!(failure.contains(expected), "{template}: {failure}");
    }
}

#[test]
fn nested_queries_take_one_render_for_each_depth() {
    let nested = "{{#each (services)}}{{name}}{{#each (service name any=true)}} {{id}}{{/each}}\n{{/each}}";
    let template = CompiledTemplate::compile("t.hbs", nested, Escape::Nginx).expect("it compiles");
    let mut test = TestRender::new();
    let first = test.render(&template);
    assert_eq!(first.queries.len(), 1);
    assert!(matches!(first.outcome, RenderOutcome::Missing(_)));
    let (last, passes) = test.render_until_settled(&template);
    assert_eq!((passes, last.queries.len()), (3, 5));
    let expected = "api api-1\nconsul consul\nmaint maint-1\nweb web-1a web-1b web-2 web-3 web-4\n";
    assert_eq!(last.outcome, RenderOutcome::Text(expected.to_owned()));
}

#[test]
fn a_missing_key_keeps_the_template_from_rendering() {
    let RenderOutcome::Missing(missing) = outcome("{{key \"nope\"}}{{key \"app/max\"}}", Escape::Nginx) else {
        panic!("it is rendered without the key");
    };
    let query = Query::key("nope");
    assert_eq!(missing, BTreeMap::from([(query, MissingInput::Key)]));
}

#[test]
fn an_error_before_all_queries_are_answered_does_not_count() {
    let template = CompiledTemplate::compile(
        "t.hbs",
        "{{lookup (lookup (service \"web\") 0) \"id\"}}{{key \"app/max\"}}",
        Escape::Nginx,
    );
    let template = template.expect("it compiles");
    let mut test = TestRender::new();
    let first = test.render(&template);
    assert!(matches!(first.outcome, RenderOutcome::Missing(_)) && !first.is_whole, "{first:?}");
    assert_eq!(test.render_until_settled(&template).0.outcome, RenderOutcome::Text("web-1b15".to_owned()));
}

#[test]
fn without_a_language_values_are_printed_as_they_are() {
    assert_eq!(outcome("{{key \"motd\"}}", Escape::None), RenderOutcome::Text("say \"hi\";\n".to_owned()));
}
