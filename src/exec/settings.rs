//! The settings of the child: the table `[exec]` of the configuration file. Pure.
//!
//! ```toml
//! [exec]
//! command = ["app", "--serve"]
//! reload_signal = "SIGHUP"
//! kill_timeout = "1m"
//!
//! [exec.env]
//! deny = ["CONSUL_*"]
//! ```

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use nix::sys::signal;
use serde::Deserialize;

use super::environment::EnvRules;
use crate::sys::{
    argv::{SplitError, split},
    signal_name,
};

/// Longer durations are treated as a mistake.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// The table as it is written. `command` may also come from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecSection {
    /// The program and its arguments: a list, or a text that is split into words. It is run without a shell.
    pub command: Option<ExecCommand>,
    /// Notifies the child of new files. Default: none, so that the child is restarted.
    pub reload_signal: Option<SignalName>,
    /// Asks the child to exit. Default `SIGTERM`.
    pub kill_signal: Option<SignalName>,
    /// The time between `kill_signal` and SIGKILL. Default 30 s.
    #[serde(with = "humantime_serde")]
    pub kill_timeout: Option<Duration>,
    /// The maximum of a random delay before a reload or restart. Default none.
    #[serde(with = "humantime_serde")]
    pub splay: Option<Duration>,
    /// The environment of the child; the table `[exec.env]`. Default: that of this process.
    pub env: EnvRules,
    /// The targets whose files the child uses. Default: all.
    pub targets: Option<BTreeSet<String>>,
}

/// The validated settings of the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub(super) command: ExecCommand,
    pub(super) reload_signal: Option<SignalName>,
    pub(super) kill_signal: SignalName,
    pub(super) kill_timeout: Duration,
    pub(super) splay: Duration,
    pub(super) env: EnvRules,
    pub(super) targets: Option<BTreeSet<String>>,
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CommandValue")]
pub struct ExecCommand {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

/// A signal by its name: `SIGHUP`, `HUP` or `hup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SignalName(pub(super) signal::Signal);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a command is a text, or a list of a program and its arguments")]
enum CommandValue {
    Text(String),
    List(Vec<String>),
}

/// The settings are invalid. The message names the key.
#[derive(Debug, thiserror::Error)]
pub enum ExecSettingsError {
    /// The command is empty.
    #[error("[exec] `command`: the first word has to be a program")]
    NoProgram,
    /// There are settings, but no command.
    #[error("[exec] has settings, but no `command`: name it there, or with --exec")]
    NoCommand,
    /// A quotation mark is not closed.
    #[error("[exec] `command`: {0:?} cannot be split into words")]
    Quotes(String, #[source] shell_words::ParseError),
    /// The command has syntax of a shell.
    #[error(
        "[exec] `command`: {0:?} means something to a shell only, and the command is run without one; write sh -c '…'"
    )]
    Shell(String),
    /// The signal does not exist.
    #[error("{0:?} is not a signal's name such as \"SIGHUP\"")]
    Signal(String),
    /// The target does not exist.
    #[error("[exec] `targets`: there is no target {0:?}")]
    Target(String),
    /// A duration is longer than a day.
    #[error("[exec] `{0}` is longer than a day")]
    TooLong(&'static str),
}

impl ExecSection {
    /// Validates the settings; `None` if the table is empty. `known`: the names of all targets.
    ///
    /// # Errors
    /// The settings have no command, name a target that does not exist, or have a duration of more than a day.
    pub fn into_settings<'a>(
        self,
        known: impl IntoIterator<Item = &'a String>,
    ) -> Result<Option<Settings>, ExecSettingsError> {
        let Some(command) = self.command else {
            return if self == Self::default() { Ok(None) } else { Err(ExecSettingsError::NoCommand) };
        };
        let known: BTreeSet<_> = known.into_iter().collect();
        if let Some(unknown) = self.targets.iter().flatten().find(|name| !known.contains(name)) {
            return Err(ExecSettingsError::Target(unknown.clone()));
        }
        let settings = Settings {
            command,
            reload_signal: self.reload_signal,
            kill_signal: self.kill_signal.unwrap_or(SignalName(signal::Signal::SIGTERM)),
            kill_timeout: self.kill_timeout.unwrap_or(Duration::from_secs(30)),
            splay: self.splay.unwrap_or_default(),
            env: self.env,
            targets: self.targets,
        };
        match [("kill_timeout", settings.kill_timeout), ("splay", settings.splay)]
            .iter()
            .find(|(_, time)| *time > MAX_DURATION)
        {
            Some((key, _)) => Err(ExecSettingsError::TooLong(key)),
            None => Ok(Some(settings)),
        }
    }
}

