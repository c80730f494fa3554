//! One bad entry, with the shipped template and with a custom one.

use serde_json::json;

use crate::harness::{Harness, naive, shipped};

#[tokio::test]
async fn shipped_template_leaves_out_and_names_what_nginx_would_reject() {
    let harness = Harness::new(shipped).await;
    let daemon = harness.daemon();
    let host = |host: &str| json!({ "Meta": { "host": host } });
    harness.register("n1", "a", "numbers", "999.1.1.1", json!({})).await;
    harness.register("n1", "b", "named", "nope.invalid", json!({})).await;
    harness.register("n1", "c", "brackets", "[::zz]", json!({})).await;
    harness.register("n1", "d", "portless", "10.0.0.4", json!({ "Port": 0 })).await;
    harness
        .register("n1", "e", "heavy", "10.0.0.5", json!({ "Weights": { "Passing": 4_000_000_000_u64, "Warning": 1 } }))
        .await;
    harness.register("n1", "f", "STEADY", "10.0.0.6", json!({})).await;
    harness.register("n1", "g", "first", "10.0.0.7", host("shop.example.com")).await;
    harness.register("n1", "h", "second", "10.0.0.8", host("Shop.Example.com")).await;
    let long = format!("{}.example.com", "x".repeat(60));
    harness.register("n1", "i", "long", "10.0.0.9", host(&long)).await;
    for (message, named) in [
        ("service \"numbers\", instance \"a\" on node \"n1\", is left out: \"999.1.1.1\" is not an IP address", "999"),
        (
            "service \"named\", instance \"b\" on node \"n1\", is left out: \"nope.invalid\" is not an IP address; names=true",
            "nope",
        ),
        ("service \"brackets\", instance \"c\" on node \"n1\", is left out: \"[::zz]\"", "zz"),
        ("service \"portless\", instance \"d\" on node \"n1\", is left out: it has no port", "10.0.0.4"),
        ("the host \"Shop.Example.com\" of \"second\" is left out: \"first\" already uses it", "Shop.Example"),
    ] {
        daemon.until_logged(message);
        assert!(!harness.file().contains(named), "{}", harness.file());
    }
    daemon.until_logged("is left out: \"STEADY\" already uses it");
    harness.until_listed(&daemon, "10.0.0.5:80", true);
    harness.register("n1", "f", "fine", "10.0.0.6", json!({})).await;
    harness.assert_updates(&daemon, 20_000).await;
    assert!(harness.file().contains(&format!("~^{}\\.example\\.com$;", "x".repeat(60))), "{}", harness.file());
    harness.assert_nginx_is_valid();
    let log = daemon.log();
    assert_eq!(log.matches("999.1.1.1").count(), 1, "once: {log}");
    for left_out in ["+numbers ", "+named ", "+brackets ", "+portless "] {
        assert!(!log.contains(left_out), "{left_out:?} in {log}");
    }
    assert!(log.contains("+heavy 10.0.0.5:80"), "{log}");
    assert!(!log.contains("refused"), "{log}");
}

