//! When a file is written, and when not yet.

use std::fs;

use crate::{bench::Bench, common::black_box::until};

#[tokio::test]
async fn a_key_that_is_missing_holds_its_template_until_it_is_there() {
    let bench = Bench::new().await;
    bench.write("out/held", "old");
    let (held, free) = (bench.template("held", "{{key \"nope\"}}"), bench.template("free", "{{key \"app/max\"}}"));
    let daemon = bench.start(&["--template", &held, "--template", &free]);
    // Nobody waits for somebody else's key.
    until("the other file", || bench.read("out/free").as_deref() == Some("15"));
    daemon.until_logged("waits for key \"nope\"");
    assert_eq!(bench.read("out/held").as_deref(), Some("old"));
    bench.agent.put("/v1/kv/nope", "1").await;
    until("the file", || bench.read("out/held").as_deref() == Some("1"));
    daemon.until_logged_times("wrote", 2);
    assert_eq!(daemon.log().matches("wrote").count(), 2, "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn nested_queries_are_all_answered_before_the_one_write() {
    let bench = Bench::new().await;
    let nested = "{{#each (services)}}{{name}}:{{#each (service name any=true)}} {{id}}{{/each}}\n{{/each}}";
    let template = bench.template("nested", nested);
    let daemon = bench.start(&["--template", &template, "--log-level", "debug"]);
    let expected = "api: api-1\nconsul: consul\nmaint: maint-1\nweb: web-1a web-1b web-2 web-3 web-4\n";
    daemon.until_logged("wrote");
    assert_eq!(bench.read("out/nested").as_deref(), Some(expected));
    assert_eq!(daemon.log().matches("wrote").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.log().matches(": the watch starts").count(), 5, "{}", daemon.log());
}

#[tokio::test]
async fn a_query_is_watched_once_however_many_ask_it_and_not_longer() {
    let bench = Bench::new().await;
    let asks = "{{#if (keyOr \"off/NAME\" \"\")}}-{{else}}{{key \"app/max\"}}{{/if}}";
    let [a, b] = ["a", "b"].map(|name| bench.template(name, &asks.replace("NAME", name)));
    let daemon = bench.start(&["--template", &a, "--template", &b, "--log-level", "debug"]);
    let both = |a, b| bench.read("out/a").as_deref() == Some(a) && bench.read("out/b").as_deref() == Some(b);
    until("both files", || both("15", "15"));
    assert_eq!(daemon.log().matches("key \"app/max\": the watch starts").count(), 1);
    let gone = "key \"app/max\": the watch ends";
    bench.agent.put("/v1/kv/off/a", "1").await;
    until("one file without it", || both("-", "15"));
    bench.agent.put("/v1/kv/app/max", "16").await;
    until("the watch goes on for the other", || both("-", "16"));
    assert!(!daemon.log().contains(gone));
    bench.agent.put("/v1/kv/off/b", "1").await;
    until("no file with it", || both("-", "-"));
    daemon.until_logged(gone);
}

#[tokio::test]
async fn a_restart_with_the_same_data_touches_nothing() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new().await;
    let count = bench.path("count");
    let template = format!(
        "{}:sh -c 'echo x >> {}'",
        bench.template("a", "{{#each (service \"web\")}}{{id}}\n{{/each}}"),
        count.display()
    );
    let identity = || {
        let metadata = fs::metadata(bench.path("out/a")).expect("it is there");
        (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    };
    assert_eq!(bench.once(&["--template", &template]).code, Some(0));
    let before = identity();
    assert_eq!(bench.once(&["--template", &template]).code, Some(0));
    let daemon = bench.start(&["--template", &template]);
    daemon.until_logged("in sync");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!((identity(), bench.read("count").as_deref()), (before, Some("x\n")));
}
