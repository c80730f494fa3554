//! Whether a container gets traffic, and when that may change although nothing happens. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{crash, instances::Host, settings::Starting};
use crate::{
    docker::{Container, HealthStatus},
    registry::OutReason,
};

/// When an instance of this container will be due for another look, although nothing happens.
pub fn due(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    drain_rest(container, host, now).into_iter().chain(crash::rest(container, &host.settings, now)).min()
}

/// For how long a container that was told to stop is believed to be on its way.
fn drain_rest(container: &Container, host: &Host, now: Timestamp) -> Option<Duration> {
    host.settings.drain_return.checked_sub(container.stopping_for(now)?).filter(|rest| !rest.is_zero())
}

/// Whether the container's HEALTHCHECK has no verdict yet, and it is not to be registered before.
pub(super) fn starting(container: &Container, host: &Host) -> bool {
    let settings = &host.settings;
    let undecided = container.health.as_ref().is_some_and(|health| health.status == HealthStatus::Starting);
    undecided && settings.docker_health && settings.docker_starting == Starting::Absent
}

/// Why the container must get no traffic; `None` if it may.
pub(super) fn out(container: &Container, host: &Host, now: Timestamp) -> Option<OutReason> {
    let draining = drain_rest(container, host, now).and(container.stop_sent);
    let draining = draining.map(|since| OutReason::Draining { since });
    draining.or_else(|| container.paused.then_some(OutReason::Paused)).or_else(|| {
        let rest = crash::rest(container, &host.settings, now);
        rest.map(|_| OutReason::CrashLoop)
    })
}
