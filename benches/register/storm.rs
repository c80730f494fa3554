//! A thousand events per second on a host with a thousand containers, which stop and restart with new ids and ports.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use crate::{
    container,
    daemon::{Daemon, wait_until},
    fake_consul::FakeConsul,
    fake_docker::FakeDocker,
    id,
    table::{format_seconds, row, title},
};

const CONTAINERS: u16 = 1_000;
const PER_SECOND: u32 = 1_000;

/// The expected state: the run of each container, and its port if it is running.
struct Host {
    docker: FakeDocker,
    places: Vec<(u32, Option<u16>)>,
}

impl Host {
    fn start() -> Self {
        let docker = FakeDocker::start();
        (0..CONTAINERS).for_each(|number| docker.set(container(number, 0, 20_000 + number)));
        Self { docker, places: (0..CONTAINERS).map(|number| (0, Some(20_000 + number))).collect() }
    }

    /// Stops a running container, or starts a stopped one.
    fn toggle(&mut self, event: u32) {
        // The step and the number of containers have no common divisor, so all containers are visited.
        let number = event.wrapping_mul(377) % u32::from(CONTAINERS);
        let (run, port) = &mut self.places[number as usize];
        let number = number as u16;
        match port.take() {
            Some(_) => self.docker.die(&id(number, *run)),
            None => {
                *run += 1;
                let new = 20_000 + ((u32::from(number) + *run * 31) % 40_000) as u16;
                *port = Some(new);
                self.docker.run(container(number, *run, new));
            }
        }
    }

    fn expected(&self) -> BTreeMap<String, u16> {
        let up = (0..).zip(&self.places).filter_map(|(number, (_, port)): (u16, _)| Some((number, (*port)?)));
        up.map(|(number, port)| (format!("dockerhost:web-{number}:80"), port)).collect()
    }
}

pub(super) fn run(length: Duration) {
    let (mut host, consul) = (Host::start(), FakeConsul::start("10.0.0.7"));
    let daemon = Daemon::start(&host.docker, &consul, &[]);
    wait_until("all registrations", || consul.ports() == host.expected());
    let traffic = |docker: &FakeDocker| (docker.requests().len(), consul.reads().len(), consul.writes().len());
    let (before, used) = (traffic(&host.docker), daemon.cpu_time());
    let (begun, events) = (Instant::now(), u32::try_from(length.as_secs()).expect("a short time") * PER_SECOND);
    for event in 0..events {
        let due = begun + Duration::from_secs(1) / PER_SECOND * event;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        host.toggle(event);
    }
    let (took, end) = (begun.elapsed(), Instant::now());
    let expected = host.expected();
    wait_until("the registry to be right", || consul.ports() == expected);
    let late = end.elapsed();
    // A queued write must not undo the correct state later.
    thread::sleep(Duration::from_secs(2));
    let wrong = if consul.ports() == expected { "none" } else { "SOME" };
    let (after, used) = (traffic(&host.docker), daemon.cpu_time() - used);
    let each = |before: usize, after: usize| format!("{:.3}", (after - before) as f64 / f64::from(events));
    title(&format!(
        "Storm: {events} starts and stops in {}, {CONTAINERS} containers (fake engine, fake agent)",
        format_seconds(took)
    ));
    row("registry equals containers, after the last event", format_seconds(late));
    row("entries wrong two seconds later", wrong);
    row("inspections and lists per event", each(before.0, after.0));
    row("writes to Consul per event", each(before.2, after.2));
    row("reads from Consul, in all", after.1 - before.1);
    row("processor time per event", format!("{:.3} ms", used.as_secs_f64() * 1000.0 / f64::from(events)));
    row("peak memory", format!("{} MiB", daemon.peak_memory()));
}
