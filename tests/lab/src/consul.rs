//! A Consul cluster: one server on each host.

use std::sync::Arc;

use serde_json::Value;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::host::Host;
use crate::wait::{LONG, wait_until};

/// The three servers.
pub struct Consul {
    servers: Vec<(Arc<Host>, Arc<Daemon>)>,
    client: Client,
}

impl Consul {
    /// Starts all servers and waits until they have a leader and know each other.
    pub(crate) fn up(hosts: &[Arc<Host>], client: &Client) -> Self {
        let join: Vec<_> = hosts.iter().map(|host| format!("-retry-join={}", host.address())).collect();
        let servers = hosts.iter().map(|host| {
            let (node, bind) = (format!("-node={}", host.name()), format!("-bind={}", host.address()));
            let expect = format!("-bootstrap-expect={}", hosts.len());
            let mut words = vec!["consul", "agent", "-server", "-ui", &expect, &node, &bind, "-client=0.0.0.0"];
            words.extend(["-data-dir=/var/lib/consul", "-retry-interval=1s"]);
            // The timeouts that Consul's production guide recommends for servers in one network.
            words.extend(["-hcl=performance { raft_multiplier = 1 }", "-hcl=disable_update_check = true"]);
            words.extend(join.iter().map(String::as_str));
            (Arc::clone(host), host.spawn("consul", &words))
        });
        let consul = Self { servers: servers.collect(), client: client.clone() };
        consul.wait();
        consul
    }

    /// The server on a host. After a restart, call `wait`.
    pub fn server(&self, host: u8) -> &Daemon {
        &self.servers[usize::from(host) - 1].1
    }

    /// Ends all servers with SIGTERM. They keep their data.
    pub fn stop(&self) {
        for (_, daemon) in &self.servers {
            daemon.stop();
        }
    }

    /// Starts all servers again, and waits for their leader.
    pub fn start(&self) {
        for (_, daemon) in &self.servers {
            daemon.start();
        }
        self.wait();
    }

    /// Waits until every server sees a leader and the catalog has every node.
    pub fn wait(&self) {
        for (host, daemon) in &self.servers {
            wait_until(&format!("a leader, seen by consul on {}", host.name()), LONG, || {
                assert!(daemon.running(), "consul has ended: {}", daemon.log());
                let leader = self.ask(host, "/v1/status/leader")?;
                let nodes = self.ask(host, "/v1/catalog/nodes")?.as_array().map_or(0, Vec::len);
                let complete = leader.as_str().is_some_and(|leader| !leader.is_empty()) && nodes == self.servers.len();
                if complete { Ok(()) } else { Err(format!("leader {leader}, {nodes} nodes")) }
            });
        }
    }

    /// Waits for a leader and returns the number of its host.
    pub fn leader(&self) -> u8 {
        wait_until("consul's leader", LONG, || {
            let leader = self.get("/v1/status/leader");
            let address = leader.as_str().unwrap_or_default().trim_end_matches(":8300");
            let host = self.servers.iter().find(|(host, _)| host.address() == address);
            host.map(|(host, _)| host.number()).ok_or_else(|| format!("{leader}"))
        })
    }

    /// `GET path` on the first server that answers.
    pub fn get(&self, path: &str) -> Value {
        wait_until(&format!("consul's answer to {path}"), LONG, || {
            let mut errors = Vec::new();
            for (host, _) in &self.servers {
                match self.ask(host, path) {
                    Ok(value) => return Ok(value),
                    Err(e) => errors.push(format!("{}: {e}", host.name())),
                }
            }
            Err(errors.join("; "))
        })
    }

    /// `GET path` on the server of one host.
    pub fn ask(&self, host: &Host, path: &str) -> Result<Value, String> {
        let answer = self.client.get(&format!("{}{path}", url(host))).map_err(|e| e.to_string())?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.body));
        }
        serde_json::from_str(&answer.body).map_err(|e| format!("{e}: {}", answer.body))
    }

    /// The passing instances of a service, as sorted `address:port`.
    pub fn passing(&self, service: &str) -> Vec<String> {
        let entries = self.get(&format!("/v1/health/service/{service}?passing"));
        let address = |entry: &Value| {
            let service = &entry["Service"];
            format!("{}:{}", service["Address"].as_str().unwrap_or_default(), service["Port"])
        };
        let mut found: Vec<_> = entries.as_array().into_iter().flatten().map(address).collect();
        found.sort();
        found
    }
}

/// The URL of the API of a host's server, for clients and hosts.
pub fn url(host: &Host) -> String {
    format!("http://{}:8500", host.address())
}
