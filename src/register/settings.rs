//! The settings of `register`. Pure.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    reachable_host::{is_local_only, is_reachable_host},
    tags,
};
use crate::consul::limits;

/// The `[register]` table of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The address of every instance. Default: the address that the registry's agent advertises.
    pub ip: Option<String>,
    /// Register containers at their own addresses and ports. Default false.
    pub internal: bool,
    /// With `internal`: the network whose address is registered. Default: the only one, or the one that the container
    /// was started with.
    pub network: Option<String>,
    /// Register only ports with a `SERVICE_NAME`. Default false.
    pub explicit: bool,
    /// A label with the address of a container's instances.
    pub use_ip_from_label: Option<String>,
    /// More tags for every instance: a comma-separated list, which is a Handlebars template over the container.
    pub tags: Option<String>,
    /// The first part of each service id. Default: the host name that the Docker engine reports.
    pub hostname: Option<String>,
    /// Register checks that make Consul's agent run a command (`CHECK_SCRIPT`, `CHECK_CMD`, `CHECK_DOCKER`). Default
    /// false, since the variables of an image could define them.
    pub allow_script_checks: bool,
    /// When entries of containers that have ended are removed. Default: always.
    pub deregister: DeregisterPolicy,
    /// Whether Docker's HEALTHCHECK becomes a check. Default true.
    pub docker_health: bool,
    /// How a container is registered whose HEALTHCHECK has no result yet. Default: critical.
    pub docker_starting: StartingPolicy,
    /// Each instance gets a check that becomes critical if `register` does not refresh it for this time. Default: none.
    #[serde(with = "humantime_serde")]
    pub ttl: Option<Duration>,
    /// How often that check is refreshed: less than `ttl`, and set together with it.
    #[serde(with = "humantime_serde")]
    pub ttl_refresh: Option<Duration>,
    /// The time between two full lists of Docker and of the registry. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub resync: Duration,
    /// A container that still runs this long after its stop signal gets traffic again. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub drain_return: Duration,
    /// A container that starts this often within `crash_within` is in a crash loop; 0 disables this. Default 5.
    pub crash_starts: usize,
    /// See `crash_starts`. Default 2 min.
    #[serde(with = "humantime_serde")]
    pub crash_within: Duration,
    /// A container in a crash loop gets traffic again after it has run for this time. Default 1 min.
    #[serde(with = "humantime_serde")]
    pub crash_stable: Duration,
    /// How many entries may be removed in one pass without an event that reports their end. Default half of them, and
    /// at least 3.
    pub max_removal: MaxRemoval,
    /// Take over foreign entries with the same ids. Default: none.
    pub adopt: Option<Adopt>,
    /// What happens to the entries at a clean stop. Default: they stay.
    pub on_exit: OnExit,
    /// How often the registry is tried again at the start before `register` gives up; negative: without a limit.
    /// Default -1.
    pub retry_attempts: i64,
    /// The time between two of these tries. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub retry_interval: Duration,
    /// Whether the configuration file is read again when it is saved. Default true.
    pub watch: bool,
}

/// When entries of containers that have ended are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeregisterPolicy {
    /// With any exit code.
    #[default]
    Always,
    /// Only after exit code 0 or a signal; after a failure the entry stays, out of traffic, until the container starts
    /// again or is removed.
    OnSuccess,
}

/// How a container is registered whose HEALTHCHECK has no result yet. Default: critical.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StartingPolicy {
    /// It is registered, with a critical check.
    #[default]
    Critical,
    /// It is not registered yet.
    Absent,
}

/// Which foreign entries are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Adopt {
    /// Entries without an owner in their Meta, as registrator writes them.
    Registrator,
    /// Entries that another Portreeve wrote, or this one when its host had another name.
    Portreeve,
}

/// What happens to our entries at a clean stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// They stay: the containers go on serving.
    #[default]
    Keep,
    /// They are taken out of traffic until the next start.
    Maintenance,
    /// They are removed.
    Deregister,
}

/// How many entries may be removed in one pass without an event that reports their end: `10`, or `50%` (and at least
/// 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "MaxRemovalValue")]
pub enum MaxRemoval {
    /// This number.
    Count(usize),
    /// This percentage of all entries, and at least 3.
    Percent(u8),
}

impl MaxRemoval {
    /// The limit for `all` entries.
    pub fn limit_for(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (all * usize::from(percent) / 100).max(3),
        }
    }
}

