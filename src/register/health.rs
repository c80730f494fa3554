//! Docker's HEALTHCHECK and the check of `--ttl`, as checks to which `register` reports a status. Pure.

use std::time::Duration;

use super::settings::Settings;
use crate::{
    docker::{Container, HealthStatus},
    registry::{Check, CheckProbe, Status, StatusReport},
};

/// The key of the check that mirrors Docker's HEALTHCHECK.
pub(super) const DOCKER_CHECK: &str = "docker";
/// The key of the check of `--ttl`.
pub(super) const TTL_CHECK: &str = "ttl";

/// The TTL of the check that mirrors the HEALTHCHECK. It is long, so that no check becomes critical while `register` is
/// stopped for a while.
const DOCKER_TTL: Duration = Duration::from_secs(168 * 3600);

/// How often the status of a check must be reported again; `None` for checks that the agent runs.
pub(super) fn report_interval(key: &str, settings: &Settings) -> Option<Duration> {
    match key {
        DOCKER_CHECK => Some(DOCKER_TTL / 2),
        TTL_CHECK => settings.ttl_refresh,
        _ => None,
    }
}

/// The checks that wait for reports, each with its present status.
pub(super) fn reported_checks(container: &Container, settings: &Settings) -> Vec<(Check, StatusReport)> {
    let docker = container.health.as_ref().filter(|_| settings.docker_health).map(|health| {
        let status = if health.status == HealthStatus::Healthy { Status::Passing } else { Status::Critical };
        let output = match health.status {
            HealthStatus::Starting => format!("starting\n{}", health.output),
            _ => health.output.clone(),
        };
        (ttl_check(DOCKER_CHECK, "Docker HEALTHCHECK", DOCKER_TTL), StatusReport { status, output })
    });
    let ttl = settings.ttl.map(|ttl| {
        let output = "portreeve register sees the container running".to_owned();
        (ttl_check(TTL_CHECK, "portreeve register", ttl), StatusReport { status: Status::Passing, output })
    });
    docker.into_iter().chain(ttl).collect()
}

fn ttl_check(key: &str, name: &str, ttl: Duration) -> Check {
    let probe = CheckProbe::Report { ttl: format!("{}s", ttl.as_secs()) };
    Check { name: Some(name.to_owned()), ..Check::new(key, probe) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{docker::Health, register::fixture::container};

    #[test]
    fn the_status_of_the_healthcheck_is_reported() {
        let reported = |status| {
            let mut container = container("w");
            container.health = Some(Health { status, output: "ok".into() });
            reported_checks(&container, &Settings::default()).remove(0)
        };
        let (check, report) = reported(HealthStatus::Healthy);
        assert_eq!(check.probe, CheckProbe::Report { ttl: "604800s".into() });
        assert_eq!(report, StatusReport { status: Status::Passing, output: "ok".into() });
        assert_eq!(reported(HealthStatus::Unhealthy).1.status, Status::Critical);
        assert_eq!(
            reported(HealthStatus::Starting).1,
            StatusReport { status: Status::Critical, output: "starting\nok".into() }
        );
    }

    #[test]
    fn no_check_without_a_healthcheck_or_if_it_is_switched_off() {
        assert_eq!(reported_checks(&container("w"), &Settings::default()), []);
        let mut sick = container("w");
        sick.health = Some(Health { status: HealthStatus::Unhealthy, output: String::new() });
        assert_eq!(reported_checks(&sick, &Settings { docker_health: false, ..Settings::default() }), []);
    }

    #[test]
    fn a_ttl_is_reported_after_its_refresh_interval() {
        let seconds = Duration::from_secs;
        let settings = Settings { ttl: Some(seconds(30)), ttl_refresh: Some(seconds(10)), ..Settings::default() };
        let (check, report) = reported_checks(&container("w"), &settings).remove(0);
        assert_eq!((check.key.as_str(), report.status), (TTL_CHECK, Status::Passing));
        assert_eq!(report_interval(TTL_CHECK, &settings), Some(seconds(10)));
        assert_eq!(report_interval(DOCKER_CHECK, &settings), Some(seconds(84 * 3600)));
    }
}
