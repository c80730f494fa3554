//! `hostPort`: an address as others write it; `hostName` and `ipAddress`: whether it is one.

use std::net::IpAddr;

use serde_json::Value;

use super::{Call, Definition, pure};

pub(super) const ALL: &[Definition] = &[
    pure("hostPort", 2..=2, &[], host_port),
    pure("hostName", 1..=1, &["wildcard"], host_name),
    pure("ipAddress", 1..=1, &[], ip_address),
];

/// `address:port`; an IPv6 address gets its brackets.
fn host_port(call: &Call<'_, '_>) -> Result<Value, String> {
    let (address, port) = (call.text(0)?, call.text(1)?);
    Ok(Value::String(with_port(&address, &port)))
}

pub(super) fn with_port(address: &str, port: &str) -> String {
    let bare_v6 = address.contains(':') && !address.starts_with('[');
    if bare_v6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Whether it is a host's name, or could be. What is not there is none. `wildcard`: or a pattern such as `*.example.com`.
fn host_name(call: &Call<'_, '_>) -> Result<Value, String> {
    let wildcard = call.flag("wildcard")?;
    Ok(Value::Bool(call.text(0).is_ok_and(|text| is_host_name(&text, wildcard))))
}

fn is_host_name(text: &str, wildcard: bool) -> bool {
    let name = if wildcard {
        let rest = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).or_else(|| text.strip_suffix(".*"));
        rest.unwrap_or(text)
    } else {
        text
    };
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.len() <= 253 && name.split('.').all(label)
}

/// Whether it is an IPv4 or IPv6 address. What is not there is none.
fn ip_address(call: &Call<'_, '_>) -> Result<Value, String> {
    Ok(Value::Bool(call.text(0).is_ok_and(|text| text.parse::<IpAddr>().is_ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_made_of_labels() {
        for name in ["web", "web.v2", "Web-UPPER", "under_score", "10.0.0.7", "-"] {
            assert!(is_host_name(name, false), "{name}");
        }
        for name in ["", ".", "a..b", "a/b", "a:80", "größe", "a b", "*", "a*.b", "~^a", "::1", &"a".repeat(254)] {
            assert!(!is_host_name(name, false) && !is_host_name(name, true), "{name}");
        }
        for pattern in ["*.example.com", ".example.com", "www.example.*"] {
            assert!(is_host_name(pattern, true) && !is_host_name(pattern, false), "{pattern}");
        }
        assert!(!is_host_name("*.example.*", true));
    }
}
