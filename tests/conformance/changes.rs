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

#[tokio::test]
async fn what_cancels_out_within_the_quiet_time_is_never_written() {
    let bench = Bench::new().await;
    bench.write("a.hbs", "{{key \"app/max\"}}\n");
    let config = format!(
        "[[target]]\nname = \"a\"\nkind = \"command\"\nquiet = \"500ms:30s\"\nleading = false\n\
         reload = [\"sh\", \"-c\", \"cat {0} >> {1}\"]\n[[target.template]]\nsource = \"{2}\"\ndestination = \"{0}\"\n",
        bench.path("out/a").display(),
        bench.path("seen").display(),
        bench.path("a.hbs").display(),
    );
    bench.write("portreeve.toml", &config);
    let daemon = bench.start(&["--config", &bench.path("portreeve.toml").display().to_string()]);
    until("the first file", || bench.read("seen").as_deref() == Some("15\n"));
    bench.agent.put("/v1/kv/app/max", "16").await;
    bench.agent.put("/v1/kv/app/max", "15").await;
    // The machine may have been busy between these two: then both were written, in that order.
    bench.agent.put("/v1/kv/app/max", "17").await;
    until("the next file", || bench.read("seen").is_some_and(|seen| seen.ends_with("17\n")));
    let seen = bench.read("seen").expect("it is there");
    assert!(["15\n17\n", "15\n16\n17\n", "15\n16\n15\n17\n"].contains(&seen.as_str()), "{seen}");
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn queries_come_and_go_with_the_answers_that_they_depend_on() {
    let bench = Bench::new().await;
    let nested =
        "{{#each (split (key \"names\") \",\")}}{{this}}:{{#each (service this any=true)}} {{id}}{{/each}}\n{{/each}}";
    bench.agent.put("/v1/kv/names", "api").await;
    let daemon = bench.start(&["--template", &bench.template("a", nested), "--log-level", "debug"]);
    until("one service", || bench.read("out/a").as_deref() == Some("api: api-1\n"));
    bench.agent.put("/v1/kv/names", "maint").await;
    until("another one", || bench.read("out/a").as_deref() == Some("maint: maint-1\n"));
    daemon.until_logged("service \"api\" any=true: the watch ends");
    assert_eq!(daemon.stop(), Some(0));
}
