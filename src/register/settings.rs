//! What a user can set for `register`. Pure.

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
    /// The address for every instance. Default: the address that the registry's agent advertises.
    pub ip: Option<String>,
    /// Register containers at their own addresses and ports. Default false.
    pub internal: bool,
    /// Under `internal`: the network whose address counts. Default: the only one, or the one that it was started with.
    pub network: Option<String>,
    /// Register only ports that a `SERVICE_NAME` is given for. Default false.
    pub explicit: bool,
    /// A label that holds the address of a container's instances.
    pub use_ip_from_label: Option<String>,
    /// More tags for every instance: a comma list, a Handlebars template over the container.
    pub tags: Option<String>,
    /// The first part of each service id. Default: the name that the Docker engine has for its host.
    pub hostname: Option<String>,
    /// Checks that make Consul's agent run a command (`CHECK_SCRIPT`, `CHECK_CMD`, `CHECK_DOCKER`) are registered.
    /// Default false: the variables of an image could ask for them.
    pub allow_script_checks: bool,
    /// When entries of containers that have ended are removed. Default: always.
    pub deregister: DeregisterPolicy,
    /// Whether Docker's HEALTHCHECK becomes a check. Default true.
    pub docker_health: bool,
    /// What a container is whose HEALTHCHECK has no verdict yet. Default: critical.
    pub docker_starting: StartingPolicy,
    /// Each instance gets a check that is critical when we have not refreshed it for so long. Default: none.
    #[serde(with = "humantime_serde")]
    pub ttl: Option<Duration>,
    /// How often that check is refreshed; less than `ttl`, and given together with it.
    #[serde(with = "humantime_serde")]
    pub ttl_refresh: Option<Duration>,
    /// Time between two full looks at Docker and at the registry. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub resync: Duration,
    /// A container that still runs so long after it was told to stop gets traffic again. Default 10 min.
    #[serde(with = "humantime_serde")]
    pub drain_return: Duration,
    /// A container that starts so often within `crash_within` is in a crash loop. Default 5.
    pub crash_starts: usize,
    /// See `crash_starts`. Default 2 min.
    #[serde(with = "humantime_serde")]
    pub crash_within: Duration,
    /// A container in a crash loop gets traffic again when it has run for so long. Default 1 min.
    #[serde(with = "humantime_serde")]
    pub crash_stable: Duration,
    /// How many entries may be removed at once although no event said why. Default half of them, and at least 3.
    pub max_removal: MaxRemoval,
    /// Take over entries that somebody else wrote for the same ids. Default: nobody's.
    pub adopt: Option<Adopt>,
    /// What happens to the entries at a clean stop. Default: they stay.
    pub on_exit: OnExit,
    /// How many more times the registry is tried at the start before we give up; negative: for ever. Default -1.
    pub retry_attempts: i64,
    /// The time between two of these tries. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub retry_interval: Duration,
    /// The configuration file is read again when it is saved. Default true.
    pub watch: bool,
}

/// When entries of containers that have ended are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeregisterPolicy {
    /// Whatever the exit code was.
    #[default]
    Always,
    /// Only after exit code 0 or a signal; after a failure the entry stays, out of traffic, until the container starts
    /// again or is removed.
    OnSuccess,
}

/// What a container is whose HEALTHCHECK has no verdict yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StartingPolicy {
    /// Registered, and critical.
    #[default]
    Critical,
    /// Not registered yet.
    Absent,
}

/// Whose entries are taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Adopt {
    /// Those that carry nobody's mark, as registrator writes them.
    Registrator,
    /// Those that another Portreeve wrote, or this one when its host had another name.
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

/// How many entries may be removed at once although no event said why: `10`, or `50%` (and at least 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "MaxRemovalValue")]
pub enum MaxRemoval {
    /// So many.
    Count(usize),
    /// So many in a hundred, and at least 3.
    Percent(u8),
}

impl MaxRemoval {
    /// How many of `all` that is.
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

/// As it may stand in a file.
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
    /// One without the other.
    #[error("--ttl and --ttl-refresh must be given together")]
    TtlWithoutRefresh,
    /// The check would be critical before each refresh.
    #[error("--ttl must be longer than --ttl-refresh")]
    TtlTooShort,
    /// Nobody would reach it.
    #[error("--ip {0:?} is no IP address or full host name under which others reach this host")]
    Ip(String),
    /// Every id begins with it.
    #[error(
        "--hostname {0:?} cannot be the first part of an id: it needs visible characters, without spaces around them"
    )]
    Hostname(String),
    /// It would fail for every container.
    #[error("--tags is no Handlebars template: {0}")]
    Tags(String),
    /// It would have no effect.
    #[error("--network {0:?} chooses among a container's own addresses, so it needs --internal")]
    NetworkWithoutInternal(String),
    /// Registrator's word for "never".
    #[error(
        "--resync must not be 0: registrator's 0 is never, and Portreeve always looks again (a resync reads, and writes \
         only what differs); leave it out for 30s, or give a long time such as 24h"
    )]
    ResyncZero,
    /// Looking again and again would be all that we do.
    #[error("--resync must be at least 50ms")]
    ResyncTooShort,
    /// Registrator's default, which asks for nothing.
    #[error("--{0} must not be 0: leave it out for no TTL check")]
    TtlZero(&'static str),
    /// A wait of nothing would never end.
    #[error("--{0} must not be 0")]
    Zero(&'static str),
}

impl Settings {
    /// Each setting that is not as by default: `hostname=box`.
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

    /// What a Go template in `tags` is called here; `None` if there is none.
    pub fn go_template(&self) -> Option<String> {
        self.tags.as_deref().and_then(tags::go_template)
    }

    /// Checks what the types cannot say.
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
        // 127.0.0.1 may be meant, on a machine that is alone; that is told then.
        let closed = |ip: &str| ip.parse().is_ok_and(is_local_only);
        // A name without a dot is probably an interface or a typing error, not a host that other hosts can resolve.
        let host = |ip: &str| is_reachable_host(ip) && (ip.contains('.') || ip.parse::<IpAddr>().is_ok());
        let unusable = |ip: &&String| !(ip.is_empty() || host(ip) || closed(ip));
        if let Some(ip) = self.ip.as_ref().filter(unusable) {
            return Err(RegisterSettingsError::Ip(ip.clone()));
        }
        if let Some(problem) = self.tags.as_deref().and_then(tags::template_problem) {
            return Err(RegisterSettingsError::Tags(problem));
        }
        let unfit = |name: &&String| name.trim() != name.as_str() || name.is_empty() || !limits::is_valid_id(name);
        if let Some(name) = self.hostname.as_ref().filter(unfit) {
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
    fn how_many_may_go() {
        let of = |text: &str, all| text.parse::<MaxRemoval>().map(|max| max.limit_for(all));
        assert_eq!([of("50%", 100), of("50%", 4), of("0", 100), of("7", 3)], [Ok(50), Ok(3), Ok(0), Ok(7)]);
        assert!(of("101%", 1).is_err() && of("many", 1).is_err());
    }

    #[test]
    fn what_differs_from_the_defaults() {
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
    fn what_has_no_effect_or_no_meaning_is_refused() {
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
