//! Failures are logged and retried, and affect no other target.

use std::fs;

use crate::{
    common::black_box::until,
    dev_agent::{DevAgent, Setup},
    harness::Harness,
};

#[tokio::test]
async fn a_failed_command_is_retried_even_after_a_restart() {
    let harness = Harness::new().await;
    let ready = harness.path("ready");
    let command = format!("sh -c 'test -e {} && echo x >> {}'", ready.display(), harness.path("count").display());
    let template = format!("{}:{command}", harness.template("a", "{{key \"app/max\"}}\n"));
    let daemon = harness.start(&["--template", &template]);
    daemon.until_logged("exit status: 1");
    drop(daemon);
    assert_eq!(harness.read("count"), None);
    fs::write(&ready, "").expect("it can be written");
    let daemon = harness.start(&["--template", &template]);
    until("the file", || harness.read("out/a").as_deref() == Some("15\n"));
    daemon.until_logged("in effect");
    assert_eq!(daemon.stop(), Some(0));
    // A second run, if Portreeve was killed after it had restored the former files: these must be in effect first. A
    // third run, by a command that outlived the kill and read `ready` only after it was created.
    let count = harness.read("count").expect("the command ran");
    assert!(["x\n", "x\nx\n", "x\nx\nx\n"].contains(&count.as_str()), "{count}");
    let daemon = harness.start(&["--template", &template]);
    daemon.until_logged("in sync");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(harness.read("count"), Some(count), "no reload is pending any more");
}

#[tokio::test]
async fn a_rejected_candidate_changes_nothing_and_the_next_valid_one_is_applied() {
    let harness = Harness::new().await;
    let template = harness.template("a", "{{key \"app/max\"}}\n");
    let (source, destination) = template.split_once(':').expect("two parts");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\ncheck = [\"grep\", \"-q\", \"^1\", \"{{{{candidate}}}}\"]\n\
         reload = [\"sh\", \"-c\", \"echo x >> {}\"]\n[[target.template]]\nsource = \"{source}\"\n\
         destination = \"{destination}\"\n",
        harness.path("count").display()
    );
    harness.write("portreeve.toml", &config);
    let daemon = harness.start(&["--config", &harness.path("portreeve.toml").display().to_string()]);
    until("the first", || harness.read("count").as_deref() == Some("x\n"));
    harness.agent.put("/v1/kv/app/max", "25").await;
    daemon.until_logged("refused");
    assert_eq!((harness.read("out/a").as_deref(), harness.read("count").as_deref()), (Some("15\n"), Some("x\n")));
    harness.agent.put("/v1/kv/app/max", "16").await;
    until("the next", || harness.read("out/a").as_deref() == Some("16\n"));
    until("its command", || harness.read("count").as_deref() == Some("x\nx\n"));
}

#[tokio::test]
async fn a_template_that_fails_at_first_recovers_with_its_data() {
    let harness = Harness::new().await;
    harness.agent.put("/v1/kv/number", "x").await;
    let bad = harness.template("bad", "{{add (parseInt (key \"number\")) 1}}");
    let good = harness.template("good", "{{key \"app/max\"}}");
    let daemon = harness.start(&["--template", &bad, "--template", &good]);
    until("the good one", || harness.read("out/good").as_deref() == Some("15"));
    daemon.until_logged("bad.hbs:1:");
    harness.agent.put("/v1/kv/app/max", "16").await;
    until("the good one again", || harness.read("out/good").as_deref() == Some("16"));
    assert_eq!(harness.read("out/bad"), None);
    harness.agent.put("/v1/kv/number", "41").await;
    until("the bad one", || harness.read("out/bad").as_deref() == Some("42"));
}

#[tokio::test]
async fn consul_may_stop_and_start_again() {
    let mut harness = Harness::new().await;
    let template = format!(
        "{}:sh -c 'echo x >> {}'",
        harness.template("a", "{{#each (service \"consul\" any=true)}}{{name}}\n{{/each}}"),
        harness.path("count").display()
    );
    let daemon = harness.start(&["--template", &template]);
    until("the file", || harness.read("out/a").as_deref() == Some("consul\n"));
    harness.agent.stop();
    daemon.until_logged("reading from Consul");
    harness.agent.start_again().await;
    daemon.until_logged("recovered after");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(harness.read("count").as_deref(), Some("x\n"), "the same data are no change");
}

#[tokio::test]
async fn without_consul_at_the_start_only_files_without_queries_are_written() {
    let mut harness = Harness::new().await;
    harness.write("out/held", "old");
    let (free, held) = (harness.template("free", "x"), harness.template("held", "{{len (services)}}"));
    harness.agent.stop();
    let daemon = harness.start(&["--template", &free, "--template", &held]);
    until("what needs none", || harness.read("out/free").as_deref() == Some("x"));
    daemon.until_logged("reading from Consul");
    assert_eq!(harness.read("out/held").as_deref(), Some("old"));
    harness.agent.start_again().await;
    until("the rest", || harness.read("out/held").as_deref() == Some("1"));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn an_agent_with_too_few_connections_is_logged_and_all_data_arrive() {
    let extra = "limits { http_max_conns_per_client = 20 }";
    let harness = Harness::beside(DevAgent::start_with(Setup { extra: extra.into(), ..Setup::default() }).await).await;
    let keys: Vec<_> = (0..40).map(|number| format!("many/{number}")).collect();
    for key in &keys {
        harness.agent.put(&format!("/v1/kv/{key}"), "1").await;
    }
    let first = harness.template("first", "{{key \"app/max\"}}");
    let text: String = keys.iter().map(|key| format!("{{{{key \"{key}\"}}}} ")).collect();
    let many = harness.template("many", &text);
    harness.write("portreeve.toml", "[consul]\nwait = \"5s\"\n");
    let config = harness.path("portreeve.toml").display().to_string();
    let daemon = harness.start(&["--config", &config, "--template", &first, "--template", &many]);
    until("all keys", || harness.read("out/many") == Some("1 ".repeat(40)));
    daemon.until_logged("limits.http_max_conns_per_client");
    for key in &keys {
        harness.agent.put(&format!("/v1/kv/{key}"), "2").await;
    }
    until("all changes", || harness.read("out/many") == Some("2 ".repeat(40)));
    assert_eq!(harness.read("out/first").as_deref(), Some("15"));
    assert_eq!(daemon.stop(), Some(0));
}
