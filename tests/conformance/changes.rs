//! What a change of data does, and what does nothing.

use crate::{bench::Bench, common::black_box::until, fixture};

#[tokio::test]
async fn what_a_check_says_changes_nothing_and_its_status_does() {
    let bench = Bench::new().await;
    let template = format!("{}:true", bench.template("a", "{{#each (service \"web\")}}{{id}} {{/each}}"));
    let daemon = bench.start(&["--template", &template]);
    until("the file", || bench.read("out/a").as_deref() == Some("web-1b web-2 "));
    daemon.until_logged("in effect");
    for output in 0..5 {
        fixture::check(&bench.agent, "n2", "web-2", "passing", &format!("output {output}")).await;
    }
    fixture::check(&bench.agent, "n2", "web-2", "critical", "").await;
    until("it is out", || bench.read("out/a").as_deref() == Some("web-1b "));
    fixture::check(&bench.agent, "n2", "web-2", "passing", "").await;
    until("it is back", || bench.read("out/a").as_deref() == Some("web-1b web-2 "));
    daemon.until_logged_times("wrote", 3);
    assert_eq!(daemon.log().matches("wrote").count(), 3, "{}", daemon.log());
}

#[tokio::test]
async fn files_with_one_command_are_all_there_before_it_runs_and_it_runs_once() {
    let bench = Bench::new().await;
    let (a, b) = (bench.template("a", "{{key \"app/max\"}}\n"), bench.template("b", "{{key \"app/max\"}}\n"));
    let seen = bench.path("seen");
    let command = format!("sh -c 'cat {0}/a {0}/b >> {1}'", bench.path("out").display(), seen.display());
    let daemon = bench.start(&["--template", &format!("{a}:{command}"), "--template", &format!("{b}:{command}")]);
    until("the first run", || bench.read("seen").as_deref() == Some("15\n15\n"));
    bench.agent.put("/v1/kv/app/max", "16").await;
    until("the second run", || bench.read("seen").as_deref() == Some("15\n15\n16\n16\n"));
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn a_key_that_is_deleted_leaves_its_file_until_it_is_back() {
    let bench = Bench::new().await;
    let template = bench.template("a", "{{key \"app/max\"}}\n");
    let daemon = bench.start(&["--template", &template]);
    until("the file", || bench.read("out/a").as_deref() == Some("15\n"));
    bench.agent.call(reqwest::Method::DELETE, "/v1/kv/app/max", "").await;
    daemon.until_logged("waits for key \"app/max\": there is no such key");
    assert_eq!(bench.read("out/a").as_deref(), Some("15\n"));
    bench.agent.put("/v1/kv/app/max", "17").await;
    until("the file", || bench.read("out/a").as_deref() == Some("17\n"));
}
