//! The keys of `kind = "nginx"`.

use std::{path::PathBuf, time::Duration};

use super::DEFAULT_TIMEOUT;

/// An nginx on this host: `nginx -t` checks a copy, `SIGHUP` to the master reloads it, and new workers verify the
/// reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxSettings {
    /// The program, by path or by name on PATH. Default `nginx`.
    pub binary: PathBuf,
    /// The main configuration file of the running master (`-c`). Default: the one compiled in (`nginx -V`).
    pub conf: Option<PathBuf>,
    /// The prefix of the running master (`-p`). Default: the one compiled in.
    pub prefix: Option<PathBuf>,
    /// The pid file of the master. Default: the `pid` directive of `conf`, or the one compiled in.
    pub pid_file: Option<PathBuf>,
    /// The time limit of `nginx -t`. Default 30 s.
    pub check_timeout: Duration,
    /// The time limit for new workers to replace the old ones after a reload. Default 30 s.
    pub reload_timeout: Duration,
}

impl Default for NginxSettings {
    fn default() -> Self {
        Self {
            binary: "nginx".into(),
            conf: None,
            prefix: None,
            pid_file: None,
            check_timeout: DEFAULT_TIMEOUT,
            reload_timeout: DEFAULT_TIMEOUT,
        }
    }
}