#[tokio::test]
async fn candidate_that_nginx_rejects_is_narrowed_down_to_the_instance() {
    let harness = Harness::new(naive).await;
    harness.register("n1", "web-1", "web", "10.0.0.1", json!({})).await;
    harness.put("kv/name", &json!("one")).await;
    let daemon = harness.daemon();
    harness.until_listed(&daemon, "10.0.0.1:80", true);

    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    let message = "target balancer: service \"web\", instance \"web-1\" on node \"n1\", keeps its last good values";
    daemon.until_logged(message);
    harness.assert_updates(&daemon, 20_000).await;
    harness.until_listed(&daemon, "10.0.0.1:80", true);
    harness.register("n1", "web-2", "web", "10.0.0.2", json!({ "Meta": { "host": "a b" } })).await;
    daemon.until_logged("service \"web\", instance \"web-2\" on node \"n1\", is left out");
    harness.register("n1", "web-3", "web", "10.0.0.3", json!({})).await;
    harness.until_listed(&daemon, "10.0.0.3:80", true);
    harness.put("kv/name", &json!("x; y")).await;
    daemon.until_logged("target balancer: key \"name\" keeps its last good values");
    harness.assert_updates(&daemon, 20_001).await;
    assert!(harness.file().contains("server_name one;"), "{}", harness.file());
    harness.assert_nginx_is_valid();

    // Corrected entries take effect.
    harness.register("n1", "web-1", "web", "10.0.0.4", json!({})).await;
    harness.register("n1", "web-2", "web", "10.0.0.2", json!({})).await;
    harness.put("kv/name", &json!("two")).await;
    for place in ["10.0.0.4:80", "10.0.0.2:80"] {
        harness.until_listed(&daemon, place, true);
    }
    harness.until_listed(&daemon, "10.0.0.1:80", false);
    crate::common::black_box::until("the name", || harness.file().contains("server_name two;"));
    assert_eq!(daemon.log().matches(message).count(), 1, "{}", daemon.log());
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn start_with_bad_entries_leaves_them_out_and_once_reports_them() {
    let harness = Harness::new(naive).await;
    for number in 0..40 {
        let name = format!("s{number}");
        harness.register("n1", &name, &name, &format!("10.0.1.{number}"), json!({})).await;
    }
    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    harness.register("n1", "web-2", "web", "10.0.0.2", json!({})).await;
    // nginx's error about the hash table names no line.
    let long = format!("{}.example.com", "x".repeat(60));
    harness.register("n1", "long", "s7", "10.0.0.7", json!({ "Meta": { "host": long } })).await;
    let output = harness.run(&["--once"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for instance in ["service \"web\", instance \"web-1\"", "service \"s7\", instance \"long\""] {
        assert!(stderr.contains(&format!("{instance} on node \"n1\", is left out")), "{stderr}");
    }
    assert!(harness.file().contains("server 10.0.0.2:80 ") && harness.file().contains("server 10.9.0.1:1 "));
    assert_eq!(harness.file().matches("server 10.0.1.").count(), 40);
    harness.assert_nginx_is_valid();
}

#[tokio::test]
async fn error_of_the_template_holds_no_entry() {
    let harness = Harness::new(naive).await;
    let daemon = harness.daemon();
    let before = harness.file();
    let template = crate::targets::text(harness.nginx.path("up.hbs"));
    harness.nginx.write("up.hbs", &format!("no_such_directive;\n{template}"));
    daemon.until_logged("no_such_directive");
    harness.register("n1", "web-1", "web", "10.0.0.1", json!({})).await;
    daemon.until_logged_times("unknown directive", 1);
    assert!(!daemon.log().contains("is held") && !daemon.log().contains("left out"), "{}", daemon.log());
    assert_eq!(harness.file(), before);
    harness.nginx.write("up.hbs", &template);
    harness.until_listed(&daemon, "10.0.0.1:80", true);
}

/// An entry names a file that does not exist at first.
#[tokio::test]
async fn held_entry_is_tried_when_its_missing_file_appears() {
    let certificate = |nginx: &crate::targets::nginx::Nginx| nginx.path("etc/late.types").display().to_string();
    let harness = Harness::new(|nginx| {
        format!("{}\n{{{{#each (ls \"types\")}}}}\ninclude {{{{value}}}};\n{{{{/each}}}}\n", naive(nginx))
    })
    .await;
    let daemon = harness.daemon();
    harness.put("kv/types/late", &json!(certificate(&harness.nginx))).await;
    daemon.until_logged("key \"types/late\" is left out");
    harness.assert_updates(&daemon, 20_001).await;
    harness.nginx.write("etc/late.types", "# there\n");
    crate::common::black_box::until("the file", || harness.file().contains("late.types"));
    daemon.until_logged("key \"types/late\" is tried again: ");
    daemon.until_logged("late.types exists now");
    harness.assert_nginx_is_valid();
    assert_eq!(daemon.stop(), Some(0));
}

/// The cause may be a missing directory or the running nginx: both are polled.
#[tokio::test]
async fn held_entry_is_tried_when_a_directory_appears_or_nginx_restarts() {
    let log = |nginx: &crate::targets::nginx::Nginx| nginx.path("logs/deep/a.log").display().to_string();
    let mut harness = Harness::new(|nginx| {
        let server = format!("server {{\n    listen {};\n    server_name logs;", nginx.address);
        let logs = format!("{server}\n{{{{#each (ls \"logs\")}}}}\n    access_log {{{{value}}}};\n{{{{/each}}}}\n}}\n");
        format!("{}\n{logs}", naive(nginx))
    })
    .await;
    let path = harness.nginx.path("logs");
    let daemon = harness.daemon();
    harness.put("kv/logs/late", &json!(log(&harness.nginx))).await;
    daemon.until_logged("key \"logs/late\" is left out");
    harness.assert_updates(&daemon, 20_002).await;
    assert!(!path.exists());
    std::fs::create_dir_all(path.join("deep")).expect("the test owns it");
    crate::common::black_box::until("the file", || harness.file().contains("a.log"));
    harness.assert_nginx_is_valid();

    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    daemon.until_logged("instance \"web-1\" on node \"n1\", is left out");
    harness.nginx.stop();
    harness.nginx.start();
    daemon.until_logged("instance \"web-1\" on node \"n1\", is tried again: the program was restarted");
    harness.assert_updates(&daemon, 20_003).await;
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn each_line_of_a_target_has_its_fields() {
    let mut harness = Harness::new(naive).await;
    let mut command = harness.render(&["--log-format", "json"]);
    command.env("PORTREEVE_LOG_LEVEL", "debug");
    let daemon = crate::common::black_box::Daemon::spawn(command);
    harness.until_listed(&daemon, "10.9.0.1:1", true);
    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    daemon.until_logged("is left out");
    harness.nginx.stop();
    harness.register("n1", "web-2", "web", "10.0.0.2", json!({})).await;
    daemon.until_logged("the program is not running");
    let log = daemon.log();
    assert_eq!(daemon.stop(), Some(0));
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        let message = line["message"].as_str().expect("a text");
        assert_eq!(message.starts_with("target balancer"), line["target_name"] == "balancer", "{line}");
        assert!(line["target"].as_str().is_some_and(|module| module.starts_with("portreeve")), "{line}");
    }
    let find =
        |message: &str| lines.iter().find(|line| line["message"].as_str().is_some_and(|text| text.contains(message)));
    let left_out = find("is left out").expect("it was logged");
    assert_eq!((&left_out["service"], &left_out["instance"]), (&json!("web"), &json!("web-1")));
    assert!(left_out["reason"].as_str().is_some_and(|reason| reason.contains("nope.invalid")), "{left_out}");
    let owed = find("the program is not running").expect("it was logged");
    assert_eq!(owed["file"], json!(harness.nginx.web()));
    assert!(owed["instance"].as_str().is_some_and(|change| change.contains("10.0.0.2")), "{owed}");
}
