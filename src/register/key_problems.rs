//! Finds variables and labels that look like our keys but have no effect, or not the intended one. Pure.

use super::{known_keys, metadata::KeyScope};
use crate::{docker::Protocol, ui::suggest};

/// What is wrong with a variable or label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyProblem {
    /// The problem; begins with the name of the variable or label.
    pub(crate) message: String,
    /// How to correct it.
    pub(crate) help: Option<String>,
    /// Whether it has no effect at all. Otherwise it becomes Meta, which may be intended.
    pub(crate) has_no_effect: bool,
}

impl KeyProblem {
    fn without_effect(message: String) -> Self {
        Self { message, help: None, has_no_effect: true }
    }

    fn meta(message: String) -> Self {
        Self { has_no_effect: false, ..Self::without_effect(message) }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Reports an unknown setting of a check, and a Meta key that is very similar to a known key.
pub(crate) fn unknown_key(name: &str, key: &str) -> Option<KeyProblem> {
    if known_keys::is_known(key) || port_like_prefix(key).is_some() {
        return None;
    }
    let intended =
        known_keys::suggestion(key).map(|intended| format!("did you mean {}?", respelled(name, key, &intended)));
    match (known_keys::parse_check_key(key), intended) {
        (Some((Some(number), rest)), _) if known_keys::is_known(&format!("check_{rest}")) => {
            let problem =
                KeyProblem::without_effect(format!("{name} has no effect: {number:?} is not a number of a check"));
            Some(problem.help("checks are numbered 1, 2, 3"))
        }
        (Some(_), help) => {
            let problem = KeyProblem::without_effect(format!("{name} has no effect: checks have no such setting"));
            Some(KeyProblem { help, ..problem })
        }
        (None, Some(help)) => Some(KeyProblem::meta(format!("{name} only becomes the Meta key {key:?}")).help(help)),
        (None, None) => None,
    }
}

/// Reports a key whose prefix looks like a port but is not one, and an empty range of ports.
pub(crate) fn invalid_port(name: &str, scope: KeyScope, key: &str) -> Option<KeyProblem> {
    match scope {
        KeyScope::Global => {
            let prefix = port_like_prefix(key)?;
            let message = format!(
                "{name} applies to no port, since {prefix:?} is not a port: it only becomes the Meta key {key:?}"
            );
            let intended = prefix.replace('o', "0").replace(['i', 'l'], "1").replace('/', "_");
            let help = if intended == prefix {
                "a port is followed by a key: SERVICE_80_NAME".to_owned()
            } else {
                format!("did you mean {}?", respelled(name, key, &key.replacen(prefix, &intended, 1)))
            };
            Some(KeyProblem::meta(message).help(help))
        }
        KeyScope::Range(first, last) if first > last => {
            let message = format!("{name} applies to no port: the range {first}-{last} ends before it begins");
            Some(KeyProblem::without_effect(message).help(format!("write {last}-{first}")))
        }
        KeyScope::Port(_) => {
            let (protocol, _) = key.split_once('_').filter(|(_, rest)| known_keys::is_known(rest))?;
            let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(Protocol::as_str);
            let intended = suggest::nearest(protocol, all, 1).first().copied()?;
            let message = format!("{name} only becomes the Meta key {key:?}: {protocol:?} is not a protocol");
            let help = format!("did you mean {}?", respelled(name, key, &key.replacen(protocol, intended, 1)));
            Some(KeyProblem::meta(message).help(help))
        }
        _ => None,
    }
}

/// Reports a variable or label that looks like ours but that [`Metadata`](super::metadata::Metadata) does not read.
pub(crate) fn unread_key(name: &str, label: bool) -> Option<KeyProblem> {
    if !label && name.starts_with("portreeve.") {
        let problem = KeyProblem::without_effect(format!("{name} is read from labels only"));
        return Some(problem.help(format!("make it a label, or write {}", service_spelling(name))));
    }
    if is_prefixed(name) {
        let problem = KeyProblem::without_effect(format!("{name} is not read: there is no such port, or no key"));
        return Some(problem.help("ports go from 1 to 65535, without leading zeros"));
    }
    let correct_name = if name.to_ascii_lowercase().starts_with("service_") {
        service_spelling(name)
    } else if label && name.to_ascii_lowercase().starts_with("portreeve.") {
        name.to_lowercase()
    } else {
        return None;
    };
    // Other programs use similar names, so only what would be a known key is reported.
    let key = correct_name.split_once(['_', '.']).map(|(_, key)| key.to_lowercase().replace('.', "_"))?;
    let key = key.split_once('_').filter(|(port, _)| port.parse::<u16>().is_ok()).map_or(key.as_str(), |(_, key)| key);
    let problem = KeyProblem::meta(format!("{name} is not read: its prefix is case-sensitive"));
    known_keys::is_known(key).then(|| problem.help(format!("write {correct_name}")))
}

/// Whether a name has one of our prefixes.
pub(crate) fn is_prefixed(name: &str) -> bool {
    name.starts_with("SERVICE_") || name.starts_with("portreeve.")
}

/// The prefix of a global key that looks like a port: `8o` of `8o_name`, `80/tcp` of `80/tcp_name`, `80` of `80`.
fn port_like_prefix(key: &str) -> Option<&str> {
    let (prefix, rest) = key.split_once('_').unwrap_or((key, ""));
    let digit = |char: char| char.is_ascii_digit() || "oil".contains(char);
    let number = prefix.contains(|char: char| char.is_ascii_digit())
        && (prefix.starts_with(|char: char| char.is_ascii_digit()) || prefix.chars().all(digit));
    let rest =
        rest.split_once('_').filter(|(protocol, _)| protocol.parse::<Protocol>().is_ok()).map_or(rest, |(_, key)| key);
    (number && (rest.is_empty() || known_keys::is_known(rest))).then_some(prefix)
}

/// `portreeve.80.check.http` and `service_80_check_http` as `SERVICE_80_CHECK_HTTP`.
fn service_spelling(name: &str) -> String {
    let key = name.get("service_".len()..).filter(|_| !name.starts_with("portreeve."));
    let key = key.or_else(|| name.strip_prefix("portreeve.")).unwrap_or(name);
    format!("SERVICE_{}", key.replace('.', "_").to_uppercase())
}

/// The name with another key, in the same style.
fn respelled(name: &str, key: &str, intended: &str) -> String {
    let before = name.len().saturating_sub(key.len());
    let before = name.get(..before).unwrap_or_default();
    if before.starts_with("portreeve.") {
        // A setting of a check is written with underscores: check.initial_status.
        let intended =
            intended.strip_prefix("check_").map_or_else(|| intended.to_owned(), |rest| format!("check.{rest}"));
        format!("{before}{intended}")
    } else {
        format!("{before}{}", intended.to_uppercase())
    }
}
