//! Docker on a host.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::app;
use crate::daemon::Daemon;
use crate::events::Events;
use crate::host::{Host, clean};
use crate::wait::{LONG, wait_until};

/// The image of the app. Its tags are the versions of the app.
const IMAGE: &str = "portreeve-app";

/// The engine of one host.
pub struct Docker {
    host: Arc<Host>,
    daemon: Arc<Daemon>,
}

/// A container. Commands go through Docker's command line.
#[derive(Clone)]
pub struct Container {
    host: Arc<Host>,
    name: String,
    id: String,
}

impl Docker {
    /// Starts the engine, waits until it answers, and gives it the image of `v1`.
    pub(crate) fn up(host: &Arc<Host>, cgroup: &str) -> Self {
        let cgroup = format!("--cgroup-parent=/{cgroup}");
        // `sweep.sh` finds and removes the control groups below this parent, which needs no systemd.
        let words = ["dockerd", "--exec-opt=native.cgroupdriver=cgroupfs", &cgroup];
        let docker = Self { host: Arc::clone(host), daemon: host.spawn("dockerd", &words) };
        docker.wait();
        docker.import("v1");
        docker
    }

    /// The host of the engine.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The engine's process. After a restart, call `wait`.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Waits until the engine answers.
    pub fn wait(&self) {
        wait_until(&format!("docker on {}", self.host.name()), LONG, || {
            if self.daemon.running() { self.ping() } else { panic!("dockerd has ended: {}", self.daemon.log()) }
        });
    }

    fn ping(&self) -> Result<(), String> {
        let socket = self.host.outside("/run/docker.sock");
        let mut stream = UnixStream::connect(socket).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|e| e.to_string())?;
        let mut answer = String::new();
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").map_err(|e| e.to_string())?;
        stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
        if answer.contains(" 200 OK") { Ok(()) } else { Err(answer) }
    }

    /// Creates the image of one version of the app.
    pub fn import(&self, version: &str) {
        let app = app::build().to_str().expect("the path is UTF-8");
        let version_variable = format!("ENV VERSION={version}");
        let changes = ["ENTRYPOINT [\"/app\"]", "EXPOSE 8080", &version_variable];
        self.import_image(&format!("{IMAGE}:{version}"), &["--directory", app, "app"], &changes);
    }

    /// `tar FILES | docker import CHANGES - NAME`: creates an image from files of the machine.
    pub fn import_image(&self, name: &str, files: &[&str], changes: &[&str]) {
        let mut tar = Command::new("tar")
            .args(["--create", "--dereference", "--owner=0", "--group=0"])
            .args(files)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start tar: {e}"));
        let mut import = clean("docker");
        import.arg("import").args(changes.iter().flat_map(|change| ["--change", change])).args(["-", name]);
        import.stdin(tar.stdout.take().expect("stdout is a pipe"));
        let output = self.host.enter(|| import.output()).unwrap_or_else(|e| panic!("cannot start docker: {e}"));
        let packed = tar.wait().expect("a child of ours");
        assert!(
            packed.success() && output.status.success(),
            "cannot import the image {name} on {}: {}",
            self.host.name(),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Runs `docker WORDS` and returns its output without the last line end.
    pub fn cli(&self, words: &[&str]) -> String {
        cli(&self.host, words)
    }

    /// `docker run -d -P --name NAME --hostname NAME OPTIONS portreeve-app:VERSION`: the app, with its port
    /// 8080 published on a random port.
    pub fn run(&self, name: &str, version: &str, options: &[&str]) -> Container {
        let image = format!("{IMAGE}:{version}");
        let mut words = vec!["run", "--detach", "--publish-all", "--name", name, "--hostname", name];
        words.extend(options);
        words.push(&image);
        let id = self.cli(&words);
        Container { host: Arc::clone(&self.host), name: name.to_owned(), id }
    }

    /// Follows the engine's container events, including those before this call.
    pub fn events(&self) -> Events {
        Events::follow(&self.host)
    }
}

impl Container {
    /// The name, which is the host name too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The host of the container.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// The host port on which a port of the container is published. Panics if there is none.
    pub fn port(&self, inner: u16) -> u16 {
        let lines = cli(&self.host, &["port", &self.id, &inner.to_string()]);
        let port = lines.lines().next().and_then(|line| line.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
        port.unwrap_or_else(|| panic!("{} publishes no port for {inner}: {lines}", self.name))
    }

    /// `docker stop`: SIGTERM, and SIGKILL 10 seconds later.
    pub fn stop(&self) {
        cli(&self.host, &["stop", &self.id]);
    }

    /// `docker start`.
    pub fn start(&self) {
        cli(&self.host, &["start", &self.id]);
    }

    /// `docker restart`.
    pub fn restart(&self) {
        cli(&self.host, &["restart", &self.id]);
    }

    /// `docker kill --signal SIGNAL`, for example `HUP`.
    pub fn kill(&self, signal: &str) {
        cli(&self.host, &["kill", "--signal", signal, &self.id]);
    }

    /// `docker rm --force`.
    pub fn remove(&self) {
        cli(&self.host, &["rm", "--force", &self.id]);
    }

    /// What the container has written.
    pub fn log(&self) -> String {
        cli(&self.host, &["logs", &self.id])
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.host.name())
    }
}

fn cli(host: &Host, words: &[&str]) -> String {
    host.run(&[&["docker"], words].concat()).trim_end().to_owned()
}
