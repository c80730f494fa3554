//! A bad entry that fails only at the reload, one that is the only one of its kind, and the output of `--dry-run`.

use std::{net::TcpListener, process::Command};

use portreeve_lab::portreeve;
use serde_json::json;

use crate::{
    common::black_box::until,
    harness::{Harness, naive},
    targets::nginx::{self, Nginx},
};

/// Each instance may name an address to listen on; `nginx -t` does not detect that it is in use.
fn listening(nginx: &Nginx) -> String {
    let extra = "{{#each (services)}}{{#each (where (service name) \"meta.listen\")}}server { listen {{meta.listen}}; }\n\
                 {{/each}}{{/each}}";
    format!("{}{extra}", naive(nginx))
}

#[tokio::test]
async fn entry_that_fails_only_at_reload_is_held_and_others_are_applied() {
    let harness = Harness::new(listening).await;
    let daemon = harness.daemon();
    let address = nginx::address();
    let holder = TcpListener::bind(&address).expect("no other process uses it");
    let evil = json!({ "Meta": { "listen": &address } });
    harness.register("n1", "evil", "evil", "10.0.0.3", evil).await;
    daemon.until_logged("service \"evil\", instance \"evil\" on node \"n1\", is left out: the master");
    harness.assert_updates(&daemon, 20_000).await;
    harness.register("n1", "web-1", "web", "10.0.0.1", json!({})).await;
    harness.until_listed(&daemon, "10.0.0.1:80", true);
    assert!(!harness.file().contains(&address), "{}\n{}", harness.file(), daemon.log());
    // The entry is valid now.
    harness.register("n1", "evil", "evil", "10.0.0.3", json!({})).await;
    harness.until_listed(&daemon, "10.0.0.3:80", true);
    drop(holder);
    assert_eq!(daemon.stop(), Some(0));
}

#[tokio::test]
async fn template_whose_reload_fails_holds_no_entry() {
    let harness = Harness::new(naive).await;
    let daemon = harness.daemon();
    let before = harness.file();
    let address = nginx::address();
    let holder = TcpListener::bind(&address).expect("no other process uses it");
    let template = crate::targets::text(harness.nginx.path("up.hbs"));
    harness.nginx.write("up.hbs", &format!("server {{ listen {address}; }}\n{template}"));
    daemon.until_logged("the new files were rolled back");
    assert_eq!(harness.file(), before);
    drop(holder);
    harness.nginx.write("up.hbs", &template);
    harness.assert_updates(&daemon, 20_000).await;
    assert!(!daemon.log().contains("last good values") && !daemon.log().contains("left out"), "{}", daemon.log());
}

#[tokio::test]
async fn the_only_entry_of_its_kind_blocks_no_other() {
    let harness = Harness::new(naive).await;
    let daemon = harness.daemon();
    harness.put("kv/hosts/a", &json!("x; y")).await;
    daemon.until_logged("key \"hosts/a\" is left out");
    harness.assert_updates(&daemon, 20_000).await;
    harness.put("kv/hosts/a", &json!("~^(")).await;
    daemon.until_logged("pcre");
    harness.assert_updates(&daemon, 20_001).await;
    harness.put("kv/hosts/a", &json!("fine.example.com")).await;
    until("the host", || harness.file().contains("fine.example.com"));
    harness.assert_nginx_is_valid();
}

#[tokio::test]
async fn dry_run_shows_what_a_run_would_write() {
    let harness = Harness::new(naive).await;
    for number in 0..4 {
        let name = format!("s{number}");
        harness.register("n1", &name, &name, &format!("10.0.1.{number}"), json!({})).await;
    }
    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    let output = harness.run(&["--dry-run"]);
    let (shown, logged) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{shown}{logged}");
    assert!(shown.contains("+    server 10.0.1.3:80 ") && !shown.contains("+    server nope.invalid"), "{shown}");
    assert!(shown.contains("# target balancer: this would be taken"), "{shown}");
    let left_out = "service \"web\", instance \"web-1\" on node \"n1\", is left out: nginx: [emerg] host not found";
    assert!(shown.contains(left_out) && logged.contains(left_out), "{shown}{logged}");
    let output = harness.run(&["--once"]);
    assert_eq!(output.status.code(), Some(1));
    let applied: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix('+')).collect();
    assert!(harness.file().lines().all(|line| applied.contains(&line)), "{shown}\n{}", harness.file());
}

#[tokio::test]
async fn a_rollback_leaves_out_one_bad_entry_and_does_not_fail_for_it() {
    let harness = Harness::new(naive).await;
    let daemon = harness.daemon();
    daemon.until_logged("in effect");
    let template = crate::targets::text(harness.nginx.path("up.hbs"));
    let (_, server) = template.rsplit_once("server {").expect("the last server");
    harness.nginx.write("up.hbs", &format!("# new\nserver {{{server}"));
    daemon.until_logged_times("in effect", 2);
    harness.register("n1", "web-1", "web", "nope.invalid", json!({})).await;
    let mut rollback = Command::new(portreeve::program());
    rollback.args(["render", "rollback", "--config"]).arg(harness.nginx.path("portreeve.toml"));
    let output = rollback.env("CONSUL_HTTP_ADDR", harness.agent.address()).output().expect("it starts");
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), daemon.log());
    harness.until_listed(&daemon, "10.9.0.1:1", true);
    daemon.until_logged("service \"web\", instance \"web-1\" on node \"n1\", is left out");
    assert!(!harness.file().contains("nope.invalid"), "{}", harness.file());
    harness.assert_nginx_is_valid();
}
