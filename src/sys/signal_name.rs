//! Names of signals.

use std::str::FromStr;

use nix::sys::signal::Signal;

/// Parses `SIGHUP`, `HUP` or `hup`.
pub(crate) fn parse(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    Signal::from_str(&format!("SIG{}", name.strip_prefix("SIG").unwrap_or(&name))).ok()
}
