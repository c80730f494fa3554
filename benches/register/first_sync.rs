//! The first sync of a host with ten thousand containers, and the cost of resyncs without changes.

use std::{thread, time::Duration};

use crate::{
    container,
    daemon::{Daemon, wait_until},
    fake_consul::FakeConsul,
    fake_docker::FakeDocker,
    table::{format_ms, format_seconds, row, title},
};

const CONTAINERS: u16 = 10_000;
/// Longer than the first sync takes.
const RESYNC: Duration = Duration::from_secs(10);
const RESYNCS: u32 = 3;

pub(super) fn run() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    (0..CONTAINERS).for_each(|number| docker.set(container(number, 0, 20_000 + number)));
    let daemon = Daemon::start(&docker, &consul, &["--resync", &format!("{}s", RESYNC.as_secs())]);
    wait_until("all registrations", || consul.count() == usize::from(CONTAINERS));
    title(&format!("First sync of {CONTAINERS} containers (fake engine, fake agent)"));
    row("wall time, from the start of the program", format_seconds(daemon.age()));
    row("processor time", format_seconds(daemon.cpu_time()));
    row("peak memory", format!("{} MiB", daemon.peak_memory()));
    row("requests to Docker", docker.requests().len());
    row("reads, writes to Consul", format!("{}, {}", consul.reads().len(), consul.writes().len()));

    let traffic = || (docker.requests().len(), consul.reads().len(), consul.writes().len());
    // The first resync still reads the entries again. The later ones are measured.
    thread::sleep(RESYNC);
    let (before, used) = (traffic(), daemon.cpu_time());
    thread::sleep(RESYNC * RESYNCS);
    let (after, used) = (traffic(), daemon.cpu_time() - used);
    let each = |before: usize, after: usize| format!("{:.1}", (after - before) as f64 / f64::from(RESYNCS));
    title(&format!("Steady state of {CONTAINERS} containers, per resync (mean of {RESYNCS})"));
    row("requests to Docker", each(before.0, after.0));
    row("reads from Consul", each(before.1, after.1));
    row("writes to Consul", each(before.2, after.2));
    row("processor time", format_ms(used / RESYNCS));
    row("peak memory so far", format!("{} MiB", daemon.peak_memory()));
}
