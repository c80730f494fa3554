//! Failures are logged and retried, and affect no other target.

use std::fs;

use crate::{
    bench::Bench,
    common::black_box::until,
    dev_agent::{DevAgent, Setup},
};

#[tokio::test]
async fn a_command_that_fails_is_tried_again_and_a_restart_does_not_forget_it() {
    let bench = Bench::new().await;
    let ready = bench.path("ready");
    let command = format!("sh -c 'test -e {} && echo x >> {}'", ready.display(), bench.path("count").display());
    let template = format!("{}:{command}", bench.template("a", "{{key \"app/max\"}}\n"));
    let daemon = bench.start(&["--template", &template]);
    daemon.until_logged("exit status: 1");
    drop(daemon);
    assert_eq!(bench.read("count"), None);
    fs::write(&ready, "").expect("it can be written");
    let daemon = bench.start(&["--template", &template]);
    until("the file", || bench.read("out/a").as_deref() == Some("15\n"));
    daemon.until_logged("in effect");
    assert_eq!(daemon.stop(), Some(0));
    // A second run, if Portreeve was killed after it had restored the former files: these must be in effect first. A
    // third run, by a command that outlived the kill and read `ready` only after it was created.
    let count = bench.read("count").expect("the command ran");
    assert!(["x\n", "x\nx\n", "x\nx\nx\n"].contains(&count.as_str()), "{count}");
    let daemon = bench.start(&["--template", &template]);
    daemon.until_logged("in sync");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(bench.read("count"), Some(count), "no reload is pending any more");
}

#[tokio::test]
async fn a_refused_candidate_changes_nothing_and_the_next_good_one_goes_through() {
    let bench = Bench::new().await;
    let template = bench.template("a", "{{key \"app/max\"}}\n");
    let (source, destination) = template.split_once(':').expect("two parts");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\ncheck = [\"grep\", \"-q\", \"^1\", \"{{{{candidate}}}}\"]\n\
         reload = [\"sh\", \"-c\", \"echo x >> {}\"]\n[[target.template]]\nsource = \"{source}\"\n\
         destination = \"{destination}\"\n",
        bench.path("count").display()
    );
    bench.write("portreeve.toml", &config);
    let daemon = bench.start(&["--config", &bench.path("portreeve.toml").display().to_string()]);
    until("the first", || bench.read("count").as_deref() == Some("x\n"));
    bench.agent.put("/v1/kv/app/max", "25").await;
    daemon.until_logged("refused");
    assert_eq!((bench.read("out/a").as_deref(), bench.read("count").as_deref()), (Some("15\n"), Some("x\n")));
    bench.agent.put("/v1/kv/app/max", "16").await;
    until("the next", || bench.read("out/a").as_deref() == Some("16\n"));
    until("its command", || bench.read("count").as_deref() == Some("x\nx\n"));
}

#[tokio::test]
async fn a_template_that_fails_at_first_recovers_with_its_data() {
    let bench = Bench::new().await;
    bench.agent.put("/v1/kv/number", "x").await;
    let bad = bench.template("bad", "{{add (parseInt (key \"number\")) 1}}");
    let good = bench.template("good", "{{key \"app/max\"}}");
    let daemon = bench.start(&["--template", &bad, "--template", &good]);
    until("the good one", || bench.read("out/good").as_deref() == Some("15"));
    daemon.until_logged("bad.hbs:1:");
    bench.agent.put("/v1/kv/app/max", "16").await;
    until("the good one again", || bench.read("out/good").as_deref() == Some("16"));
    assert_eq!(bench.read("out/bad"), None);
    bench.agent.put("/v1/kv/number", "41").await;
    until("the bad one", || bench.read("out/bad").as_deref() == Some("42"));
}

#[tokio::test]
async fn consul_may_stop_and_start_again() {
    let mut bench = Bench::new().await;
    let template = format!(
        "{}:sh -c 'echo x >> {}'",
        bench.template("a", "{{#each (service \"consul\" any=true)}}{{name}}\n{{/each}}"),
        bench.path("count").display()
    );
    let daemon = bench.start(&["--template", &template]);
    until("the file", || bench.read("out/a").as_deref() == Some("consul\n"));
    bench.agent.stop();
    daemon.until_logged("reading from Consul");
    bench.agent.start_again().await;
    daemon.until_logged("recovered after");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(bench.read("count").as_deref(), Some("x\n"), "the same data are no change");
}

#[tokio::test]
async fn without_consul_at_the_start_what_needs_none_is_written_and_the_rest_waits() {
    let mut bench = Bench::new().await;
    bench.write("out/held", "old");
    let (free, held) = (bench.template("free", "x"), bench.template("held", "{{len (services)}}"));
    bench.agent.stop();
    let daemon = bench.start(&["--template", &free, "--template", &held]);
    until("what needs none", || bench.read("out/free").as_deref() == Some("x"));
    daemon.until_logged("reading from Consul");
    assert_eq!(bench.read("out/held").as_deref(), Some("old"));
    bench.agent.start_again().await;
    until("the rest", || bench.read("out/held").as_deref() == Some("1"));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn an_agent_with_too_few_connections_is_named_and_all_is_seen_in_the_end() {
    let extra = "limits { http_max_conns_per_client = 20 }";
    let bench = Bench::beside(DevAgent::start_with(Setup { extra: extra.into(), ..Setup::default() }).await).await;
    let keys: Vec<_> = (0..40).map(|number| format!("many/{number}")).collect();
    for key in &keys {
        bench.agent.put(&format!("/v1/kv/{key}"), "1").await;
    }
    let first = bench.template("first", "{{key \"app/max\"}}");
    let text: String = keys.iter().map(|key| format!("{{{{key \"{key}\"}}}} ")).collect();
    let many = bench.template("many", &text);
    bench.write("portreeve.toml", "[consul]\nwait = \"5s\"\n");
    let config = bench.path("portreeve.toml").display().to_string();
    let daemon = bench.start(&["--config", &config, "--template", &first, "--template", &many]);
    until("all keys", || bench.read("out/many") == Some("1 ".repeat(40)));
    daemon.until_logged("limits.http_max_conns_per_client");
    for key in &keys {
        bench.agent.put(&format!("/v1/kv/{key}"), "2").await;
    }
    until("all changes", || bench.read("out/many") == Some("2 ".repeat(40)));
    assert_eq!(bench.read("out/first").as_deref(), Some("15"));
    assert_eq!(daemon.stop(), Some(0));
}
