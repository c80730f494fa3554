//! What Consul would refuse, or cannot serve. Pure.

use std::net::IpAddr;

use super::value_problems;
use crate::registry::{Check, CheckProbe, Instance, Status};

/// The longest time that Go has, in seconds: 64 bits of nanoseconds.
const MAX_GO_SECONDS: f64 = 9.2e9;

/// The longest label that DNS carries.
const MAX_DNS_LABEL: usize = 63;

/// What keeps DNS from carrying a service's name, if anything does. Consul takes such names, and only warns in its log.
pub fn dns_name_problem(name: &str) -> Option<String> {
    let odd = name.chars().find(|char| !(char.is_ascii_alphanumeric() || *char == '-'));
    if name.is_empty() {
        Some("the name is empty".to_owned())
    } else if let Some(odd) = odd {
        Some(format!("the name {name:?} contains {odd:?}: DNS carries letters, digits and - only"))
    } else if name.starts_with('-') || name.ends_with('-') {
        Some(format!("the name {name:?} begins or ends with -, which DNS does not carry"))
    } else if name.len() > MAX_DNS_LABEL {
        Some(format!("the name {name:?} has {} characters: DNS carries {MAX_DNS_LABEL}", name.len()))
    } else {
        None
    }
}

/// What Consul has against a duration, if anything: it takes `10s`, `1m30s`, `500ms`, and no bare number.
pub fn duration_problem(text: &str) -> Option<String> {
    let seconds = go_seconds(text);
    let bare = text.parse::<f64>().is_ok();
    match seconds {
        Some(seconds) if seconds > MAX_GO_SECONDS => {
            Some(format!("{text:?} is longer than Consul can count: 292 years"))
        }
        Some(seconds) if seconds > 0.0 => None,
        Some(_) => Some(format!("{text:?} is no time at all: write it like 10s")),
        None if bare => Some(format!("{text:?} has no unit: write it like {text}s")),
        None => Some(format!("{text:?} is no duration: write it like 10s or 1m30s")),
    }
}

/// What Consul has against a check's first status, if anything.
pub fn initial_status_problem(text: &str) -> Option<String> {
    let known = ["passing", "warning", "critical"].contains(&text);
    (!known).then(|| format!("{text:?} is no status: it is passing, warning or critical"))
}

/// Everything that Consul would say about an instance.
pub fn instance_problems(instance: &Instance) -> Vec<String> {
    let address = ["", "0.0.0.0", "::"].contains(&instance.address.as_str());
    let address = address.then(|| format!("Consul refuses the address {:?}", instance.address));
    let name = dns_name_problem(&instance.name);
    name.into_iter().chain(address).chain(instance.checks.iter().flat_map(check_problems)).collect()
}

fn check_problems(check: &Check) -> Vec<String> {
    let ttl = match &check.probe {
        CheckProbe::Report { ttl } => Some(ttl),
        _ => None,
    };
    let durations =
        [("interval", &check.interval), ("timeout", &check.timeout), ("deregister_after", &check.deregister_after)];
    let durations = durations.into_iter().filter_map(|(what, text)| Some((what, text.as_ref()?)));
    let durations = durations.chain(ttl.map(|ttl| ("ttl", ttl)));
    let durations = durations.filter_map(|(what, text)| Some((what, duration_problem(text)?)));
    let status =
        check.initial_status.as_deref().and_then(initial_status_problem).map(|problem| ("initial_status", problem));
    let refused = durations.chain(status);
    let mut all: Vec<_> =
        refused.map(|(what, problem)| format!("Consul refuses check {}: {what} {problem}", check.key)).collect();
    if matches!(check.probe, CheckProbe::Script { .. } | CheckProbe::Docker { .. }) {
        all.push(format!("check {} is a program: the agent needs enable_local_script_checks", check.key));
    }
    all
}

/// A duration as Go reads it, in seconds.
pub(super) fn go_seconds(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !(char.is_ascii_digit() || char == '.')).filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty()).then_some(seconds)
}

/// A status, for people.
pub(super) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Passing => "passing",
        Status::Warning => "warning",
        Status::Critical => "critical",
        Status::Maintenance => "in maintenance",
    }
}

/// Whether a text is an IP address or a host name, and does not mean another host on each host, as `localhost` does.
pub(crate) fn is_reachable_host(text: &str) -> bool {
    match text.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            !(ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() || is_local_only(ip.into()))
        }
        Ok(IpAddr::V6(ip)) => !(ip.is_unspecified() || ip.is_multicast() || is_local_only(ip.into())),
        Err(_) => is_host_name(text) && !is_loopback_name(text),
    }
}

