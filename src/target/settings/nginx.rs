//! The keys of `kind = "nginx"`.

use std::{path::PathBuf, time::Duration};

use super::DEFAULT_TIMEOUT;

/// An nginx on this host: `nginx -t` on a staged copy, `SIGHUP` to the master, proof by its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NginxSettings {
    /// The program, by path or by name on PATH. Default `nginx`.
    pub binary: PathBuf,
    /// The main configuration file that the running master was started with (`-c`). Default: the one that the program
    /// was built with (`nginx -V`).
    pub conf: Option<PathBuf>,
    /// The prefix that the running master was started with (`-p`). Default: the one that the program was built with.
    pub prefix: Option<PathBuf>,
    /// Where the master wrote its pid. Default: the `pid` directive of `conf`, or the one that the program was built with.
    pub pid_file: Option<PathBuf>,
    /// How long `nginx -t` may take. Default 30 s.
    pub check_timeout: Duration,
    /// How long it may take until new workers have taken over after a reload. Default 30 s.
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
