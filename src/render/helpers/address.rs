//! `hostPort`: an address as others write it.

use serde_json::Value;

use super::{Call, Definition, pure};

pub(super) const ALL: &[Definition] = &[pure("hostPort", 2..=2, &[], host_port)];

/// `address:port`; an IPv6 address gets its brackets.
fn host_port(call: &Call<'_, '_>) -> Result<Value, String> {
    let (address, port) = (call.text(0)?, call.text(1)?);
    Ok(Value::String(with_port(&address, &port)))
}

pub(super) fn with_port(address: &str, port: &str) -> String {
    let bare_v6 = address.contains(':') && !address.starts_with('[');
    if bare_v6 { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
