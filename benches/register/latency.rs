//! The time from Docker's start event to the registration, as the fakes send and receive them.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{
    container,
    daemon::{Daemon, wait_until},
    fake_consul::FakeConsul,
    fake_docker::FakeDocker,
    table::{format_ms, quantile, row, title},
};

/// The number of containers that start, one after the other.
const STARTS: u16 = 200;

pub(super) fn run() {
    title(&format!("From Docker's start event to the registration at the agent ({STARTS} starts; fakes)"));
    for others in [10, 10_000] {
        let mut times = measure(others);
        let figures = [0.5, 0.95].map(|share| format_ms(quantile(&mut times, share)));
        row(&format!("{others} other containers: median, 95th percentile"), figures.join(", "));
    }
}

fn measure(others: u16) -> Vec<Duration> {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    (0..others).for_each(|number| docker.set(container(number, 0, 20_000 + number)));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    wait_until("all registrations", || consul.count() == usize::from(others));
    let one = |number: u16| {
        // Longer than a pass takes, so that each start is measured alone.
        thread::sleep(Duration::from_millis(100));
        let (new, id) = (container(number, 0, 20_000 + number), format!("dockerhost:web-{number}:80"));
        let written = Instant::now();
        docker.run(new);
        wait_until("the registration", || consul.registered_at(&id).is_some());
        consul.registered_at(&id).expect("it exists") - written
    };
    (others..others + STARTS).map(one).collect()
}
