//! The `[consul]` table of the configuration file. Pure.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{Address, ConsulSetupError, Secret};

/// How to reach an agent, and how to query it. The defaults are for an agent on this machine without ACLs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The address of the agent. Default `http://127.0.0.1:8500`.
    pub address: Address,
    /// The datacenter of queries that do not name one. Default: that of the agent.
    pub datacenter: Option<String>,
    /// The ACL token. Default: none, which is Consul's anonymous token.
    pub token: Option<Secret>,
    /// A file with the ACL token. It is read before each call, and takes precedence over `token`.
    pub token_file: Option<PathBuf>,
    /// `user:password` of HTTP basic authentication, for an agent behind a proxy.
    pub http_auth: Option<Secret>,
    /// Use TLS with any scheme of the address. Default false: the scheme decides.
    pub ssl: bool,
    /// Verify the agent's certificate. Default true.
    pub ssl_verify: bool,
    /// A PEM file of trusted certificate authorities. Default: those of the system.
    pub ca_cert: Option<PathBuf>,
    /// A directory of such files. Both may be set.
    pub ca_path: Option<PathBuf>,
    /// The client certificate, PEM. Needs `client_key`.
    pub client_cert: Option<PathBuf>,
    /// The private key of `client_cert`, PEM.
    pub client_key: Option<PathBuf>,
    /// The name that the agent's certificate must contain. Default: the host of the address.
    pub tls_server_name: Option<String>,
    /// Consul Enterprise: the namespace. Default: that of the token.
    pub namespace: Option<String>,
    /// Consul Enterprise: the admin partition. Default: that of the agent.
    pub partition: Option<String>,
    /// How long one blocking query waits for a change, 1 s to 10 min. Default 30 s: an agent keeps the connection of an
    /// abandoned query until its wait has ended, so a client that restarts with long waits could reach the connection
    /// limit.
    #[serde(with = "humantime_serde")]
    pub wait: Duration,
    /// The interval of queries that cannot wait for a change (datacenters, prepared queries), 1 s to 10 min. Default 15
    /// s.
    #[serde(with = "humantime_serde")]
    pub poll: Duration,
    /// How many blocking queries may be open at the same time; further ones take turns. Default 64: an agent accepts at
    /// most 200 connections from one address (`limits.http_max_conns_per_client`), and other programs on the host need
    /// some.
    pub connections: NonZeroUsize,
    /// Accept an answer from any server that had contact with the leader within this time. Default: only the leader
    /// answers.
    ///
    /// This takes load from the leader but adds latency: a follower learns of a change with the next message of the
    /// leader (measured in an idle cluster: 80 to 100 ms later).
    #[serde(with = "humantime_serde")]
    pub max_stale: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Address::default(),
            datacenter: None,
            token: None,
            token_file: None,
            http_auth: None,
            ssl: false,
            ssl_verify: true,
            ca_cert: None,
            ca_path: None,
            client_cert: None,
            client_key: None,
            tls_server_name: None,
            namespace: None,
            partition: None,
            wait: Duration::from_secs(30),
            poll: Duration::from_secs(15),
            connections: NonZeroUsize::new(64).expect("64 is not 0"),
            max_stale: None,
        }
    }
}

impl Settings {
    /// Checks the values without reading files or connecting.
    ///
    /// # Errors
    /// [`ConsulSetupError::Invalid`] names the setting.
    pub fn validate(&self) -> Result<(), ConsulSetupError> {
        let invalid = |setting, problem: &str| Err(ConsulSetupError::Invalid { setting, problem: problem.to_owned() });
        for (setting, time) in [("wait", self.wait), ("poll", self.poll)] {
            if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&time) {
                return invalid(setting, "must be between 1s and 10min");
            }
        }
        match (&self.client_cert, &self.client_key) {
            (Some(_), None) => return invalid("client_key", "client_cert needs its key"),
            (None, Some(_)) => return invalid("client_cert", "client_key needs its certificate"),
            _ => {}
        }
        if self.tls_server_name.as_ref().is_some_and(|name| name.parse::<std::net::IpAddr>().is_ok()) {
            return invalid("tls_server_name", "must be a name, not an IP address");
        }
        self.effective_address().map(|_| ())
    }

    /// The address, with HTTPS if [`Settings::ssl`] is set.
    pub(super) fn effective_address(&self) -> Result<Address, ConsulSetupError> {
        let address = self.address.clone();
        if !self.ssl {
            return Ok(address);
        }
        address.with_tls().map_err(|problem| ConsulSetupError::Invalid { setting: "ssl", problem: problem.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> Settings {
        toml::from_str(toml).expect(toml)
    }

    #[test]
    fn an_empty_table_is_the_local_agent() {
        assert_eq!(read(""), Settings::default());
        assert_eq!(Settings::default().address.to_string(), "http://127.0.0.1:8500");
    }

    #[test]
    fn values_are_parsed() {
        let settings = read("address = '[::1]:8500'\nwait = '1min'\nmax_stale = '2s'\nssl = true\nconnections = 5");
        assert_eq!(settings.wait, Duration::from_secs(60));
        assert_eq!(settings.max_stale, Some(Duration::from_secs(2)));
        assert_eq!(settings.effective_address().expect("TLS over TCP").to_string(), "https://[::1]:8500");
    }

    #[test]
    fn an_unknown_key_or_invalid_value_is_named() {
        for (toml, expected) in [
            ("adress = ''", "unknown field `adress`"),
            ("address = 'ftp://x'", "the scheme \"ftp\" is unknown"),
            ("connections = 0", "connections"),
            ("wait = '5'", "wait"),
        ] {
            let error = toml::from_str::<Settings>(toml).expect_err(toml).to_string();
            assert!(error.contains(expected), "{toml}: {error}");
        }
    }

    #[test]
    fn a_contradiction_names_the_setting() {
        for (toml, setting) in [
            ("wait = '500ms'", "consul.wait"),
            ("wait = '11min'", "consul.wait"),
            ("poll = '0s'", "consul.poll"),
            ("client_cert = 'c.pem'", "consul.client_key"),
            ("client_key = 'k.pem'", "consul.client_cert"),
            ("tls_server_name = '127.0.0.1'", "consul.tls_server_name"),
            ("address = 'unix:///run/consul.sock'\nssl = true", "consul.ssl"),
        ] {
            let error = read(toml).validate().expect_err(toml).to_string();
            assert!(error.starts_with(setting), "{toml}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", read("token = 'hunter2'\nhttp_auth = 'me:hunter2'"));
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
}
