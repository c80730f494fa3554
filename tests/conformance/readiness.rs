//! When a file is written, and what it waits for.

use std::fs;

use crate::{common::black_box::until, harness::Harness};

#[tokio::test]
async fn a_missing_key_delays_its_template_until_the_key_exists() {
    let harness = Harness::new().await;
    harness.write("out/held", "old");
    let (held, free) = (harness.template("held", "{{key \"nope\"}}"), harness.template("free", "{{key \"app/max\"}}"));
    let daemon = harness.start(&["--template", &held, "--template", &free]);
    // No template waits for a key of another one.
    until("the other file", || harness.read("out/free").as_deref() == Some("15"));
    daemon.until_logged("waits for key \"nope\"");
    assert_eq!(harness.read("out/held").as_deref(), Some("old"));
    harness.agent.put("/v1/kv/nope", "1").await;
    until("the file", || harness.read("out/held").as_deref() == Some("1"));
    daemon.until_logged_times("wrote", 2);
    assert_eq!(daemon.log().matches("wrote").count(), 2, "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn nested_queries_are_all_answered_before_the_only_write() {
    let harness = Harness::new().await;
    let nested = "{{#each (services)}}{{name}}:{{#each (service name any=true)}} {{id}}{{/each}}\n{{/each}}";
    let template = harness.template("nested", nested);
    let daemon = harness.start(&["--template", &template, "--log-level", "debug"]);
    let expected = "api: api-1\nconsul: consul\nmaint: maint-1\nweb: web-1a web-1b web-2 web-3 web-4\n";
    daemon.until_logged("wrote");
    assert_eq!(harness.read("out/nested").as_deref(), Some(expected));
    assert_eq!(daemon.log().matches("wrote").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.log().matches(": the watch starts").count(), 5, "{}", daemon.log());
}

#[tokio::test]
async fn templates_share_a_watch_that_ends_with_the_last_query() {
    let harness = Harness::new().await;
    let asks = "{{#if (keyOr \"off/NAME\" \"\")}}-{{else}}{{key \"app/max\"}}{{/if}}";
    let [a, b] = ["a", "b"].map(|name| harness.template(name, &asks.replace("NAME", name)));
    let daemon = harness.start(&["--template", &a, "--template", &b, "--log-level", "debug"]);
    let both = |a, b| harness.read("out/a").as_deref() == Some(a) && harness.read("out/b").as_deref() == Some(b);
    until("both files", || both("15", "15"));
    assert_eq!(daemon.log().matches("key \"app/max\": the watch starts").count(), 1);
    let gone = "key \"app/max\": the watch ends";
    harness.agent.put("/v1/kv/off/a", "1").await;
    until("one file without it", || both("-", "15"));
    harness.agent.put("/v1/kv/app/max", "16").await;
    until("the watch goes on for the other", || both("-", "16"));
    assert!(!daemon.log().contains(gone));
    harness.agent.put("/v1/kv/off/b", "1").await;
    until("no file with it", || both("-", "-"));
    daemon.until_logged(gone);
}

#[tokio::test]
async fn a_restart_with_the_same_data_changes_nothing() {
    use std::os::unix::fs::MetadataExt;
    let harness = Harness::new().await;
    let count = harness.path("count");
    let template = format!(
        "{}:sh -c 'echo x >> {}'",
        harness.template("a", "{{#each (service \"web\")}}{{id}}\n{{/each}}"),
        count.display()
    );
    let identity = || {
        let metadata = fs::metadata(harness.path("out/a")).expect("it exists");
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    assert_eq!(harness.once(&["--template", &template]).code, Some(0));
    let before = identity();
    assert_eq!(harness.once(&["--template", &template]).code, Some(0));
    let daemon = harness.start(&["--template", &template]);
    daemon.until_logged("in sync");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((identity(), harness.read("count").as_deref()), (before, Some("x\n")));
}
