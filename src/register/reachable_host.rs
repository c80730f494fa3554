//! Addresses and host names that other hosts can reach. Pure.

use std::net::IpAddr;

/// The maximum length of a DNS label, in bytes (RFC 1035).
const MAX_LABEL: usize = 63;
/// The maximum length of a host name, in bytes (RFC 1035).
const MAX_NAME: usize = 253;

/// Whether a text is an IP address or a host name that means the same host everywhere, unlike `localhost`.
pub(crate) fn is_reachable_host(text: &str) -> bool {
    match text.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            !(ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast() || is_local_only(ip.into()))
        }
        Ok(IpAddr::V6(ip)) => !(ip.is_unspecified() || ip.is_multicast() || is_local_only(ip.into())),
        Err(_) => is_host_name(text) && !is_loopback_name(text),
    }
}

/// Whether an address is loopback or link-local, so that other hosts cannot reach it.
pub(super) fn is_local_only(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Whether a name means the local host, by RFC 6761 or by the usual entries in `/etc/hosts`.
fn is_loopback_name(text: &str) -> bool {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let aliases = ["localhost4", "localhost6", "ip6-localhost", "ip6-loopback", "loopback"];
    let is_local = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    is_local("localhost")
        || aliases.contains(&name.as_str())
        || ["localhost", "localhost4", "localhost6"].iter().any(|host| {
            name.strip_prefix(host)
                .is_some_and(|rest| [".localdomain", ".localdomain4", ".localdomain6"].contains(&rest))
        })
}

/// Whether a text is a host name as in RFC 1123; `_` is allowed too, since Docker's names contain it. If the last label
/// is a number, resolvers read the name as an IPv4 address in another notation (`127.1`, `0x7f000001`) or as an invalid
/// one (`999.1.1.1`).
fn is_host_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=MAX_LABEL).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= MAX_NAME && text.split('.').all(is_label) && !is_number(last)
}

/// Whether a label is a decimal or hexadecimal number.
fn is_number(text: &str) -> bool {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_other_hosts_reach() {
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
}