impl Settings {
    /// Whether the child uses the files of `target`.
    pub(super) fn has_target(&self, target: &str) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.contains(target))
    }
}

impl FromStr for ExecCommand {
    type Err = ExecSettingsError;

    fn from_str(text: &str) -> Result<Self, ExecSettingsError> {
        let words = split(text).map_err(|error| match error {
            SplitError::Quotes(source) => ExecSettingsError::Quotes(text.to_owned(), source),
            SplitError::Shell(word) => ExecSettingsError::Shell(word),
        })?;
        CommandValue::List(words).try_into()
    }
}

impl TryFrom<CommandValue> for ExecCommand {
    type Error = ExecSettingsError;

    fn try_from(written: CommandValue) -> Result<Self, ExecSettingsError> {
        match written {
            CommandValue::Text(text) => text.parse(),
            CommandValue::List(words) => match words.split_first() {
                Some((program, arguments)) if !program.is_empty() => {
                    Ok(Self { program: program.clone(), arguments: arguments.to_vec() })
                }
                _ => Err(ExecSettingsError::NoProgram),
            },
        }
    }
}

impl FromStr for SignalName {
    type Err = ExecSettingsError;

    fn from_str(text: &str) -> Result<Self, ExecSettingsError> {
        signal_name::parse(text).map(Self).ok_or_else(|| ExecSettingsError::Signal(text.to_owned()))
    }
}

impl TryFrom<String> for SignalName {
    type Error = ExecSettingsError;

    fn try_from(text: String) -> Result<Self, ExecSettingsError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &str) -> Result<Option<Settings>, String> {
        let section = toml::from_str::<ExecSection>(keys).map_err(|error| error.to_string())?;
        section.into_settings([&"edge".to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_understood() {
        let settings = read(
            "command = ['app', '-v']\nreload_signal = 'usr1'\nkill_signal = 'SIGINT'\nkill_timeout = '5s'\nsplay = '1s'\n\
             targets = ['edge']\n[env]\npristine = true",
        );
        let expected = Settings {
            command: ExecCommand { program: "app".to_owned(), arguments: vec!["-v".to_owned()] },
            reload_signal: Some(SignalName(signal::Signal::SIGUSR1)),
            kill_signal: SignalName(signal::Signal::SIGINT),
            kill_timeout: Duration::from_secs(5),
            splay: Duration::from_secs(1),
            env: EnvRules { pristine: true, ..EnvRules::default() },
            targets: Some(BTreeSet::from(["edge".to_owned()])),
        };
        assert_eq!(settings, Ok(Some(expected.clone())));
        assert!(expected.has_target("edge") && !expected.has_target("other"));
        assert_eq!(read(""), Ok(None));
        let settings = read("command = \"app 'two words'\"").expect("it is right").expect("there is a command");
        assert_eq!(settings.command.arguments, ["two words"]);
        assert!(settings.kill_signal.0 == signal::Signal::SIGTERM && settings.has_target("any"));
    }

    #[test]
    fn each_mistake_is_named_by_its_key() {
        let mistakes = [
            ("command = []", "`command`: the first word"),
            ("command = ''", "`command`: the first word"),
            ("command = 5", "a command is a text, or a list"),
            ("command = 'a && b'", "\"&&\" means something to a shell only"),
            ("command = \"a 'b\"", "cannot be split into words"),
            ("command = 'a'\nreload_signal = 'SIGNOPE'", "\"SIGNOPE\" is not a signal's name"),
            ("command = 'a'\ntargets = ['egde']", "no target \"egde\""),
            ("command = 'a'\nkill_timeout = '2days'", "`kill_timeout` is longer than a day"),
            ("command = 'a'\nenv = { custom = ['A'] }", "\"A\" is not NAME=VALUE"),
            ("comand = 'a'", "`comand`"),
            ("splay = '1s'", "no `command`"),
        ];
        for (keys, named) in mistakes {
            let error = read(keys).expect_err(keys);
            assert!(error.contains(named), "{keys}: {error}");
        }
    }
}
