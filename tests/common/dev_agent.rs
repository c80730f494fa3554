//! A real Consul agent on loopback, with its own ports and files.
//!
//! The agent ends when its [`DevAgent`] is dropped, and also when the test is killed: the kernel kills it when the
//! thread that started it ends. So it must be started in the thread of the test, as in a `#[tokio::test]`.

#![allow(dead_code, unreachable_pub)]

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

/// The time limit of every wait, for a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The differences from `consul agent -dev`.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Additional configuration (HCL). `{dir}` is replaced by the directory of the agent.
    pub extra: String,
    /// Files to create in the directory, by name.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Listen for HTTPS too, at [`DevAgent::https_port`]. `extra` names the certificates.
    pub tls: bool,
    /// Keep the data on disk. Otherwise the agent loses its data when it is stopped.
    pub durable: bool,
    /// The token for the test whether the agent is ready.
    pub token: Option<&'static str>,
}

/// An agent, running or stopped.
pub struct DevAgent {
    setup: Setup,
    dir: TempDir,
    ports: Ports,
    child: Option<Child>,
    http: reqwest::Client,
}

#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    server: u16,
    serf: u16,
}

impl DevAgent {
    /// Starts a dev agent, and waits until it is the leader and its node is registered.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// Starts an agent with another setup.
    pub async fn start_with(setup: Setup) -> Self {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
        let dir = tempfile::tempdir().expect("a directory");
        for (name, bytes) in &setup.files {
            fs::write(dir.path().join(name), bytes).expect("a file for the agent");
        }
        let mut agent = Self { setup, dir, ports: Ports::free(), child: None, http };
        // Another process may take a port between the check and the start of the agent.
        for _ in 0..5 {
            if agent.launch().await {
                return agent;
            }
            agent.ports = Ports::free();
        }
        panic!("no Consul agent:\n{}", fs::read_to_string(agent.dir().join("log")).unwrap_or_default());
    }

    /// `http://127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    /// The port of the HTTP API.
    pub fn http_port(&self) -> u16 {
        self.ports.http
    }

    /// The port of the HTTPS API; see [`Setup::tls`].
    pub fn https_port(&self) -> u16 {
        self.ports.https
    }

    /// The directory of the agent.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills the agent with SIGKILL.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a process of ours");
            child.wait().expect("a process of ours");
        }
    }

    /// Ends the agent with SIGTERM.
    pub fn terminate(&mut self) {
        if let Some(mut child) = self.child.take() {
            let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a small number"));
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("a process of ours");
            child.wait().expect("a process of ours");
        }
    }

    /// Starts the agent again at the same ports. It has its data only if it is durable.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it is still running");
        assert!(self.launch().await, "the agent did not come back");
    }

    /// Sends a request, which must succeed, and returns the body.
    pub async fn call(&self, method: Method, path: &str, body: impl Into<String>) -> String {
        self.call_as(self.setup.token.unwrap_or_default(), method, path, body).await
    }

    /// Like [`call`](Self::call), with a token.
    pub async fn call_as(&self, token: &str, method: Method, path: &str, body: impl Into<String>) -> String {
        let url = format!("{}{path}", self.address());
        let request = self.http.request(method, url).header("x-consul-token", token).body(body.into());
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status}: {text}");
        text
    }

    /// Sends a PUT request, which must succeed, and returns the body.
    pub async fn put(&self, path: &str, body: impl Into<String>) -> String {
        self.call(Method::PUT, path, body).await
    }

    /// Sends a GET request, which must succeed, and returns the JSON.
    pub async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.call(Method::GET, path, "").await).expect("JSON")
    }

    /// Starts the process, and waits until it is ready. Returns false if it exits, for example because a port is in
    /// use.
    async fn launch(&mut self) -> bool {
        let config = self.dir().join("agent.hcl");
        fs::write(&config, self.config()).expect("the agent's configuration");
        let log = fs::File::create(self.dir().join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "consul", "agent", "-config-file"]).arg(&config);
        if !self.setup.durable {
            command.arg("-dev");
        }
        let errors = log.try_clone().expect("a log");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.child = Some(child.expect("setpriv (util-linux) and consul on PATH; scripts/setup installs both"));
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.child.as_mut().and_then(|child| child.try_wait().expect("a process of ours")).is_some() {
                self.child = None;
                return false;
            }
            if self.ready().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.stop();
        false
    }

    /// Whether the agent has a leader and its node is in the catalog.
    async fn ready(&self) -> bool {
        let url = format!("{}/v1/catalog/nodes", self.address());
        let request = self.http.get(url).header("x-consul-token", self.setup.token.unwrap_or_default());
        let Ok(response) = request.timeout(Duration::from_secs(5)).send().await else { return false };
        let known = |nodes: Vec<Value>| nodes.iter().any(|node| node["Node"] == *self.name());
        response.json().await.is_ok_and(known)
    }

    /// The name of the node. It identifies the agent if another one has taken the port.
    fn name(&self) -> String {
        format!("agent-{}-{}", std::process::id(), self.ports.server)
    }

    fn config(&self) -> String {
        let Ports { http, https, server, serf } = self.ports;
        let https = if self.setup.tls { i32::from(https) } else { -1 };
        let unused = "serf_wan = -1 dns = -1 grpc = -1";
        let dir = self.dir().display().to_string();
        let durable = format!(
            "server = true bootstrap_expect = 1 data_dir = \"{dir}/data\" performance {{ raft_multiplier = 1 }}"
        );
        let lines = [
            format!("ports {{ http = {http} https = {https} server = {server} serf_lan = {serf} {unused} }}"),
            format!("node_name = \"{}\" bind_addr = \"127.0.0.1\"", self.name()),
            "log_level = \"warn\" disable_update_check = true".to_owned(),
            if self.setup.durable { durable } else { String::new() },
            self.setup.extra.replace("{dir}", &dir),
        ];
        lines.join("\n")
    }
}

impl Drop for DevAgent {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Ports {
    /// Free ports below the ephemeral range, so that no connection uses one of them while the agent is stopped.
    fn free() -> Self {
        let mut candidates = (0..).map(|_| 20_000 + (RandomState::new().hash_one(0) % 12_000) as u16).filter(|port| {
            TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok()
        });
        let mut next = || candidates.next().expect("an endless supply");
        Self { http: next(), https: next(), server: next(), serf: next() }
    }
}

/// Runs `consul ARGS` in `dir`, which must succeed.
pub fn consul(dir: &Path, args: &[&str]) {
    let output = Command::new("consul").args(args).current_dir(dir).output().expect("consul on PATH");
    assert!(output.status.success(), "consul {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates an authority with a server and a client certificate in `dir`.
pub fn certificates(dir: &Path) -> TlsFiles {
    consul(dir, &["tls", "ca", "create"]);
    consul(dir, &["tls", "cert", "create", "-server"]);
    consul(dir, &["tls", "cert", "create", "-client"]);
    let file = |name: &str| dir.join(name);
    TlsFiles {
        authority: file("consul-agent-ca.pem"),
        server: (file("dc1-server-consul-0.pem"), file("dc1-server-consul-0-key.pem")),
        client: (file("dc1-client-consul-0.pem"), file("dc1-client-consul-0-key.pem")),
    }
}

/// The files of [`certificates`]. Pairs are certificate and key.
pub struct TlsFiles {
    pub authority: PathBuf,
    pub server: (PathBuf, PathBuf),
    pub client: (PathBuf, PathBuf),
}
