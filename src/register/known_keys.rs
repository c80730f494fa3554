//! The keys that `register` knows, and suggestions for misspelt ones. Pure.

use std::sync::LazyLock;

use crate::ui::suggest;

/// Keys that do not belong to a check. `host` and `path` are Meta that routing reads.
const SERVICE_KEYS: [&str; 11] =
    ["address", "advertise_port", "host", "id", "ignore", "name", "path", "ready", "tag_override", "tags", "weight"];

/// The kinds of checks, in order of precedence: registrator's order, then ours. If several are set, the first one wins.
pub(crate) const CHECK_KINDS: [&str; 9] = ["http", "https", "cmd", "script", "ttl", "tcp", "grpc", "h2ping", "docker"];

/// The settings of checks.
const CHECK_OPTIONS: [&str; 16] = [
    "body",
    "deregister_after",
    "failures_before_critical",
    "grpc_use_tls",
    "h2ping_use_tls",
    "header",
    "http_method",
    "https_method",
    "initial_status",
    "interval",
    "method",
    "name",
    "shell",
    "success_before_passing",
    "timeout",
    "tls_skip_verify",
];

/// Names that other programs use for a key, each with our name.
const FOREIGN_SPELLINGS: [(&str, &str); 4] =
    [("enable_tag_override", "tag_override"), ("ip", "address"), ("port", "advertise_port"), ("weights", "weight")];

/// All keys. Those of checks have no number.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let checks = CHECK_KINDS.iter().chain(&CHECK_OPTIONS).map(|name| format!("check_{name}"));
    SERVICE_KEYS.iter().map(|key| (*key).to_owned()).chain(checks).collect()
});

/// Splits the key of a check into its number and its setting; `None` for other keys.
pub(crate) fn parse_check_key(key: &str) -> Option<(Option<&str>, &str)> {
    let rest = key.strip_prefix("check_")?;
    let numbered = rest.split_once('_').filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    Some(numbered.map_or((None, rest), |(number, name)| (Some(number), name)))
}

/// Whether `register` knows the key.
pub(crate) fn is_known(key: &str) -> bool {
    match parse_check_key(key) {
        Some((number, name)) => {
            let is_valid_number = number.is_none_or(|number| !number.starts_with('0') && number.parse::<u32>().is_ok());
            is_valid_number && (CHECK_KINDS.contains(&name) || CHECK_OPTIONS.contains(&name))
        }
        None => SERVICE_KEYS.contains(&key),
    }
}

/// The known key that was probably intended.
pub(crate) fn suggestion(key: &str) -> Option<String> {
    if let Some((Some(number), name)) = parse_check_key(key) {
        let name = suggest::nearest(name, CHECK_KINDS.into_iter().chain(CHECK_OPTIONS), 2).first().copied()?;
        return Some(format!("check_{number}_{name}"));
    }
    if let Some((_, ours)) = FOREIGN_SPELLINGS.iter().find(|(theirs, _)| *theirs == key) {
        return Some((*ours).to_owned());
    }
    // Any other key becomes Meta, so only one that is very similar to a known key is likely to be misspelt. A key of a
    // check cannot become Meta.
    let max_distance = if key.starts_with("check_") { 3 } else { 1 };
    suggest::nearest(key, KEYS.iter().map(String::as_str), max_distance).first().map(|key| (*key).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::register::{
        Settings,
        fixture::{self, container},
        host::Host,
        instances::port_outcomes,
    };

    #[test]
    fn suggestions_for_misspelt_keys() {
        let cases = [
            ("naem", Some("name")),
            ("nam", Some("name")),
            ("tag", Some("tags")),
            ("check_htp", Some("check_http")),
            ("check_2_htp", Some("check_2_http")),
            ("chek_http", Some("check_http")),
            ("check_intervall", Some("check_interval")),
            ("check_initial_state", Some("check_initial_status")),
            ("ip", Some("address")),
            ("region", None),
            ("team", None),
            ("args", None),
            ("check_xyzzy", None),
        ];
        for (key, expected) in cases {
            assert_eq!(suggestion(key).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn numbers_of_checks_begin_at_1() {
        for (key, known) in
            [("check_1_http", true), ("check_0_http", false), ("check_01_tcp", false), ("check_1_htp", false)]
        {
            assert_eq!(is_known(key), known, "{key}");
        }
    }

    #[test]
    fn register_knows_the_same_keys() {
        let host = Host { settings: Settings { allow_script_checks: true, ..Settings::default() }, ..fixture::host() };
        let instance = |name: &str, value: &str| {
            let web = container("w").publish("80/tcp", &["0.0.0.0:1"]).env(name, value);
            port_outcomes(&web, &BTreeMap::new(), &host, Timestamp::UNIX_EPOCH).remove(0).instance
        };
        for kind in CHECK_KINDS {
            let made = instance(&format!("SERVICE_CHECK_{}", kind.to_uppercase()), "10s").expect("registered");
            assert_eq!(made.checks.len(), 1, "{kind}");
        }
        for key in SERVICE_KEYS.iter().filter(|key| !["host", "ignore", "path"].contains(key)) {
            let made = instance(&format!("SERVICE_{}", key.to_uppercase()), "1").expect("registered");
            assert!(!made.meta.contains_key(*key) || *key == "weight", "{key} is Meta only");
        }
    }
}
