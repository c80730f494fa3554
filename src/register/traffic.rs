//! Decides whether a container gets traffic, and when that may change without an event. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{crash_loop, host::Host, settings::StartingPolicy};
use crate::{
    docker::{Container, HealthStatus},
    registry::OutOfTraffic,
};

/// The time until the traffic of this container may change without an event; `None` if it cannot.
pub(super) fn next_traffic_change(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    drain_remaining(container, host, now)
        .into_iter()
        .chain(crash_loop::crash_loop_remaining(container, &host.settings, now))
        .min()
}

/// The remaining time for which a container is out of traffic after its stop signal; `None` if it is not draining.
fn drain_remaining(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    host.settings.drain_return.checked_sub(container.time_since_stop_signal(now)?).filter(|rest| !rest.is_zero())
}

/// Whether the container is not to be registered yet because its HEALTHCHECK has no result.
pub(super) fn is_starting(container: &Container, host: &Host) -> bool {
    let settings = &host.settings;
    let has_no_result = container.health.as_ref().is_some_and(|health| health.status == HealthStatus::Starting);
    has_no_result && settings.docker_health && settings.docker_starting == StartingPolicy::Absent
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