impl FromStr for MaxRemoval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither a number nor a percentage up to 100%");
        match text.strip_suffix('%') {
            Some(percent) => {
                let percent = percent.parse().ok().filter(|percent| *percent <= 100);
                percent.map(Self::Percent).ok_or_else(wrong)
            }
            None => text.parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// The value in a configuration file.
#[derive(Deserialize)]
#[serde(untagged)]
enum MaxRemovalValue {
    Number(usize),
    Text(String),
}

impl TryFrom<MaxRemovalValue> for MaxRemoval {
    type Error = String;

    fn try_from(written: MaxRemovalValue) -> Result<Self, String> {
        match written {
            MaxRemovalValue::Number(count) => Ok(Self::Count(count)),
            MaxRemovalValue::Text(text) => text.parse(),
        }
    }
}

/// What is wrong with the settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterSettingsError {
    /// Only one of `ttl` and `ttl_refresh` is set.
    #[error("--ttl and --ttl-refresh must be given together")]
    TtlWithoutRefresh,
    /// The check would become critical before each refresh.
    #[error("--ttl must be longer than --ttl-refresh")]
    TtlTooShort,
    /// Other hosts could not reach the instances.
    #[error("--ip {0:?} is not an IP address or full host name at which other hosts can reach this host")]
    Ip(String),
    /// The host name cannot be the first part of an id.
    #[error(
        "--hostname {0:?} cannot be the first part of an id: it needs visible characters, without spaces around them"
    )]
    Hostname(String),
    /// The template would fail for every container.
    #[error("--tags is not a Handlebars template: {0}")]
    Tags(String),
    /// The network would have no effect.
    #[error("--network {0:?} chooses among a container's own addresses, so it needs --internal")]
    NetworkWithoutInternal(String),
    /// Registrator's value for "never".
    #[error(
        "--resync must not be 0: registrator's 0 means never, but Portreeve always needs a resync (it reads, and writes \
         only what differs); leave it out for 30s, or give a long time such as 24h"
    )]
    ResyncZero,
    /// The resyncs would leave no time for anything else.
    #[error("--resync must be at least 50ms")]
    ResyncTooShort,
    /// Registrator's default, which means no check.
    #[error("--{0} must not be 0: leave it out for no TTL check")]
    TtlZero(&'static str),
    /// A wait of length 0 would be a busy loop.
    #[error("--{0} must not be 0")]
    Zero(&'static str),
}

impl Settings {
    /// Each setting that differs from its default: `hostname=box`.
    pub fn non_default(&self) -> Vec<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let default = fields(&Self::default());
        let differing = fields(self).into_iter().filter(|(key, value)| default.get(key) != Some(value));
        let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        differing.map(|(key, value)| format!("{key}={}", text(value))).collect()
    }

    /// The Handlebars form of a Go template in `tags`; `None` if it is not a Go template.
    pub fn go_template(&self) -> Option<String> {
        self.tags.as_deref().and_then(tags::go_template)
    }

    /// Validates what the types cannot express.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub fn validate(&self) -> Result<(), RegisterSettingsError> {
        for (name, time) in [("ttl", self.ttl), ("ttl-refresh", self.ttl_refresh)] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(RegisterSettingsError::TtlZero(name));
            }
        }
        match (self.ttl, self.ttl_refresh) {
            (Some(_), None) | (None, Some(_)) => return Err(RegisterSettingsError::TtlWithoutRefresh),
            (Some(ttl), Some(refresh)) if ttl <= refresh => return Err(RegisterSettingsError::TtlTooShort),
            _ => {}
        }
        // 127.0.0.1 may be intended on a single machine; a note warns about it.
        let is_local = |ip: &str| ip.parse().is_ok_and(is_local_only);
        // A name without a dot is probably an interface or a typing error, not a host name that other hosts can
        // resolve.
        let host = |ip: &str| is_reachable_host(ip) && (ip.contains('.') || ip.parse::<IpAddr>().is_ok());
        let is_unusable_address = |ip: &&String| !(ip.is_empty() || host(ip) || is_local(ip));
        if let Some(ip) = self.ip.as_ref().filter(is_unusable_address) {
            return Err(RegisterSettingsError::Ip(ip.clone()));
        }
        if let Some(problem) = self.tags.as_deref().and_then(tags::template_problem) {
            return Err(RegisterSettingsError::Tags(problem));
        }
        let is_unusable =
            |name: &&String| name.trim() != name.as_str() || name.is_empty() || !limits::is_valid_id(name);
        if let Some(name) = self.hostname.as_ref().filter(is_unusable) {
            return Err(RegisterSettingsError::Hostname(name.clone()));
        }
        if let Some(network) = self.network.as_ref().filter(|network| !(network.is_empty() || self.internal)) {
            return Err(RegisterSettingsError::NetworkWithoutInternal(network.clone()));
        }
        if self.resync.is_zero() {
            return Err(RegisterSettingsError::ResyncZero);
        }
        if self.resync < Duration::from_millis(50) {
            return Err(RegisterSettingsError::ResyncTooShort);
        }
        let zero = [("retry-interval", self.retry_interval)];
        match zero.iter().find(|(_, time)| time.is_zero()) {
            Some((name, _)) => Err(RegisterSettingsError::Zero(name)),
            None => Ok(()),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ip: None,
            internal: false,
            network: None,
            explicit: false,
            use_ip_from_label: None,
            tags: None,
            hostname: None,
            allow_script_checks: false,
            deregister: DeregisterPolicy::default(),
            docker_health: true,
            docker_starting: StartingPolicy::default(),
            ttl: None,
            ttl_refresh: None,
            resync: Duration::from_secs(30),
            drain_return: Duration::from_secs(600),
            crash_starts: 5,
            crash_within: Duration::from_secs(120),
            crash_stable: Duration::from_secs(60),
            max_removal: MaxRemoval::Percent(50),
            adopt: None,
            on_exit: OnExit::default(),
            retry_attempts: -1,
            retry_interval: Duration::from_secs(2),
            watch: true,
        }
    }
}

