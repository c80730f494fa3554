//! Settings from the environment.

use std::env;
use std::fs;
use std::time::Duration;

/// The settings of one container.
pub struct Settings {
    /// The name in each answer.
    pub name: String,
    /// The version in each answer.
    pub version: String,
    /// The TCP ports that it listens on.
    pub ports: Vec<u16>,
    /// How long it serves after SIGTERM.
    pub grace: Duration,
}

impl Settings {
    /// Reads the environment. An error names the variable.
    pub fn from_environment() -> Result<Self, String> {
        let ports = variable("PORTS", "8080");
        let grace = variable("GRACE_MS", "400");
        Ok(Self {
            name: env::var("NAME").or_else(|_| host_name())?,
            version: variable("VERSION", "v1"),
            ports: ports
                .split(',')
                .map(|port| port.trim().parse().map_err(|e| format!("PORTS={ports}: {e}")))
                .collect::<Result<_, _>>()?,
            grace: Duration::from_millis(grace.parse().map_err(|e| format!("GRACE_MS={grace}: {e}"))?),
        })
    }
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn host_name() -> Result<String, String> {
    let path = "/proc/sys/kernel/hostname";
    let name = fs::read_to_string(path).map_err(|e| format!("NAME is not set, and {path}: {e}"))?;
    Ok(name.trim().to_owned())
}
