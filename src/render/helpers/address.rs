//! `hostPort` and `serverName` format an address or a host name; `hostName` and `ipAddress` check one.

use std::net::IpAddr;

use serde_json::Value;

use super::{HelperCall, HelperDefinition, print::excerpt, pure_helper};

pub(super) const ALL: &[HelperDefinition] = &[
    pure_helper("hostPort", 2..=2, &[], host_port),
    pure_helper("hostName", 1..=1, &[&["wildcard"]], host_name),
    pure_helper("ipAddress", 1..=1, &[], ip_address),
    pure_helper("serverName", 1..=1, &[], server_name),
];

/// The longest name that fits into nginx's hash table of server names, whose default bucket has 64 bytes.
const MAX_SERVER_NAME_LENGTH: usize = 46;

/// `address:port`, with brackets around an IPv6 address.
fn host_port(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let (address, port) = (call.text(0)?, call.text(1)?);
    Ok(Value::String(with_port(&address, &port)))
}

pub(super) fn with_port(address: &str, port: &str) -> String {
    let bare_v6 = address.contains(':') && !address.starts_with('[');
    if bare_v6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Whether the argument is a valid host name; false if it is missing. With `wildcard=true`, patterns such as
/// `*.example.com` are valid too.
fn host_name(call: &HelperCall<'_, '_>) -> Result<Value, String> {
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

/// Whether a resolver could know the name. A name whose last label is a number is a malformed IPv4 address.
pub(super) fn is_resolvable_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    is_host_name(text, false) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the argument is an IPv4 or IPv6 address; false if it is missing.
fn ip_address(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    Ok(Value::Bool(call.text(0).is_ok_and(|text| is_ip_address(&text))))
}

pub(super) fn is_ip_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// A host or pattern for nginx's `server_name`. A name that does not fit into nginx's hash table becomes a regular
/// expression: nginx would reject the whole configuration, and the size of the table is a global setting.
fn server_name(call: &HelperCall<'_, '_>) -> Result<Value, String> {
    let host = call.text(0)?;
    if !is_host_name(&host, true) {
        return Err(format!("{} is neither a host name nor a pattern such as *.example.com", excerpt(&host)));
    }
    if host.len() <= MAX_SERVER_NAME_LENGTH {
        return Ok(Value::String(host));
    }
    // nginx compares it with the request's host in lower case.
    let quoted = host.to_ascii_lowercase().replace('.', "\\.");
    let quoted = match quoted.strip_prefix("*\\.").or_else(|| quoted.strip_suffix("\\.*")) {
        Some(rest) if quoted.starts_with('*') => format!(".+\\.{rest}"),
        Some(rest) => format!("{rest}\\..+"),
        None => quoted.strip_prefix("\\.").map_or_else(|| quoted.clone(), |rest| format!("(.+\\.)?{rest}")),
    };
    Ok(Value::String(format!("~^{quoted}$")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_name_consists_of_labels() {
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

    #[test]
    fn resolvable_name_is_not_a_malformed_address() {
        for name in ["web", "web.v2", "1.example.com", "x-1"] {
            assert!(is_resolvable_name(name), "{name}");
        }
        for wrong in ["999.1.1.1", "10.0.0.7", "1", "10.1", "a.b.1", "", "::1", "[::1]", "a b"] {
            assert!(!is_resolvable_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_long_server_name_is_a_regular_expression() {
        let long = "x".repeat(46);
        let data = serde_json::json!({ "at": long, "over": format!("{long}.De"), "wild": format!("*.{long}.de"),
            "dot": format!(".{long}.de"), "end": format!("{long}.www.*") });
        crate::render::helpers::test_support::assert_values(
            &data,
            &[
                ("(serverName at)", &format!("\"{long}\"")),
                ("(serverName over)", &format!("\"~^{long}\\\\.de$\"")),
                ("(serverName wild)", &format!("\"~^.+\\\\.{long}\\\\.de$\"")),
                ("(serverName dot)", &format!("\"~^(.+\\\\.)?{long}\\\\.de$\"")),
                ("(serverName end)", &format!("\"~^{long}\\\\.www\\\\..+$\"")),
            ],
        );
        crate::render::helpers::test_support::assert_errors(
            &data,
            &[(r#"(serverName "a;b")"#, "is neither a host name")],
        );
    }
}