impl Serialize for MaxRemoval {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for MaxRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_removals() {
        let of = |text: &str, all| text.parse::<MaxRemoval>().map(|max| max.limit_for(all));
        assert_eq!([of("50%", 100), of("50%", 4), of("0", 100), of("7", 3)], [Ok(50), Ok(3), Ok(0), Ok(7)]);
        assert!(of("101%", 1).is_err() && of("many", 1).is_err());
    }

    #[test]
    fn settings_that_differ_from_their_defaults() {
        assert_eq!(Settings::default().non_default(), [""; 0]);
        let resync = Duration::from_secs(5);
        let settings = Settings { internal: true, resync, hostname: Some("box".into()), ..Settings::default() };
        assert_eq!(settings.non_default(), ["hostname=box", "internal=true", "resync=5s"]);
    }

    #[test]
    fn a_ttl_needs_its_refresh() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let of = |ttl, ttl_refresh| Settings { ttl, ttl_refresh, ..Settings::default() }.validate();
        assert_eq!(of(None, None), Ok(()));
        assert_eq!(of(seconds(30), seconds(10)), Ok(()));
        assert_eq!(of(seconds(30), None), Err(RegisterSettingsError::TtlWithoutRefresh));
        assert_eq!(of(seconds(10), seconds(10)), Err(RegisterSettingsError::TtlTooShort));
        assert_eq!(of(seconds(0), None), Err(RegisterSettingsError::TtlZero("ttl")));
        assert_eq!(of(seconds(9), seconds(0)), Err(RegisterSettingsError::TtlZero("ttl-refresh")));
    }

    #[test]
    fn settings_without_effect_or_meaning_are_refused() {
        for (name, fits) in [("box", true), ("h\r", false), (" box", false), ("", false), ("../..", false)] {
            let settings = Settings { hostname: Some(name.into()), ..Settings::default() };
            assert_eq!(settings.validate().is_ok(), fits, "{name:?}");
        }
        let network = Settings { network: Some("a".into()), ..Settings::default() };
        assert_eq!(network.validate(), Err(RegisterSettingsError::NetworkWithoutInternal("a".into())));
        assert_eq!(Settings { internal: true, ..network }.validate(), Ok(()));
        assert_eq!(
            Settings { resync: Duration::ZERO, ..Settings::default() }.validate(),
            Err(RegisterSettingsError::ResyncZero)
        );
        let ip = |ip: &str| Settings { ip: Some(ip.into()), ..Settings::default() }.validate();
        for bad in [
            "a.localhost",
            "localhost.localdomain",
            "fe80::1%eth0",
            "127.1",
            "999.1.1.1",
            "10.0.0.5:8080",
            "10.0.0.0/24",
            "eth0",
            "a b",
            "0.0.0.0",
            "[::1]",
        ] {
            assert_eq!(ip(bad), Err(RegisterSettingsError::Ip(bad.into())));
        }
        for good in ["", "10.0.0.5", "2001:db8::1", "edge.example", "127.0.0.1", "::1", "169.254.1.1", "fe80::1"] {
            assert_eq!(ip(good), Ok(()), "{good:?}");
        }
    }
}
