//! Predicts what Consul refuses or cannot serve. Pure.
//!
//! Each function that ends in `problem` returns why a value is refused, or `None` if Consul accepts it.

use crate::{
    core::value::is_unprintable,
    registry::{Check, CheckProbe, Instance},
};

/// The longest duration that Go can represent, in seconds (63 bits of nanoseconds).
const MAX_DURATION_SECONDS: f64 = 9.2e9;

/// The maximum length of a DNS label, in bytes (RFC 1035).
const MAX_DNS_LABEL: usize = 63;

/// The maximum number of Meta pairs of a service (`metaMaxKeyPairs` in Consul's agent/structs).
pub(crate) const MAX_META_PAIRS: usize = 64;

/// The maximum length of a Meta key, in bytes (`metaKeyMaxLength`).
const MAX_META_KEY_LENGTH: usize = 128;

/// The maximum length of a Meta value, in bytes (`metaValueMaxLength`).
const MAX_META_VALUE_LENGTH: usize = 512;

/// Meta keys with this prefix are reserved for Consul.
const RESERVED_META_PREFIX: &str = "consul-";

/// The maximum weight of a service: the limit of a DNS SRV record.
pub(crate) const MAX_WEIGHT: u32 = 65_535;

/// The tagged addresses that Consul itself reads (`TaggedAddress…` in agent/structs), and `virtual` of its mesh.
const RESERVED_ADDRESS_NAMES: [&str; 7] = ["lan", "lan_ipv4", "lan_ipv6", "wan", "wan_ipv4", "wan_ipv6", "virtual"];

/// Why DNS cannot serve a service of this name. Consul registers it anyway, and only logs a warning.
pub(crate) fn dns_name_problem(name: &str) -> Option<String> {
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

/// Consul accepts durations such as `10s`, `1m30s` and `500ms`, and no number without a unit.
pub(crate) fn duration_problem(text: &str) -> Option<String> {
    let seconds = duration_seconds(text);
    let has_no_unit = text.parse::<f64>().is_ok();
    match seconds {
        Some(seconds) if seconds > MAX_DURATION_SECONDS => {
            Some(format!("{text:?} is longer than 292 years, the limit of Consul"))
        }
        Some(seconds) if seconds > 0.0 => None,
        Some(_) => Some(format!("{text:?} is not longer than 0: write it like 10s")),
        None if has_no_unit => Some(format!("{text:?} has no unit: write it like {text}s")),
        None => Some(format!("{text:?} is not a duration: write it like 10s or 1m30s")),
    }
}

/// Consul accepts `passing`, `warning` and `critical` as the status of a check before its first result.
pub(crate) fn initial_status_problem(text: &str) -> Option<String> {
    let known = ["passing", "warning", "critical"].contains(&text);
    (!known).then(|| format!("{text:?} is not a status: it is passing, warning or critical"))
}

/// All problems of an instance.
pub(crate) fn instance_problems(instance: &Instance) -> Vec<String> {
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

/// The length of a duration in Go's notation, in seconds; `None` if it is not one.
pub(crate) fn duration_seconds(text: &str) -> Option<f64> {
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

/// The key with each character that Consul does not accept in a Meta key replaced by `_` (`metaKeyFormat`).
pub(crate) fn to_meta_key(key: &str) -> String {
    let accepted = |char: char| if char.is_ascii_alphanumeric() || "_-".contains(char) { char } else { '_' };
    key.chars().map(accepted).collect()
}

/// Why Consul refuses a Meta pair. `key` is from [`to_meta_key`].
pub(crate) fn meta_problem(key: &str, value: &str) -> Option<String> {
    if key.len() > MAX_META_KEY_LENGTH {
        Some(format!("its key is longer than {MAX_META_KEY_LENGTH} characters"))
    } else if value.len() > MAX_META_VALUE_LENGTH {
        Some(format!("its value is longer than {MAX_META_VALUE_LENGTH} bytes"))
    } else if key.starts_with(RESERVED_META_PREFIX) {
        Some("its key is reserved for Consul".to_owned())
    } else {
        None
    }
}

/// Whether Consul itself uses tagged addresses of this name.
pub(crate) fn is_reserved_address_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED_ADDRESS_NAMES.contains(&name.as_str()) || name.starts_with("consul-virtual")
}

/// Whether a service with this id can be deregistered. The id becomes a part of a URL path, and the path is normalized
/// before Consul reads the id from it.
pub(crate) fn is_valid_id(text: &str) -> bool {
    !text.chars().any(is_unprintable) && text.split('/').all(|part| !["", ".", ".."].contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture;

    #[test]
    fn ids_that_can_be_deregistered() {
        for good in ["host:web:80", "a/b c?d#e%41"] {
            assert!(is_valid_id(good), "{good}");
        }
        for bad in ["", "a//b", "./x", "x/..", "/lead", "..", "a\nb"] {
            assert!(!is_valid_id(bad), "{bad:?}");
        }
    }
    #[test]
    fn names_that_dns_can_serve() {
        let long = "a".repeat(64);
        for bad in ["", "a_b", "a.b", "ünï", "-a", "a-", &long] {
            assert!(dns_name_problem(bad).is_some(), "{bad:?}");
        }
        for good in ["a", "web-80", "80", &long[..63]] {
            assert_eq!(dns_name_problem(good), None);
        }
    }

    #[test]
    fn durations_in_the_notation_of_go() {
        for good in ["10s", "1m30s", "500ms", "1.5h", "10us", ".5s"] {
            assert_eq!(duration_problem(good), None, "{good}");
        }
        for bad in ["", "10", "s", "10 s", "10d", "1m30", "0", "0s", "-1s", "1..s", "9999999999h"] {
            assert!(duration_problem(bad).is_some(), "{bad}");
        }
        assert_eq!(duration_problem("10").as_deref(), Some("\"10\" has no unit: write it like 10s"));
    }

    #[test]
    fn all_problems_of_an_instance_are_reported() {
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
