//! Three hosts on one machine, with real daemons, for the integration tests and the demo.
//!
//! ```text
//!                      bridge (192.168.50.1): the clients are here
//!          ┌────────────────────┼────────────────────┐
//!    host-1 .101          host-2 .102          host-3 .103
//!    dockerd, consul      dockerd, consul      nginx, consul
//! ```
//!
//! ```text
//! Lab::builder("name").docker(&[1, 2]).consul().nginx().up()
//!      │
//!      ├─ run        sweep.sh: directory, network namespaces; removes everything at the end
//!      ├─ host       host.sh: mounts, host name, process numbers; commands and daemons run inside
//!      ├─ docker, consul, nginx     daemons on the hosts, ready when `up` returns
//!      ├─ portreeve  the program under test, as a daemon on a host
//!      └─ client     requests from the network that the hosts are attached to
//! ```
//!
//! A host is a tree of processes with its own network, mounts, host name and process numbers; its disk is
//! a tmpfs. `sweep.sh` removes all of it, however the test ends. The lab needs root.
//!
//! Functions in this crate panic on failure: the test has failed then, and so has the demo.

pub mod app;
pub mod client;
pub mod consul;
pub mod daemon;
pub mod docker;
pub mod events;
pub mod host;
pub mod http;
mod logs;
pub mod namespace;
pub mod nginx;
pub mod portreeve;
pub mod run;
pub mod stream;
mod target_dir;
pub mod wait;

use std::process::ChildStdin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::client::Client;
use self::consul::Consul;
use self::daemon::Daemon;
use self::docker::Docker;
use self::host::Host;
use self::nginx::Nginx;
use self::run::Run;

/// The numbers of the hosts; host N has the address 192.168.50.10N.
pub const HOSTS: [u8; 3] = [1, 2, 3];
/// The host that nginx and `portreeve render` run on.
pub const BALANCER: u8 = 3;
/// The URL of the balancer, as clients use it.
pub const BALANCER_URL: &str = "http://192.168.50.103/";

/// Which daemons a lab has. The hosts and their network are always there.
pub struct LabBuilder {
    name: String,
    docker: Vec<u8>,
    consul: bool,
    nginx: bool,
    progress: Box<dyn Fn(&str) + Send + Sync>,
}

/// A running lab. Dropping it removes everything.
pub struct Lab {
    run: Run,
    hosts: Vec<Arc<Host>>,
    client: Client,
    docker: Vec<Docker>,
    consul: Option<Consul>,
    nginx: Option<Nginx>,
    startup_time: Duration,
}

impl LabBuilder {
    /// Adds Docker with the app's image `v1` on these hosts.
    pub fn docker(mut self, hosts: &[u8]) -> Self {
        self.docker = hosts.to_vec();
        self
    }

    /// Adds a Consul server on every host.
    pub fn consul(mut self) -> Self {
        self.consul = true;
        self
    }

    /// Adds nginx on the balancer.
    pub fn nginx(mut self) -> Self {
        self.nginx = true;
        self
    }

    /// Calls `report` with the name of each part as soon as it is ready.
    pub fn progress(mut self, report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Box::new(report);
        self
    }

    /// Starts all parts in parallel, and returns when each of them answers.
    pub fn up(self) -> Lab {
        let begun = Instant::now();
        let report = &self.progress;
        let mut lab = Lab::with_hosts(Run::start(&self.name, &HOSTS));
        report("three hosts on one network");
        thread::scope(|scope| {
            let (hosts, client) = (&lab.hosts, &lab.client);
            if !self.docker.is_empty() {
                // Each engine needs the app once it is ready; the app is usually built by then.
                scope.spawn(|| {
                    app::build();
                    report("the app for the containers is built");
                });
            }
            let docker = self.docker.iter().map(|number| {
                let host = &hosts[usize::from(*number) - 1];
                let cgroup = lab.run.name();
                scope.spawn(move || {
                    let docker = Docker::up(host, cgroup);
                    report(&format!("docker on {}", host.name()));
                    docker
                })
            });
            let docker: Vec<_> = docker.collect();
            let consul = self.consul.then(|| {
                scope.spawn(|| {
                    let consul = Consul::up(hosts, client);
                    report("consul, three servers with a leader");
                    consul
                })
            });
            let nginx = self.nginx.then(|| {
                scope.spawn(|| {
                    let nginx = Nginx::up(&hosts[usize::from(BALANCER) - 1]);
                    report("nginx on host-3");
                    nginx
                })
            });
            lab.docker = docker.into_iter().map(join).collect();
            lab.consul = consul.map(join);
            lab.nginx = nginx.map(join);
        });
        lab.startup_time = begun.elapsed();
        lab
    }
}

/// Passes the panic of a part on to the caller.
fn join<T>(part: thread::ScopedJoinHandle<'_, T>) -> T {
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Lab {
    /// A lab without daemons, to add some to. `name` is the name of the test; the logs of a failed run are
    /// kept under it.
    pub fn builder(name: &str) -> LabBuilder {
        LabBuilder { name: name.to_owned(), docker: vec![], consul: false, nginx: false, progress: Box::new(|_| ()) }
    }

    fn with_hosts(run: Run) -> Self {
        let client = Client::new(run.network("bridge"));
        // A complete value from the start: a panic below then goes through `drop`.
        let startup_time = Duration::ZERO;
        let mut lab = Self { run, hosts: vec![], client, docker: vec![], consul: None, nginx: None, startup_time };
        for number in HOSTS {
            let host = Host::boot(number, lab.run.directory(), &lab.run.network(&format!("h{number}")));
            lab.hosts.push(Arc::new(host));
        }
        for host in &lab.hosts {
            host.wait_until_up();
        }
        lab
    }

    /// Host 1, 2 or 3.
    pub fn host(&self, number: u8) -> &Arc<Host> {
        &self.hosts[usize::from(number) - 1]
    }

    /// Sends requests from the network that the hosts are attached to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The engine on a host. Panics if the lab was built without it.
    pub fn docker(&self, host: u8) -> &Docker {
        self.docker
            .iter()
            .find(|docker| docker.host().number() == host)
            .expect("a lab built with docker() on this host")
    }

    /// The Consul cluster. Panics if the lab was built without it.
    pub fn consul(&self) -> &Consul {
        self.consul.as_ref().expect("a lab built with consul()")
    }

    /// The balancer's nginx. Panics if the lab was built without it.
    pub fn nginx(&self) -> &Nginx {
        self.nginx.as_ref().expect("a lab built with nginx()")
    }

    /// Starts `portreeve register` on a host.
    pub fn register(&self, host: u8) -> Arc<Daemon> {
        portreeve::register(self.host(host), &[])
    }

    /// Starts `portreeve render` on the balancer, with the template that ships for nginx.
    pub fn render(&self) -> Arc<Daemon> {
        portreeve::render(self.host(BALANCER))
    }

    /// How long the start took.
    pub fn startup_time(&self) -> Duration {
        self.startup_time
    }

    /// The directory with the hosts' logs, and the name that all namespaces of this lab begin with.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Leaves the lab running for as long as the returned pipe is open in some process.
    pub fn detach(mut self) -> ChildStdin {
        let pipe = self.run.take_pipe();
        // Without `drop`: it would wait for the end of the run.
        std::mem::forget(self);
        pipe
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.run.end();
        for host in &self.hosts {
            host.reap();
        }
    }
}
