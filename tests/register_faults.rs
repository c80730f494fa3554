//! `portreeve register` with a Docker engine and a Consul agent that fail in random ways, while containers start and
//! end. After the faults, the registry has exactly the running containers.

mod common;
#[path = "common/wire.rs"]
mod wire;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    thread::sleep,
    time::{Duration, Instant},
};

use common::{
    black_box::{Daemon, PATIENCE, id, portreeve},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};
use wire::{Mode, Wire};

/// How long each round injects faults.
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;
const CONTAINERS: u64 = 40;

/// A random number generator (xorshift). Equal seeds give equal sequences.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct World {
    docker: FakeDocker,
    consul: FakeConsul,
    wire: Wire,
    running: BTreeMap<String, u16>,
    random: Random,
    daemon: Option<Daemon>,
    lives: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let consul = FakeConsul::start("10.0.0.7");
        let server = consul.address().trim_start_matches("http://").parse().expect("an address");
        let mut world = Self {
            docker: FakeDocker::start(),
            wire: Wire::to(server),
            consul,
            running: BTreeMap::new(),
            random: Random(seed.max(1)),
            daemon: None,
            lives: 0,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let mut command = portreeve(&self.docker, &self.consul, &["--resync", "1s", "--crash-starts", "0"]);
        command.env("CONSUL_HTTP_ADDR", self.wire.url());
        self.daemon = Some(Daemon::spawn(command));
        self.lives += 1;
    }

    /// Starts, moves or ends a container, sometimes without an event.
    fn change(&mut self) {
        let name = format!("c{}", self.random.below(CONTAINERS));
        let silent = self.random.below(5) == 0;
        if self.random.below(3) == 0 {
            self.running.remove(&name);
            if silent { self.docker.unset(&id(&name)) } else { self.docker.die(&id(&name)) }
        } else {
            let port = u16::try_from(1024 + self.random.below(60_000)).expect("a port");
            self.running.insert(name.clone(), port);
            let container = container(&name, port);
            if silent { self.docker.set(container) } else { self.docker.run(container) }
        }
    }

    fn fault(&mut self) {
        let error = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        match self.random.below(12) {
            0 => self.wire.set(Mode::Refused),
            1 => self.wire.set(Mode::Reset),
            2 => self.wire.set(Mode::Stalled),
            3 => self.consul.fail(Some(error)),
            4 => self.consul.forget(),
            5 => self.docker.cut(),
            6 => self.docker.set_broken(true),
            7 => {
                // Dropping the daemon kills it with SIGKILL.
                self.daemon = None;
                self.start();
            }
            8 => {
                let name = format!("dockerhost:c{}:80", self.random.below(CONTAINERS));
                self.consul.refuse(&name, Some(error));
            }
            _ => self.heal(),
        }
    }

    fn heal(&self) {
        self.wire.set(Mode::Good);
        self.consul.fail(None);
        self.docker.set_broken(false);
        (0..CONTAINERS).for_each(|number| self.consul.refuse(&format!("dockerhost:c{number}:80"), None));
    }

    fn wanted(&self) -> BTreeMap<String, u16> {
        self.running.iter().map(|(name, port)| (format!("dockerhost:{name}:80"), *port)).collect()
    }
}

#[test]
fn after_any_faults_the_registry_has_the_running_containers() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0) % 1_000_000);
    println!("SEED={seed} runs the same order again");
    let mut world = World::new(seed);
    for round in 0..ROUNDS {
        let begun = Instant::now();
        while begun.elapsed() < ROUND {
            for _ in 0..world.random.below(20) {
                world.change();
            }
            world.fault();
            sleep(Duration::from_millis(world.random.below(150)));
        }
        world.heal();
        let healed = Instant::now();
        let wanted = world.wanted();
        while world.consul.ports() != wanted {
            let log = world.daemon.as_ref().expect("it was started").log();
            assert!(
                healed.elapsed() < PATIENCE,
                "SEED={seed}, round {round}: {:?}\nshould be {wanted:?}\n{log}",
                world.consul.ports()
            );
            sleep(Duration::from_millis(5));
        }
        assert!(world.consul.in_maintenance().is_empty(), "SEED={seed}: {:?}", world.consul.in_maintenance());
        println!("round {round}: right after {:?}, {} entries, life {}", healed.elapsed(), wanted.len(), world.lives);
    }
    let daemon = world.daemon.take().expect("it was started");
    assert_eq!(daemon.stop(), Some(0), "it never exits by itself");
}
