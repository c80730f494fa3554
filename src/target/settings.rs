//! What a user says about a target: the `[[target]]` tables of the configuration file.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

/// One group of files that are checked together, swapped together and made effective by one reload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Unique; names the target in logs, and its folder in the state directory.
    pub name: String,
    /// How files are checked and made effective.
    #[serde(flatten)]
    pub kind: Kind,
    /// The files.
    #[serde(rename = "template")]
    pub templates: Vec<Template>,
}

/// How a target's files are checked and made effective.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// An nginx on this host.
    Nginx(Nginx),
    /// Anything else: a check and a reload that the user names.
    Command(Command),
}

/// An nginx on this host: `nginx -t` on a staged copy, `SIGHUP` to the master, proof by its workers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nginx {
    /// The program, by path or by name on PATH. Default `nginx`.
    #[serde(default = "Nginx::default_binary")]
    pub binary: PathBuf,
    /// The main configuration file that the running master was started with (`-c`). Default: the one that the program
    /// was built with (`nginx -V`).
    pub conf: Option<PathBuf>,
    /// The prefix that the running master was started with (`-p`). Default: the one that the program was built with.
    pub prefix: Option<PathBuf>,
    /// Where the master wrote its pid. Default: the `pid` directive of `conf`, or the one that the program was built with.
    pub pid_file: Option<PathBuf>,
    /// How long `nginx -t` may take. Default 30 s.
    #[serde(with = "humantime_serde", default = "default_check_timeout")]
    pub check_timeout: Duration,
    /// How long it may take until new workers have taken over after a reload. Default 30 s.
    #[serde(with = "humantime_serde", default = "default_reload_timeout")]
    pub reload_timeout: Duration,
}

/// A check and a reload that the user names. Arguments are a list: no shell is involved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Run before any file is touched; `{{candidate}}` stands for the directory or, with one template, the file that
    /// holds the candidate. Exit code 0 means good. Default: no check.
    pub check: Option<Vec<String>>,
    /// How the files become effective. Default: nothing is done.
    #[serde(flatten)]
    pub reload: Option<Reload>,
    /// How long `check` may take. Default 30 s.
    #[serde(with = "humantime_serde", default = "default_check_timeout")]
    pub check_timeout: Duration,
    /// How long `reload` may take. Default 30 s.
    #[serde(with = "humantime_serde", default = "default_reload_timeout")]
    pub reload_timeout: Duration,
}

/// One template and the file that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The Handlebars file.
    pub source: PathBuf,
    /// The file that is written. Its directory must exist.
    pub destination: PathBuf,
    /// Permission bits, in octal (`"0644"`). Default: those of the file that is replaced, else `0644`.
    pub mode: Option<String>,
    /// Owner, by name or number. Default: that of the file that is replaced, else ours.
    pub user: Option<String>,
    /// Group, by name or number. Default: that of the file that is replaced, else ours.
    pub group: Option<String>,
}

impl Nginx {
    fn default_binary() -> PathBuf {
        "nginx".into()
    }
}

fn default_check_timeout() -> Duration {
    Duration::from_secs(30)
}

fn default_reload_timeout() -> Duration {
    Duration::from_secs(30)
}

/// How a [`Command`] target's files become effective.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Reload {
    /// A program and its arguments; exit code 0 means that it took.
    Command {
        /// The program and its arguments.
        reload: Vec<String>,
    },
    /// A signal to the process whose pid stands in a file.
    Signal {
        /// Where the process wrote its pid.
        pid_file: PathBuf,
        /// `SIGHUP` and the like. Default `SIGHUP`.
        signal: Option<String>,
    },
}
