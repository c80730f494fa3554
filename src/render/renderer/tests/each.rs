//! Templates with `each`.

use super::*;

const TAGGED: &str = "(where (services) \"tags\")";

#[test]
fn a_list_gives_a_file_for_each_item() {
    let text = "{{name}}: {{#each (service name)}}{{id}} {{/each}}";
    let sites = each_spec("(services)", "/s/{{name}}.{{keyOr \"suffix\" \"conf\"}}", text);
    let mut renderer = renderer_of(vec![vec![spec(0, "fixed"), sites]]);
    assert_eq!(renderer.render_until_settled(), 4, "the list, the names, the texts, and all of it");
    assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/consul.conf", "/s/maint.conf", "/s/web.conf"]);
    assert_eq!(renderer.text(0, "/s/web.conf").as_deref(), Some("web: web-1b web-2 "));
    let files = renderer.targets[0].desired.snapshot().entries;
    let web = &files[&PathBuf::from("/s/web.conf")];
    assert_eq!(
        (web.template, web.members().count(), files[&PathBuf::from("/s/maint.conf")].members().count()),
        (1, 2, 0)
    );

    // Only the affected file is rendered again; the files of removed items go.
    renderer.answers.put(Query::service("api"), Arc::new(Answer::Service(Vec::new())));
    renderer.answers.put(
        Query::services(),
        Arc::new(Answer::Services(
            [("api", ""), ("web", "blue,green,v1")]
                .map(|(name, tags)| {
                    (name.to_owned(), tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
                })
                .into(),
        )),
    );
    renderer.render_until_settled();
    assert_eq!(renderer.files(), ["/0", "/s/api.conf", "/s/web.conf"]);
    let after = renderer.targets[0].desired.snapshot().entries;
    assert!(Arc::ptr_eq(web, &after[&PathBuf::from("/s/web.conf")]));
    assert_eq!(renderer.text(0, "/s/api.conf").as_deref(), Some("api: "));
    assert!(!renderer.wanted_queries.borrow().contains(&Query::service("maint")), "it is no longer needed");
}

#[test]
fn a_record_gives_keys_and_values_and_an_empty_list_no_file() {
    let list = "(lookup (lookup (service \"web\") 0) \"meta\")";
    let mut renderer = renderer_of(vec![vec![each_spec(list, "/{{key}}", "{{key}}={{value}}")]]);
    renderer.render_until_settled();
    assert_eq!(renderer.text(0, "/weight").as_deref(), Some("weight=10"));
    let mut renderer = renderer_of(vec![vec![each_spec("(service \"nobody\")", "/{{id}}", "")]]);
    renderer.render_until_settled();
    let desired = renderer.targets[0].desired.snapshot();
    assert!(desired.complete && desired.entries.is_empty());
}

#[test]
fn an_item_without_output_blocks_its_target_and_is_named() {
    let text = "{{#if (eq name \"b\")}}{{key \"nope\"}}{{/if}}{{name}}";
    let mut renderer = renderer_of(vec![vec![each_spec(TAGGED, "/{{name}}", text)]]);
    renderer.set_services(&[("a", "x")]);
    renderer.render_until_settled();
    assert_eq!(renderer.files(), ["/a"]);
    renderer.set_services(&[("a", "x"), ("b", "x")]);
    renderer.render_until_settled();
    assert_eq!(renderer.files(), ["/a"], "all or nothing");
    assert_eq!(
        renderer.unrendered_text(),
        "target t0: many.hbs for /b: waits for key \"nope\" (there is no such key)\n"
    );
    renderer.set_key("nope", Some("a;b"));
    renderer.update();
    let held = renderer.held();
    assert!(held.starts_with("target t0: service \"b\" is left out: many.hbs:1:22: the value \"a;b\" of"), "{held}");
    assert!(held.contains("(for /b)") && renderer.unrendered_text().is_empty(), "{held}");
    renderer.set_services(&[("a", "x")]);
    renderer.update();
    assert!(renderer.unrendered_text().is_empty());
    assert!(!renderer.wanted_queries.borrow().contains(&Query::key("nope")));
}

#[test]
fn an_invalid_file_name_is_refused_with_its_item() {
    let cases = [
        ("/s/{{name}}", &["a/b"][..], "the value \"a/b\" of `name` (service \"a/b\") holds '/'"),
        ("/s/{{{name}}}", &["../b"], "the value \"../b\" of `name` (service \"../b\") holds '/'"),
        ("/s/{{name}}", &[".."], "begins with a dot"),
        ("/s/{{name}}", &[""], "the value \"\" of `name` (service \"\") is empty"),
        ("/s/x{{#if tags}}{{/if}}", &["a", "b"], "/s/x would be the file of two members, \"a\" and \"b\""),
        ("/{{name}}", &["0"], "/0 is left out: it is also the file of 0.hbs"),
        ("/s/{{nothing}}", &["a"], "destination:1:4: there is no value `nothing` here"),
    ];
    for (destination, names, expected) in cases {
        let mut renderer = renderer_of(vec![vec![spec(0, "fixed"), each_spec("(services)", destination, "x")]]);
        renderer.set_services(&names.iter().map(|name| (*name, "x")).collect::<Vec<_>>());
        renderer.render_until_settled();
        let warnings: String = renderer.targets[0].logged_warnings.iter().cloned().collect();
        let messages = format!("{}{}{warnings}", renderer.unrendered_text(), renderer.held());
        assert!(messages.contains(expected), "{destination}: {messages}");
        assert!(renderer.files().iter().all(|file| file == "/0" || names.len() == 2), "{:?}", renderer.files());
    }
    let mut renderer = renderer_of(vec![vec![each_spec("(len \"a\")", "/{{this}}", "x")]]);
    renderer.render_until_settled();
    assert!(renderer.unrendered_text().contains("this must give a list or a record"), "{}", renderer.unrendered_text());
}

#[test]
fn each_must_be_one_expression() {
    for (each, expected) in [
        ("(services)}} {{x", "this must be one expression"),
        ("#each x", "not closed"),
        ("(sevrices)", "there is no helper `sevrices`"),
        ("", "a name or a value must stand here"),
    ] {
        let error = CompiledTemplate::compile_expression("web.hbs, `each`", each).expect_err(each).to_string();
        assert!(error.starts_with("web.hbs, `each`:1:") && error.contains(expected), "{error}");
    }
}
