//! The queries of helpers, and what the helpers make of the answers.

use super::*;
use crate::{
    registry::Status,
    target::{Member, Server, Upstream},
};

/// The only query of a template.
fn query_of(template: &str) -> Query {
    let template =
        CompiledTemplate::compile("t.hbs", template, Escape::Nginx).unwrap_or_else(|error| panic!("{error}"));
    let used = TestRender::new().render(&template).queries;
    assert_eq!(used.len(), 1, "{used:?}");
    used.into_iter().next().expect("there is one")
}

#[test]
fn the_arguments_make_the_query() {
    let text = |text: &str| Some(text.to_owned());
    let dc = |name: &str| Scope { dc: text(name), ..Scope::default() };
    let whole = Scope { namespace: text("a"), partition: text("b"), ..dc("dc2") };
    let all = ServiceQuery {
        name: "web".into(),
        tag: text("v1"),
        near: text("_agent"),
        peer: text("c"),
        scope: whole.clone(),
        ..ServiceQuery::default()
    };
    let group =
        ServiceQuery { name: "web".into(), passing: true, sameness_group: text("g"), ..ServiceQuery::default() };
    let filter =
        ServiceQuery { name: "a.b".into(), passing: true, filter: text("Service.Port == 80"), ..Default::default() };
    let cases = [
        (r#"service "v1.web?ns=a&partition=b&peer=c@dc2~_agent|any""#, Query::Service(all.clone())),
        (
            r#"service "web" tag="v1" ns="a" partition="b" peer="c" dc="dc2" near="_agent" any=true"#,
            Query::Service(all.clone()),
        ),
        (
            r#"service "x.web?ns=x&partition=x&peer=x@x~x" tag="v1" namespace="a" partition="b" peer="c" dc="dc2"
                near="_agent" status="warning""#,
            Query::Service(all.clone()),
        ),
        (
            r#"connect "v1.web?ns=a&partition=b&peer=c@dc2~_agent|passing,warning""#,
            Query::Service(ServiceQuery { connect: true, ..all }),
        ),
        (r#"service "web?sameness-group=g""#, Query::Service(group.clone())),
        (r#"service "web" samenessGroup="g" dc="" near="" filter="""#, Query::Service(group)),
        (r#"service name="a.b" filter="Service.Port == 80""#, Query::Service(filter)),
        (r#"upstream "web""#, Query::service("web")),
        (r#"services "?ns=a&partition=b@dc2""#, Query::Services { filter: None, scope: whole.clone() }),
        (r#"services filter="x" dc="dc2""#, Query::Services { filter: text("x"), scope: dc("dc2") }),
        (r#"nodes "@dc2~n1""#, Query::Nodes { near: text("n1"), filter: None, scope: dc("dc2") }),
        (
            r#"nodes near="n1" filter="x" dc="dc2""#,
            Query::Nodes { near: text("n1"), filter: text("x"), scope: dc("dc2") },
        ),
        (r#"node "n1@dc2""#, Query::Node { name: text("n1"), scope: dc("dc2") }),
        (r#"node dc="dc2""#, Query::Node { name: None, scope: dc("dc2") }),
        (r#"node "@dc2""#, Query::Node { name: None, scope: dc("dc2") }),
        (r#"node """#, Query::Node { name: None, scope: Scope::default() }),
        ("node", Query::Node { name: None, scope: Scope::default() }),
        ("datacenters reachable=true", Query::Datacenters { reachable: true }),
        (r#"key "/a~b|c?ns=a&partition=b@dc2""#, Query::Key { path: "a~b|c".into(), scope: whole.clone() }),
        (r#"keyOr "a@dc2" "x""#, Query::Key { path: "a".into(), scope: dc("dc2") }),
        (r#"keyExists path="a@dc2" dc="dc2""#, Query::Key { path: "a@dc2".into(), scope: dc("dc2") }),
        (r#"ls "app?ns=a&partition=b@dc2""#, Query::Keys { prefix: "app/".into(), scope: whole }),
        (r#"tree "/app/" dc="dc2""#, Query::Keys { prefix: "app/".into(), scope: dc("dc2") }),
        (r#"tree "/""#, Query::Keys { prefix: String::new(), scope: Scope::default() }),
        (r#"ls path="a?b""#, Query::Keys { prefix: "a?b/".into(), scope: Scope::default() }),
        (
            r#"prepared "q" near="_agent" dc="dc2""#,
            Query::Prepared { name: "q".into(), near: text("_agent"), scope: dc("dc2") },
        ),
        ("caRoots", Query::CaRoots),
        (r#"caLeaf "web""#, Query::CaLeaf { service: "web".into() }),
        (r#"file "a/b""#, Query::File { path: "a/b".into() }),
    ];
    for (call, query) in cases {
        assert_eq!(query_of(&format!("{{{{#if ({call})}}}}{{{{/if}}}}")), query, "{call}");
    }
}

#[test]
fn a_computed_argument_means_the_same_as_a_literal() {
    for (literal, computed) in [
        (r#"service "v1.web""#, r#"service (concat "v1" ".web")"#),
        (r#"service "v1.web@dc2|any""#, r#"service (concat "v1.web@" "dc2" "|any")"#),
        (r#"connect "web@dc2""#, r#"connect (join ["web", "dc2"] "@")"#),
        (r#"upstream "v1.web|warning""#, r#"upstream (replaceAll "v1-web|warning" "-" ".")"#),
        (r#"services "@dc2""#, r#"services (concat "@" "dc2")"#),
        (r#"nodes "@dc2~n1""#, r#"nodes (concat "@dc2" "~n1")"#),
        (r#"node "n1@dc2""#, r#"node (concat "n1" "@dc2")"#),
        (r#"key "a@dc2""#, r#"key (concat "a" "@dc2")"#),
        (r#"keyOr "a@dc2" "x""#, r#"keyOr (envOr "NONE" "a@dc2") "x""#),
        (r#"keyExists "a@dc2""#, r#"keyExists (toLower "A@DC2")"#),
        (r#"ls "app@dc2""#, r#"ls (concat "app" "@dc2")"#),
        (r#"tree "app@dc2""#, r#"tree (concat "app" "@dc2")"#),
    ] {
        let used = |call: &str| {
            let text = format!("{{{{#if ({call})}}}}{{{{/if}}}}");
            let template =
                CompiledTemplate::compile("t.hbs", text, Escape::Nginx).unwrap_or_else(|error| panic!("{error}"));
            TestRender::new().render(&template).queries
        };
        assert_eq!(used(computed), used(literal), "{computed}");
    }
    // A part that comes from a registry must not make the template fail.
    assert_eq!(query_of("{{#if (service (concat \"web@\" \"\"))}}{{/if}}"), Query::service("web@"));
}

#[test]
fn a_name_from_a_field_with_query_syntax_gives_a_warning() {
    let warnings = |text: &str| {
        let template =
            CompiledTemplate::compile("t.hbs", text, Escape::Nginx).unwrap_or_else(|error| panic!("{error}"));
        TestRender::new().render_until_settled(&template).0.warnings.into_iter().collect::<Vec<_>>().join(" ")
    };
    let text = warnings("{{#each [\"v1.nobody\"]}}{{#if (service this)}}{{/if}}{{/each}}");
    assert!(text.starts_with("service \"v1.nobody\" has no instance; a name from a field"), "{text}");
    let text = warnings("{{#each [\"a@dc2\"]}}{{keyOr this \"\"}}{{/each}}");
    assert!(text.contains("\"a@dc2\" comes from a field or a variable"), "{text}");
    assert_eq!(warnings("{{#each [\"web\", \"nobody\"]}}{{#if (service this)}}{{/if}}{{/each}}"), "");
    assert_eq!(warnings("{{#if (service \"v1.nobody\")}}{{/if}}"), "");
}

#[test]
fn a_name_from_a_field_is_not_parsed() {
    let odd = "{{#with \"v1.web@dc2|any\" as |name|}}{{#if (service name)}}{{/if}}{{/with}}";
    assert_eq!(query_of(odd), Query::service("v1.web@dc2|any"));
    let odd = "{{#with \"a@dc2\" as |path|}}{{key path}}{{/with}}";
    assert_eq!(query_of(odd), Query::key("a@dc2"));
}

#[test]
fn too_few_results_or_a_missing_file_keep_the_template_from_rendering() {
    let keys = |prefix: &str| Query::Keys { prefix: prefix.into(), scope: Scope::default() };
    let few = |found, wanted| MissingInput::TooFew { found, wanted };
    let any = Query::Service(ServiceQuery { name: "maint".into(), ..ServiceQuery::default() });
    let prepared = Query::Prepared { name: "web-or-elsewhere".into(), near: None, scope: Scope::default() };
    for (call, query, why) in [
        (r#"service "web" min=3"#, Query::service("web"), few(2, 3)),
        (r#"service "nobody" min="1""#, Query::service("nobody"), few(0, 1)),
        (r#"service "maint" status="passing,critical" min=1"#, any, few(0, 1)),
        (r#"upstream "web" min=3"#, Query::service("web"), few(2, 3)),
        (r#"prepared "web-or-elsewhere" min=9"#, prepared, few(2, 9)),
        (r#"ls "none" min=1"#, keys("none/"), few(0, 1)),
        (r#"tree "app" min=5"#, keys("app/"), few(4, 5)),
        (r#"file "none""#, Query::File { path: "none".into() }, MissingInput::File),
    ] {
        let RenderOutcome::Missing(missing) = outcome(&format!("{{{{#if ({call})}}}}{{{{/if}}}}"), Escape::Nginx)
        else {
            panic!("{call} is rendered");
        };
        assert_eq!(missing, BTreeMap::from([(query, why)]), "{call}");
    }
    assert_eq!(text(r#"{{len (service "web" min=2)}} {{len (tree "app" min=4)}}"#), "2 4");
}

#[test]
fn a_folder_does_not_include_its_neighbours() {
    for folder in ["app", "app/", "/app"] {
        let list = |helper: &str| {
            text(&format!("{{{{#each ({helper} \"{folder}\")}}}}{{{{key}}}}={{{{value}}}} {{{{/each}}}}"))
        };
        assert_eq!(list("ls"), "empty= max=15 ");
        assert_eq!(list("tree"), "db/host=h db/port=5432 empty= max=15 ");
    }
    let below = |call: &str| text(&format!("{{{{#each ({call})}}}}{{{{path}}}} {{{{/each}}}}"));
    assert_eq!(below(r#"tree "bad""#), "bad/a bad/a/b ");
    assert_eq!(below(r#"ls "bad""#), "bad/a ");
    assert_eq!(below(r#"ls """#), "");
}

#[test]
fn upstream_prints_a_server_line_for_each_usable_instance() {
    let lines = |call: &str| text(&format!("{{{{{call}}}}}"));
    assert_eq!(
        lines(r#"upstream "web" extra="max_fails=3  fail_timeout=5s""#),
        "    server 10.1.0.12:8081 weight=1 max_fails=3 fail_timeout=5s;\n    server 10.0.0.2:8080 weight=1 max_fails=3 fail_timeout=5s;"
    );
    assert_eq!(lines(r#"upstream "v1.web|warning""#), "    server 10.1.0.11:8080 weight=1;");
    assert_eq!(text(r#"{{#if (upstream "nobody")}}a{{else}}b{{/if}}"#), "b");
    assert_eq!(text(r#"{{#if (upstream "web")}}a{{else}}b{{/if}}"#), "a");
    let RenderOutcome::Failed(error) = outcome(r#"{{upstream "web"}}"#, Escape::None) else {
        panic!("there is no language")
    };
    assert!(error.reason.contains("escape = \"nginx\""), "{error}");
}

#[test]
fn a_server_line_cannot_be_extended_by_a_value() {
    let template = CompiledTemplate::compile("t.hbs", "{{upstream \"a\"}}", Escape::Nginx).expect("it is sound");
    let outcome = |records: Vec<ServiceRecord>| {
        let answers = [(Query::service("a"), Arc::new(Answer::Service(records)))].into();
        TestRender { answers, ..TestRender::new() }.render(&template).outcome
    };
    let member = |address: &str, port| member("a-1", address, port);
    let heavy = ServiceRecord { weight: 7, ..member("fd00::1", 1) };
    let wrong = ["1;", "1 backup", "a\nb", "$host", "999.1.1.1", "[::zz]", "web.example.com", ""];
    for evil in wrong.into_iter().map(|address| member(address, 1)).chain([member("10.0.0.1", 0)]) {
        let answers = [(Query::service("a"), Arc::new(Answer::Service(vec![evil, heavy.clone()])))].into();
        let report = TestRender { answers, ..TestRender::new() }.render(&template);
        assert_eq!(report.outcome, RenderOutcome::Text("    server [fd00::1]:1 weight=7;".to_owned()));
        let expected = "service \"a\", instance \"a-1\" on node \"n1\", is left out: ";
        assert!(
            report.warnings.len() == 1 && report.warnings.iter().all(|warning| warning.starts_with(expected)),
            "{report:?}"
        );
    }
    assert_eq!(
        outcome(vec![ServiceRecord { weight: 0, ..member("10.0.0.1", 65535) }]),
        RenderOutcome::Text("    server 10.0.0.1:65535 weight=1;".to_owned())
    );
    let named = CompiledTemplate::compile("t.hbs", "{{upstream (service \"a\") names=true}}", Escape::Nginx)
        .expect("it is sound");
    let records = vec![member("web.example.com", 1), member("999.1.1.1", 1)];
    let answers = [(Query::service("a"), Arc::new(Answer::Service(records)))].into();
    let report = TestRender { answers, ..TestRender::new() }.render(&named);
    assert_eq!(report.outcome, RenderOutcome::Text("    server web.example.com:1 weight=1;".to_owned()));
    // Without an answer, the output is empty and there is no error.
    let template =
        CompiledTemplate::compile("t.hbs", "{{upstream \"a\"}}{{key \"b\"}}", Escape::Nginx).expect("it is sound");
    let report = TestRender::new().render(&template);
    assert!(report.is_whole && report.queries.len() == 2, "{report:?}");
}

#[test]
fn an_upstream_is_recorded_with_the_instances_that_have_a_server_line() {
    let records = vec![
        member("a-1", "10.0.0.1", 80),
        member("a-2", "nope.invalid", 80),
        ServiceRecord { node: "n2".into(), weight: 9, ..member("a-1", "fd00::2", 81) },
        ServiceRecord { weight: 3, ..member("a 3", "10.0.0.3", 80) },
    ];
    let answers: Answers = [(Query::service("a"), Arc::new(Answer::Service(records)))].into();
    for call in ["upstream \"a\" extra=\"backup\"", "upstream (service \"a\") extra=\"backup\""] {
        // A second call with the same result is not a second upstream.
        let template = format!("{{{{#if ({call})}}}}{{{{{call}}}}}{{{{/if}}}}");
        let template = CompiledTemplate::compile("t.hbs", &template, Escape::Haproxy).expect("it is valid");
        let report = TestRender { answers: answers.clone(), ..TestRender::new() }.render(&template);
        let lines = "    server n1:a-1 10.0.0.1:80 weight 1 backup\n    server n2:a-1 [fd00::2]:81 weight 9 backup";
        assert_eq!(report.outcome, RenderOutcome::Text(lines.to_owned()));
        assert_eq!(report.warnings.len(), 2, "{report:?}");
        let server = |node: &str, address: &str, port, weight| Server {
            name: format!("{node}:a-1"),
            instance: Member {
                service: "a".into(),
                node: node.into(),
                id: "a-1".into(),
                address: address.into(),
                port,
            },
            weight,
        };
        let servers = vec![server("n1", "10.0.0.1", 80, 1), server("n2", "fd00::2", 81, 9)];
        let upstream = Upstream { services: ["a".to_owned()].into(), options: vec!["backup".to_owned()], servers };
        assert_eq!(report.upstreams, [upstream]);
    }
}

#[test]
fn an_instance_that_an_upstream_leaves_out_is_not_a_member_of_the_file() {
    let of_service =
        |name: &str, id: &str, address: &str| ServiceRecord { name: name.into(), ..member(id, address, 80) };
    let warning = ServiceRecord { status: Status::Warning, healthy: false, ..of_service("a", "a-3", "10.0.0.3") };
    let any = |name: &str| Query::Service(ServiceQuery { name: name.into(), ..ServiceQuery::default() });
    let answers: Answers = [
        (any("a"), vec![of_service("a", "a-1", "10.0.0.1"), of_service("a", "a-2", "nope.invalid"), warning]),
        (Query::service("b"), vec![of_service("b", "b-1", "10.0.0.4"), of_service("b", "b-2", "nope.invalid")]),
        (any("empty"), vec![of_service("empty", "e-1", "10.0.0.5")]),
    ]
    .map(|(query, records)| (query, Arc::new(Answer::Service(records))))
    .into();
    let template = "{{upstream \"a|passing,warning\"}}{{#if (upstream \"empty|critical\")}}{{/if}}{{#each (service \"b\")}}{{/each}}";
    let template = CompiledTemplate::compile("t.hbs", template, Escape::Nginx).expect("it is valid");
    let mut state = TemplateState::new(0, TemplateSpec { template, output: OutputSpec::File("/a".into()) });
    state.render(TestRender { answers, ..TestRender::new() }.inputs());
    let files = all_desired_files(&[state]).expect("it is rendered");
    let members: Vec<_> = files.values().flat_map(|file| file.members()).map(ToString::to_string).collect();
    assert_eq!(members, ["a 10.0.0.1:80", "a 10.0.0.3:80", "b 10.0.0.4:80", "b nope.invalid:80"]);
}
