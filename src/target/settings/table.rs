//! A `[[target]]` table as it is written, and what it means.

use std::{path::PathBuf, str::FromStr, time::Duration};

use nix::sys::signal::Signal;
use serde::Deserialize;

use super::{Command, Kind, Nginx, Reload, Settings, SettingsError, TIMEOUT, Template};
use crate::debounce;

/// A `[[target]]` table as it is written: the keys of all kinds side by side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    name: String,
    kind: KindName,
    #[serde(default, rename = "template")]
    templates: Vec<Template>,
    #[serde(default, with = "humantime_serde")]
    check_timeout: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    reload_timeout: Option<Duration>,
    pid_file: Option<PathBuf>,
    binary: Option<PathBuf>,
    conf: Option<PathBuf>,
    prefix: Option<PathBuf>,
    check: Option<Vec<String>>,
    reload: Option<Vec<String>>,
    signal: Option<String>,
    program: Option<String>,
    quiet: Option<debounce::Quiet>,
    leading: Option<bool>,
    #[serde(default, with = "humantime_serde")]
    interval: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    splay: Option<Duration>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Nginx,
    Command,
}

impl TryFrom<Table> for Settings {
    type Error = SettingsError;

    fn try_from(mut table: Table) -> Result<Self, SettingsError> {
        let templates = std::mem::take(&mut table.templates);
        let (name, pace) = (table.name.clone(), table.pace());
        let settings = Self { name, kind: table.into_kind()?, templates, pace };
        settings.validate()?;
        Ok(settings)
    }
}

impl Table {
    fn pace(&self) -> debounce::Settings {
        let default = debounce::Settings::default();
        debounce::Settings {
            quiet: self.quiet,
            leading: self.leading.unwrap_or(default.leading),
            interval: self.interval.unwrap_or(default.interval),
            splay: self.splay.unwrap_or(default.splay),
        }
    }

    fn into_kind(self) -> Result<Kind, SettingsError> {
        match self.kind {
            KindName::Nginx => {
                let foreign = [
                    ("check", self.check.is_some()),
                    ("reload", self.reload.is_some()),
                    ("signal", self.signal.is_some()),
                    ("program", self.program.is_some()),
                ];
                self.refuse("nginx", &foreign)?;
                Ok(Kind::Nginx(Nginx {
                    binary: self.binary.unwrap_or_else(|| Nginx::default().binary),
                    conf: self.conf,
                    prefix: self.prefix,
                    pid_file: self.pid_file,
                    check_timeout: self.check_timeout.unwrap_or(TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(TIMEOUT),
                }))
            }
            KindName::Command => {
                let foreign = [
                    ("binary", self.binary.is_some()),
                    ("conf", self.conf.is_some()),
                    ("prefix", self.prefix.is_some()),
                ];
                self.refuse("command", &foreign)?;
                Ok(Kind::Command(Command {
                    check_timeout: self.check_timeout.unwrap_or(TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(TIMEOUT),
                    check: self.check.clone(),
                    reload: self.into_reload()?,
                }))
            }
        }
    }

    fn refuse(&self, kind: &'static str, keys: &[(&'static str, bool)]) -> Result<(), SettingsError> {
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(SettingsError::NotForKind { name: self.name.clone(), key, kind }),
            None => Ok(()),
        }
    }

    fn into_reload(self) -> Result<Option<Reload>, SettingsError> {
        let name = self.name;
        let wrong = |key, reason| Err(SettingsError::Reload { name: name.clone(), key, reason });
        match (self.reload, self.pid_file) {
            (Some(_), Some(_)) => wrong("pid_file", "and `reload` exclude each other: a signal, or a command"),
            (_, None) if self.signal.is_some() => wrong("signal", "needs `pid_file`: whom to send it to"),
            (_, None) if self.program.is_some() => wrong("program", "needs `pid_file`: whose name it is"),
            (Some(argv), None) => Ok(Some(Reload::Command(argv))),
            (None, None) => Ok(None),
            (None, Some(pid_file)) => {
                let signal = self.signal.unwrap_or_else(|| "SIGHUP".to_owned());
                match Signal::from_str(&signal) {
                    Ok(signal) => Ok(Some(Reload::Signal { pid_file, signal, program: self.program })),
                    Err(_) => Err(SettingsError::Signal { name, signal }),
                }
            }
        }
    }
}
