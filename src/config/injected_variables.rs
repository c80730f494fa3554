//! Variables that a platform sets in a container because another service is called `portreeve`. Pure.
//!
//! Kubernetes sets variables for every service of the namespace: `PORTREEVE_SERVICE_HOST`,
//! `PORTREEVE_PORT_8500_TCP_ADDR`. Docker's links set `PORTREEVE_NAME`, `PORTREEVE_ENV_PATH`. If the service is called
//! `portreeve-register`, the same suffixes follow the name of one of Portreeve's sections. No setting of Portreeve ends
//! like this.

/// Whether a name (in lower case, without `PORTREEVE_`) has one of these forms.
pub(super) fn is_injected(name: &str, value: &str) -> bool {
    let name = format!("_{name}");
    let is_service =
        name.ends_with("_service_host") || name.ends_with("_service_port") || name.contains("_service_port_");
    // The name of a link is a path, `/web/consul`; `HOST_NAME=box` is a misspelt setting.
    let is_link = name == "_name" || (name.ends_with("_name") && value.starts_with('/')) || name.contains("_env_");
    is_service || is_link || name.ends_with("_port") || is_numbered_port(&name)
}

/// `…_port_8500_tcp`, alone or followed by `_addr`, `_port`, `_proto`, `_start` or `_end`.
fn is_numbered_port(name: &str) -> bool {
    name.match_indices("_port_").any(|(at, before)| {
        let mut words = name[at + before.len()..].split('_');
        let is_number = words.next().is_some_and(|number| number.parse::<u16>().is_ok());
        let is_protocol = words.next().is_some_and(|protocol| ["tcp", "udp", "sctp"].contains(&protocol));
        let is_end = words.next().is_none_or(|end| ["addr", "port", "proto", "start", "end"].contains(&end));
        is_number && is_protocol && is_end && words.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_variables_and_misspelt_settings() {
        for name in [
            "service_host",
            "service_port",
            "service_port_http",
            "port",
            "port_8500_tcp",
            "port_8500_tcp_proto",
            "port_8500_tcp_addr",
            "port_53_udp_port",
            "port_80_tcp_start",
            "name",
            "env_path",
            "register_service_host",
            "register_port_80_tcp_addr",
            "render_port",
            "1_port_80_tcp",
        ] {
            assert!(is_injected(name, "tcp://10.0.0.1:8500"), "{name}");
        }
        assert!(is_injected("consul_name", "/web/consul"));
        for name in
            ["register_ipp", "register_host_name", "resync", "register_ports", "port_x_tcp", "port_80_http", "service"]
        {
            assert!(!is_injected(name, "x"), "{name}");
        }
    }
}