/// Whether other hosts cannot reach an address: it is loopback or link-local.
pub(super) fn is_local_only(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Whether a name means the host itself, by RFC 6761 or by the usual entries in `/etc/hosts`.
fn is_loopback_name(text: &str) -> bool {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let known = ["localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"];
    let is_local = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_local("localhost")
        || known.contains(&name.as_str())
        || ["localhost", "localhost4", "localhost6"].iter().any(|host| {
            name.strip_prefix(host)
                .is_some_and(|rest| [".localdomain", ".localdomain4", ".localdomain6"].contains(&rest))
        })
}

/// A name as in RFC 1123, which may also contain `_`, as in Docker's names. If the last label is a number, resolvers
/// take the name for an IPv4 address in another notation (`127.1`, `0x7f000001`), or for an invalid one (`999.1.1.1`).
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=MAX_DNS_LABEL).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && !is_number(last)
}

/// Decimal or hexadecimal.
fn is_number(text: &str) -> bool {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Whether an entry with this id can be taken back: the id becomes a part of a path, which is tidied up on its way.
pub(crate) fn is_valid_id(text: &str) -> bool {
    !text.chars().any(value_problems::is_unprintable) && text.split('/').all(|part| !["", ".", ".."].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_others_reach() {
        for good in ["10.0.0.1", "2001:db8::1", "edge.example", "host_1", "a-b", "a.example.", "3com.example"] {
            assert!(is_reachable_host(good), "{good}");
        }
        for good in ["mylocalhost", "localhost.example", "0x.example", "fe.example", "::ffff:10.0.0.1"] {
            assert!(is_reachable_host(good), "{good}");
        }
        let bad = ["", "0.0.0.0", "::", "127.0.0.1", "::1", "[::1]", "localhost", "x;}evil", "http://x:80/", "a b"];
        let never = ["999.1.1.1", "256.0.0.1", "10.0.0", "1.2.3.4.5", "10.0.0.5:8080", "12", "010.0.0.1", "0.1.2.3"];
        let shapes =
            ["-a", "a-", "a..b", ".a", ".", "10.0.0.1.", "224.0.0.1", "ff02::1", "255.255.255.255", "localhost."];
        let closed = ["169.254.1.1", "fe80::1", "fe80::1%eth0", "::ffff:127.0.0.1", "127.1", "0x7f000001", "1.2.0x3"];
        let names =
            ["LOCALHOST", "ip6-localhost", "ip6-loopback", "foo.localhost", "a.b.LocalHost.", "localhost.localdomain"];
        let names = names.into_iter().chain(["localhost6.localdomain6", "localhost4"]);
        for bad in bad.into_iter().chain(never).chain(shapes).chain(closed).chain(names) {
            assert!(!is_reachable_host(bad), "{bad:?}");
        }
    }

    #[test]
    fn ids_that_can_be_taken_back() {
        for good in ["host:web:80", "a/b c?d#e%41"] {
            assert!(is_valid_id(good), "{good}");
        }
        for bad in ["", "a//b", "./x", "x/..", "/lead", "..", "a\nb"] {
            assert!(!is_valid_id(bad), "{bad:?}");
        }
    }
    use crate::register::fixture;

    #[test]
    fn names_that_dns_carries() {
        let long = "a".repeat(64);
        for bad in ["", "a_b", "a.b", "ünï", "-a", "a-", &long] {
            assert!(dns_name_problem(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "web-80", "80", &long[..63]] {
            assert_eq!(dns_name_problem(good), None);
        }
    }

    #[test]
    fn durations_as_go_has_them() {
        for good in ["10s", "1m30s", "500ms", "1.5h", "10us", ".5s"] {
            assert_eq!(duration_problem(good), None, "{good}");
        }
        for bad in ["", "10", "s", "10 s", "10d", "1m30", "0", "0s", "-1s", "1..s", "9999999999h"] {
            assert!(duration_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(duration_problem("10").as_deref(), Some("\"10\" has no unit: write it like 10s"));
    }

    #[test]
    fn an_instance_is_looked_at_as_a_whole() {
        let mut web = fixture::instance("1", "1");
        assert_eq!(instance_problems(&web), [""; 0]);
        web.name = "a_b".into();
        web.address = "::".into();
        web.checks.push(Check {
            key: "0".into(),
            name: None,
            probe: CheckProbe::Script { arguments: vec!["x".into()] },
            interval: Some("10".into()),
            timeout: None,
            initial_status: Some("good".into()),
            deregister_after: None,
            success_before_passing: None,
            failures_before_critical: None,
        });
        let problems = instance_problems(&web);
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(problems[2].starts_with("Consul refuses check 0: interval \"10\" has no unit"), "{problems:#?}");
    }
}
