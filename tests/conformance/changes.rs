//! Changes of data, with and without an effect on the files.

use crate::{common::black_box::until, fixture, harness::Harness};

#[tokio::test]
async fn the_output_of_a_check_changes_nothing_and_its_status_does() {
    let harness = Harness::new().await;
    let template = format!("{}:true", harness.template("a", "{{#each (service \"web\")}}{{id}} {{/each}}"));
    let daemon = harness.start(&["--template", &template]);
    until("the file", || harness.read("out/a").as_deref() == Some("web-1b web-2 "));
    daemon.until_logged("in effect");
    for output in 0..5 {
        fixture::check(&harness.agent, "n2", "web-2", "passing", &format!("output {output}")).await;
    }
    fixture::check(&harness.agent, "n2", "web-2", "critical", "").await;
    until("it is out", || harness.read("out/a").as_deref() == Some("web-1b "));
    fixture::check(&harness.agent, "n2", "web-2", "passing", "").await;
    until("it is back", || harness.read("out/a").as_deref() == Some("web-1b web-2 "));
    daemon.until_logged_times("wrote", 3);
    assert_eq!(daemon.log().matches("wrote").count(), 3, "{}", daemon.log());
}

#[tokio::test]
async fn files_with_one_command_are_all_there_before_it_runs_and_it_runs_once() {
    let harness = Harness::new().await;
    let (a, b) = (harness.template("a", "{{key \"app/max\"}}\n"), harness.template("b", "{{key \"app/max\"}}\n"));
    let seen = harness.path("seen");
    let command = format!("sh -c 'cat {0}/a {0}/b >> {1}'", harness.path("out").display(), seen.display());
    let daemon = harness.start(&["--template", &format!("{a}:{command}"), "--template", &format!("{b}:{command}")]);
    until("the first run", || harness.read("seen").as_deref() == Some("15\n15\n"));
    harness.agent.put("/v1/kv/app/max", "16").await;
    until("the second run", || harness.read("seen").as_deref() == Some("15\n15\n16\n16\n"));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn a_file_outlives_the_deletion_of_its_key() {
    let harness = Harness::new().await;
    let template = harness.template("a", "{{key \"app/max\"}}\n");
    let daemon = harness.start(&["--template", &template]);
    until("the file", || harness.read("out/a").as_deref() == Some("15\n"));
    harness.agent.call(reqwest::Method::DELETE, "/v1/kv/app/max", "").await;
    daemon.until_logged("waits for key \"app/max\": there is no such key");
    assert_eq!(harness.read("out/a").as_deref(), Some("15\n"));
    harness.agent.put("/v1/kv/app/max", "17").await;
    until("the file", || harness.read("out/a").as_deref() == Some("17\n"));
}

#[tokio::test]
async fn changes_that_cancel_out_within_the_quiet_period_are_never_written() {
    let harness = Harness::new().await;
    harness.write("a.hbs", "{{key \"app/max\"}}\n");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\nquiet = \"500ms:30s\"\nleading = false\n\
         reload = [\"sh\", \"-c\", \"cat {0} >> {1}\"]\n[[target.template]]\nsource = \"{2}\"\ndestination = \"{0}\"\n",
        harness.path("out/a").display(),
        harness.path("seen").display(),
        harness.path("a.hbs").display(),
    );
    harness.write("portreeve.toml", &config);
    let daemon = harness.start(&["--config", &harness.path("portreeve.toml").display().to_string()]);
    until("the first file", || harness.read("seen").as_deref() == Some("15\n"));
    harness.agent.put("/v1/kv/app/max", "16").await;
    harness.agent.put("/v1/kv/app/max", "15").await;
    // On a busy machine, more than the last value may have been written, in the order of the changes.
    harness.agent.put("/v1/kv/app/max", "17").await;
    until("the next file", || harness.read("seen").is_some_and(|seen| seen.ends_with("17\n")));
    let seen = harness.read("seen").expect("it exists");
    assert!(["15\n17\n", "15\n16\n17\n", "15\n16\n15\n17\n"].contains(&seen.as_str()), "{seen}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn queries_come_and_go_with_the_answers_that_they_depend_on() {
    let harness = Harness::new().await;
    let nested =
        "{{#each (split (key \"names\") \",\")}}{{this}}:{{#each (service this any=true)}} {{id}}{{/each}}\n{{/each}}";
    harness.agent.put("/v1/kv/names", "api").await;
    let daemon = harness.start(&["--template", &harness.template("a", nested), "--log-level", "debug"]);
    until("one service", || harness.read("out/a").as_deref() == Some("api: api-1\n"));
    harness.agent.put("/v1/kv/names", "maint").await;
    until("another one", || harness.read("out/a").as_deref() == Some("maint: maint-1\n"));
    daemon.until_logged("service \"api\" any=true: the watch ends");
    assert_eq!(daemon.stop(), Some(0));
}
