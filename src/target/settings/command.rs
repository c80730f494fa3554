//! The keys of `kind = "command"`.

use std::{path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

use super::DEFAULT_TIMEOUT;

/// A check and a reload that the user names. Arguments are a list: no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettings {
    /// Run before any file is touched; exit code 0 means good. `{{candidate}}` in an argument stands for a copy of the
    /// candidate: with one template a file of the destination's name, with several a directory in which each lies under
    /// its whole path (`{{candidate}}/etc/app/a.conf`). Default: no check.
    pub check: Option<Vec<String>>,
    /// How the files become effective. Default: nothing is done.
    pub reload: Option<ReloadMethod>,
    /// How long `check` may take. Default 30 s.
    pub check_timeout: Duration,
    /// How long `reload` may take. Default 30 s.
    pub reload_timeout: Duration,
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self { check: None, reload: None, check_timeout: DEFAULT_TIMEOUT, reload_timeout: DEFAULT_TIMEOUT }
    }
}

impl CommandSettings {
    /// What its files become effective by, if that names nginx and nothing checks them.
    pub(super) fn unchecked_nginx(&self) -> Option<String> {
        let told = match self.reload.as_ref().filter(|_| self.check.is_none())? {
            ReloadMethod::Command(words) => words.join(" "),
            ReloadMethod::Signal { pid_file, .. } => pid_file.display().to_string(),
            ReloadMethod::Container { name, .. } => name.clone(),
        };
        ["nginx", "openresty", "angie", "tengine"].iter().any(|name| told.contains(name)).then_some(told)
    }
}

/// How a [`Command`] target's files become effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadMethod {
    /// A program and its arguments, the key `reload`; exit code 0 means that it took.
    Command(Vec<String>),
    /// A signal to the process whose pid stands in a file.
    Signal {
        /// Where the process wrote its pid; the key `pid_file`.
        pid_file: PathBuf,
        /// The key `signal`: `SIGHUP` and the like. Default `SIGHUP`.
        signal: Signal,
        /// The name that the process must have (`/proc/PID/comm`); the key `program`. Default: any, so a stale pid file
        /// can hit a stranger.
        program: Option<String>,
    },
    /// A signal to the main process of a container, through the Docker of the table `[docker]`.
    Container {
        /// Its name or id; the key `container`.
        name: String,
        /// The key `signal`: `SIGHUP` and the like. Default `SIGHUP`.
        signal: Signal,
    },
}
