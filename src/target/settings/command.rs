//! The keys of `kind = "command"`.

use std::{path::PathBuf, time::Duration};

use nix::sys::signal::Signal;

use super::DEFAULT_TIMEOUT;

/// A check and a reload by commands. A command is a list of arguments; it is run without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSettings {
    /// The check, which runs before any file is changed; exit code 0 accepts the files. `{{candidate}}` in an argument
    /// stands for a copy of the candidate: with one template a file with the name of the destination, with several a
    /// directory with each file under its full path (`{{candidate}}/etc/app/a.conf`). Default: no check.
    pub check: Option<Vec<String>>,
    /// How the program is notified. Default: it is not notified.
    pub reload: Option<ReloadMethod>,
    /// The time limit of `check`. Default 30 s.
    pub check_timeout: Duration,
    /// The time limit of `reload`. Default 30 s.
    pub reload_timeout: Duration,
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self { check: None, reload: None, check_timeout: DEFAULT_TIMEOUT, reload_timeout: DEFAULT_TIMEOUT }
    }
}

impl CommandSettings {
    /// The reload, if it names nginx and there is no check.
    pub(super) fn unchecked_nginx(&self) -> Option<String> {
        let reload = match self.reload.as_ref().filter(|_| self.check.is_none())? {
            ReloadMethod::Command(words) => words.join(" "),
            ReloadMethod::Signal { pid_file, .. } => pid_file.display().to_string(),
            ReloadMethod::Container { name, .. } => name.clone(),
        };
        ["nginx", "openresty", "angie", "tengine"].iter().any(|name| reload.contains(name)).then_some(reload)
    }
}

/// How the program is notified of new files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadMethod {
    /// A program and its arguments, the key `reload`; exit code 0 means success.
    Command(Vec<String>),
    /// A signal to the process with the pid in a pid file.
    Signal {
        /// The pid file; the key `pid_file`.
        pid_file: PathBuf,
        /// The key `signal`. Default `SIGHUP`.
        signal: Signal,
        /// The required name of the process (`/proc/PID/comm`); the key `program`. Default: any name, so with a stale
        /// pid file the signal may reach another program.
        program: Option<String>,
    },
    /// A signal to the main process of a container, through the engine of the table `[docker]`.
    Container {
        /// The name or id of the container; the key `container`.
        name: String,
        /// The key `signal`. Default `SIGHUP`.
        signal: Signal,
    },
}
