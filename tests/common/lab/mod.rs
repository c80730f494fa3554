//! Three real hosts on one machine.
//!
//! ```text
//!                      switch (192.168.50.1): where the clients are
//!          ┌────────────────────┼────────────────────┐
//!    host-1 .101          host-2 .102          host-3 .103
//!    dockerd, consul      dockerd, consul      nginx, consul
//! ```
//!
//! A host is a tree of processes with network, mounts, host name and process numbers of its own; its
//! disk is a tmpfs. Whatever becomes of the test, `sweep.sh` takes all of it away. The lab needs root.
//!
//! Things in here panic when they go wrong: a test has failed then, and the demo as well.

pub mod app;
pub mod consul;
pub mod daemon;
pub mod docker;
pub mod enter;
pub mod events;
pub mod host;
pub mod http;
pub mod logs;
pub mod nginx;
pub mod portreeve;
pub mod run;
pub mod stream;
pub mod switch;
pub mod wait;

use std::process::ChildStdin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::consul::Consul;
use self::daemon::Daemon;
use self::docker::Docker;
use self::host::Host;
use self::nginx::Nginx;
use self::run::Run;
use self::switch::Switch;

/// The numbers of the hosts; host N has the address 192.168.50.10N.
pub const HOSTS: [u8; 3] = [1, 2, 3];
/// The host that nginx and `portreeve render` run on.
pub const BALANCER: u8 = 3;
/// Where clients find the balancer.
pub const BALANCER_URL: &str = "http://192.168.50.103/";

/// What a lab shall consist of. Hosts and network are always there.
pub struct Blueprint {
    name: String,
    docker: Vec<u8>,
    consul: bool,
    nginx: bool,
    progress: Box<dyn Fn(&str) + Send + Sync>,
}

/// A running lab. Dropped, it is gone.
pub struct Lab {
    run: Run,
    hosts: Vec<Arc<Host>>,
    switch: Switch,
    docker: Vec<Docker>,
    consul: Option<Consul>,
    nginx: Option<Nginx>,
    took: Duration,
}

impl Blueprint {
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

    /// Calls `say` with the name of each part that has come up.
    pub fn progress(mut self, say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Box::new(say);
        self
    }

    /// Builds it, the parts side by side, and returns when each of them answers.
    pub fn up(self) -> Lab {
        let begun = Instant::now();
        let say = &self.progress;
        let mut lab = Lab::with_hosts(Run::start(&self.name, &HOSTS));
        say("three hosts on one network");
        thread::scope(|scope| {
            let (hosts, switch) = (&lab.hosts, &lab.switch);
            if !self.docker.is_empty() {
                // Each engine asks for it when it is ready; by then it is built, most likely.
                scope.spawn(app::build);
            }
            let docker = self.docker.iter().map(|number| {
                let host = &hosts[usize::from(*number) - 1];
                let cgroup = lab.run.name();
                scope.spawn(move || {
                    let docker = Docker::up(host, cgroup);
                    say(&format!("docker on {}", host.name()));
                    docker
                })
            });
            let docker: Vec<_> = docker.collect();
            let consul = self.consul.then(|| {
                scope.spawn(|| {
                    let consul = Consul::up(hosts, switch);
                    say("consul, three servers with a leader");
                    consul
                })
            });
            let nginx = self.nginx.then(|| {
                scope.spawn(|| {
                    let nginx = Nginx::up(&hosts[usize::from(BALANCER) - 1]);
                    say("nginx on host-3");
                    nginx
                })
            });
            lab.docker = docker.into_iter().map(join).collect();
            lab.consul = consul.map(join);
            lab.nginx = nginx.map(join);
        });
        lab.took = begun.elapsed();
        lab
    }
}

/// The panic of a part is the panic of the lab.
fn join<T>(part: thread::ScopedJoinHandle<'_, T>) -> T {
    part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Lab {
    /// Begins a blueprint. The name is that of the test; the logs of a failed run are kept under it.
    pub fn named(name: &str) -> Blueprint {
        Blueprint { name: name.to_owned(), docker: vec![], consul: false, nginx: false, progress: Box::new(|_| ()) }
    }

    fn with_hosts(run: Run) -> Self {
        let switch = Switch::new(run.network("sw"));
        // Complete from the start, so that a panic further on leaves through `drop`.
        let mut lab =
            Self { run, hosts: vec![], switch, docker: vec![], consul: None, nginx: None, took: Duration::ZERO };
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

    /// The network that the clients are in.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The engine on a host. Panics if the blueprint did not ask for it.
    pub fn docker(&self, host: u8) -> &Docker {
        self.docker.iter().find(|docker| docker.host().number() == host).expect("a host that the blueprint gave Docker")
    }

    /// The Consul cluster. Panics if the blueprint did not ask for it.
    pub fn consul(&self) -> &Consul {
        self.consul.as_ref().expect("a blueprint with consul()")
    }

    /// The balancer's nginx. Panics if the blueprint did not ask for it.
    pub fn nginx(&self) -> &Nginx {
        self.nginx.as_ref().expect("a blueprint with nginx()")
    }

    /// Starts `portreeve register` on a host.
    pub fn register(&self, host: u8) -> Arc<Daemon> {
        portreeve::register(self.host(host), &[])
    }

    /// Starts `portreeve render` on the balancer, with the template that ships for nginx.
    pub fn render(&self) -> Arc<Daemon> {
        portreeve::render(self.host(BALANCER))
    }

    /// How long it took to come up.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Where the hosts' logs are, and the name that everything of this run begins with.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Leaves the lab standing for as long as somebody holds the pipe.
    pub fn keep(mut self) -> ChildStdin {
        let pipe = self.run.hand_over();
        // No drop: nothing here is ours to end any more.
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
