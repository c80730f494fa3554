//! A Consul agent, an nginx, and the binary between them with one template.

use std::{
    fs,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use portreeve_lab::portreeve;
use serde_json::{Value, json};

use crate::{
    common::black_box::{Daemon, PATIENCE},
    dev_agent::DevAgent,
    targets::{nginx::Nginx, text},
};

/// The shipped template.
pub(crate) fn shipped(nginx: &Nginx) -> String {
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/nginx/upstreams.conf.hbs");
    text(template).replace("listen 80", &format!("listen {}", nginx.address))
}

/// A template without any precautions against bad entries.
pub(crate) fn naive(nginx: &Nginx) -> String {
    let server = format!("server {{\n    listen {};\n    server_name", nginx.address);
    let upstreams = "{{#each (services)}}\n{{#if (service name)}}\nupstream {{name}} {\n{{#each (service name)}}\n    \
                     server {{address}}:{{port}} weight={{weight}} max_fails=3 fail_timeout=5s;\n{{/each}}\n}\n\
                     {{#each (where (service name) \"meta.host\")}}\n";
    format!(
        "{upstreams}{server} {{{{meta.host}}}};\n}}\n{{{{/each}}}}\n{{{{/if}}}}\n{{{{/each}}}}\n{{{{#each (ls \"hosts\")}}}}\n\
         {server} {{{{value}}}};\n}}\n{{{{/each}}}}\n{server} {{{{keyOr \"name\" \"none\"}}}};\n}}\n"
    )
}

pub(crate) struct Harness {
    pub(crate) agent: DevAgent,
    pub(crate) nginx: Nginx,
}

impl Harness {
    /// Registers the service `steady` with one instance.
    pub(crate) async fn new(template: impl Fn(&Nginx) -> String) -> Self {
        let nginx = Nginx::serving("old");
        let agent = DevAgent::start().await;
        nginx.write("up.hbs", &template(&nginx));
        let config = format!(
            "[render]\nstate_dir = {:?}\n[[target]]\nname = \"balancer\"\nkind = \"nginx\"\nconf = {:?}\nprefix = {:?}\n\
             interval = \"10ms\"\n[[target.template]]\nsource = {:?}\ndestination = {:?}\n",
            nginx.state(),
            nginx.path("etc/nginx.conf"),
            nginx.path("prefix"),
            nginx.path("up.hbs"),
            nginx.web()
        );
        nginx.write("portreeve.toml", &config);
        let harness = Self { agent, nginx };
        harness.steady("steady-1", Some(1)).await;
        harness
    }

    pub(crate) fn render(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(portreeve::program());
        command.env_clear().env("PATH", "/bin:/usr/bin:/usr/sbin").env("CONSUL_HTTP_ADDR", self.agent.address());
        command.args(["render", "--config"]).arg(self.nginx.path("portreeve.toml")).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn daemon(&self) -> Daemon {
        let daemon = Daemon::spawn(self.render(&[]));
        self.until_listed(&daemon, "10.9.0.1:1", true);
        daemon
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.render(arguments).output().expect("it starts")
    }

    pub(crate) fn file(&self) -> String {
        fs::read_to_string(self.nginx.web()).unwrap_or_default()
    }

    /// Waits until the file contains, or does not contain, an instance.
    #[track_caller]
    pub(crate) fn until_listed(&self, daemon: &Daemon, place: &str, listed: bool) {
        let line = format!("server {place} ");
        let begun = Instant::now();
        while self.file().contains(&line) != listed {
            let shall = if listed { "listed" } else { "gone" };
            assert!(begun.elapsed() < PATIENCE, "{place} shall be {shall}:\n{}\n{}", self.file(), daemon.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Adds or removes the instance of `steady` at 10.9.0.N.
    pub(crate) async fn steady(&self, id: &str, port: Option<u16>) {
        let address = format!("10.9.0.{}", &id[7..]);
        match port {
            Some(port) => drop(self.register("n1", id, "steady", &address, json!({ "Port": port })).await),
            None => drop(self.put("catalog/deregister", &json!({ "Node": "n1", "ServiceID": id })).await),
        }
    }

    /// Registers an instance; returns whether Consul accepts it.
    pub(crate) async fn register(&self, node: &str, id: &str, name: &str, address: &str, more: Value) -> bool {
        let mut service = json!({ "ID": id, "Service": name, "Address": address, "Port": 80 });
        for (key, value) in more.as_object().into_iter().flatten() {
            service[key] = value.clone();
        }
        self.put("catalog/register", &json!({ "Node": node, "Address": "10.8.0.1", "Service": service })).await
    }

    /// PUTs to Consul; returns whether it is accepted.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> bool {
        let body = match body {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let url = format!("{}/v1/{path}", self.agent.address());
        let answer = reqwest::Client::new().put(url).body(body).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Asserts that a removal and an addition elsewhere take effect, whatever else is registered.
    pub(crate) async fn assert_updates(&self, daemon: &Daemon, port: u16) {
        let place = format!("10.9.0.2:{port}");
        self.steady("steady-2", Some(port)).await;
        self.until_listed(daemon, &place, true);
        self.steady("steady-2", None).await;
        self.until_listed(daemon, &place, false);
        assert!(self.file().contains("server 10.9.0.1:1 "), "{}", self.file());
    }

    /// Asserts that nginx accepts the files, and has never been reloaded with invalid ones.
    pub(crate) fn assert_nginx_is_valid(&self) {
        let mut check = Command::new("nginx");
        check.args(["-t", "-q", "-p"]).arg(self.nginx.path("prefix")).arg("-c").arg(self.nginx.path("etc/nginx.conf"));
        let checked = check.output().expect("nginx is installed");
        assert!(checked.status.success(), "{}\n{}", String::from_utf8_lossy(&checked.stderr), self.file());
        let log = text(self.nginx.path("prefix/error.log"));
        assert!(!log.contains("[emerg]"), "{log}");
    }
}
