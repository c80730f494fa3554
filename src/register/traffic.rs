//! Whether a container gets traffic, and when that may change although nothing happens. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{crash_loop, host::Host, settings::StartingPolicy};
use crate::{
    docker::{Container, HealthStatus},
    registry::OutOfTraffic,
};

/// When an instance of this container will be due for another look, although nothing happens.
pub(super) fn next_traffic_change(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    drain_remaining(container, host, now)
        .into_iter()
        .chain(crash_loop::crash_loop_remaining(container, &host.settings, now))
        .min()
}

/// For how long a container that was told to stop is believed to be on its way.
fn drain_remaining(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    host.settings.drain_return.checked_sub(container.time_since_stop_signal(now)?).filter(|rest| !rest.is_zero())
}

/// Whether the container's HEALTHCHECK has no verdict yet, and it is not to be registered before.
pub(super) fn is_starting(container: &Container, host: &Host) -> bool {
    let settings = &host.settings;
    let undecided = container.health.as_ref().is_some_and(|health| health.status == HealthStatus::Starting);
    undecided && settings.docker_health && settings.docker_starting == StartingPolicy::Absent
}

/// Why the container must get no traffic; `None` if it may.
pub(super) fn out_of_traffic(container: &Container, host: &Host, now: Timestamp) -> Option<OutOfTraffic> {
    let draining = drain_remaining(container, host, now).and(container.stop_signal_sent_at);
    let draining = draining.map(|since| OutOfTraffic::Draining { since });
    draining.or_else(|| container.paused.then_some(OutOfTraffic::Paused)).or_else(|| {
        let rest = crash_loop::crash_loop_remaining(container, &host.settings, now);
        rest.map(|_| OutOfTraffic::CrashLoop)
    })
}
