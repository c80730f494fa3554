//! A `[[target]]` table as it is written in the file, and its conversion to [`Settings`].

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    CommandSettings, DEFAULT_TIMEOUT, NginxSettings, ProbeSettings, ReloadMethod, Settings, TargetKind,
    TargetSettingsError, TemplateSettings,
};
use crate::{core::debounce, sys::signal_name};

/// A `[[target]]` table with the keys of all kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetTable {
    name: String,
    kind: KindName,
    #[serde(default, rename = "template")]
    templates: Vec<TemplateSettings>,
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
    quiet: Option<debounce::QuietRange>,
    leading: Option<bool>,
    #[serde(default, with = "humantime_serde")]
    interval: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    splay: Option<Duration>,
    container: Option<String>,
    probe: Option<String>,
    #[serde(default, with = "humantime_serde")]
    probe_timeout: Option<Duration>,
    probe_status: Option<u16>,
    generations: Option<usize>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindName {
    Nginx,
    Command,
}

impl TryFrom<TargetTable> for Settings {
    type Error = TargetSettingsError;

    fn try_from(mut table: TargetTable) -> Result<Self, TargetSettingsError> {
        let templates = std::mem::take(&mut table.templates);
        let (probe, debounce) = (table.probe()?, table.debounce());
        let generations = table.generations;
        let settings = Self { probe, debounce, ..Self::new(table.name.clone(), table.into_kind()?, templates) };
        let settings = Self { generations: generations.unwrap_or(settings.generations), ..settings };
        settings.validate()?;
        Ok(settings)
    }
}

impl TargetTable {
    fn probe(&self) -> Result<Option<ProbeSettings>, TargetSettingsError> {
        let invalid = |key, problem| TargetSettingsError::Probe { name: self.name.clone(), key, problem };
        let Some(url) = &self.probe else {
            let keys = [("probe_timeout", self.probe_timeout.is_some()), ("probe_status", self.probe_status.is_some())];
            return match keys.into_iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(invalid(key, "needs `probe`: the URL".to_owned())),
                None => Ok(None),
            };
        };
        if let Some(status) = self.probe_status.filter(|status| !(100..600).contains(status)) {
            return Err(invalid("probe_status", format!("{status} is not an HTTP status")));
        }
        let url = ProbeSettings::parse_url(url).map_err(|problem| invalid("probe", format!("{url:?}: {problem}")))?;
        let timeout = self.probe_timeout.unwrap_or(ProbeSettings::DEFAULT_TIMEOUT);
        Ok(Some(ProbeSettings { url, timeout, status: self.probe_status }))
    }

    fn debounce(&self) -> debounce::Settings {
        let default = debounce::Settings::default();
        debounce::Settings {
            quiet: self.quiet,
            leading: self.leading.unwrap_or(default.leading),
            interval: self.interval.unwrap_or(default.interval),
            splay: self.splay.unwrap_or(default.splay),
        }
    }

    fn into_kind(self) -> Result<TargetKind, TargetSettingsError> {
        match self.kind {
            KindName::Nginx => {
                let foreign = [
                    ("check", self.check.is_some()),
                    ("reload", self.reload.is_some()),
                    ("signal", self.signal.is_some()),
                    ("program", self.program.is_some()),
                    ("container", self.container.is_some()),
                ];
                self.reject_keys("nginx", &foreign)?;
                Ok(TargetKind::Nginx(NginxSettings {
                    binary: self.binary.unwrap_or_else(|| NginxSettings::default().binary),
                    conf: self.conf,
                    prefix: self.prefix,
                    pid_file: self.pid_file,
                    check_timeout: self.check_timeout.unwrap_or(DEFAULT_TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(DEFAULT_TIMEOUT),
                }))
            }
            KindName::Command => {
                let foreign = [
                    ("binary", self.binary.is_some()),
                    ("conf", self.conf.is_some()),
                    ("prefix", self.prefix.is_some()),
                ];
                self.reject_keys("command", &foreign)?;
                Ok(TargetKind::Command(CommandSettings {
                    check_timeout: self.check_timeout.unwrap_or(DEFAULT_TIMEOUT),
                    reload_timeout: self.reload_timeout.unwrap_or(DEFAULT_TIMEOUT),
                    check: self.check.clone(),
                    reload: self.into_reload_method()?,
                }))
            }
        }
    }

    fn reject_keys(&self, kind: &'static str, keys: &[(&'static str, bool)]) -> Result<(), TargetSettingsError> {
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(TargetSettingsError::NotForKind { name: self.name.clone(), key, kind }),
            None => Ok(()),
        }
    }

    fn into_reload_method(self) -> Result<Option<ReloadMethod>, TargetSettingsError> {
        let name = self.name;
        let invalid = |key, reason| Err(TargetSettingsError::Reload { name: name.clone(), key, reason });
        if self.pid_file.is_none() {
            if self.program.is_some() {
                return invalid("program", "needs `pid_file`: it is the name of that process");
            }
            if self.signal.is_some() && self.container.is_none() {
                return invalid("signal", "needs `pid_file` or `container` as its receiver");
            }
        }
        let signal = self.signal.unwrap_or_else(|| "SIGHUP".to_owned());
        let Some(signal) = signal_name::parse(&signal) else {
            return Err(TargetSettingsError::Signal { name, signal });
        };
        match (self.reload, self.pid_file, self.container) {
            (Some(_), Some(_), _) => invalid("pid_file", "and `reload` exclude each other: a signal, or a command"),
            (Some(_), _, Some(_)) => invalid("container", "and `reload` exclude each other: a signal, or a command"),
            (_, Some(_), Some(_)) => {
                invalid("container", "and `pid_file` exclude each other: one process gets the signal")
            }
            (Some(argv), None, None) => Ok(Some(ReloadMethod::Command(argv))),
            (None, Some(pid_file), None) => Ok(Some(ReloadMethod::Signal { pid_file, signal, program: self.program })),
            (None, None, Some(container)) if container.is_empty() || container.contains('/') => {
                invalid("container", "has to be a container's name or id")
            }
            (None, None, Some(name)) => Ok(Some(ReloadMethod::Container { name, signal })),
            (None, None, None) => Ok(None),
        }
    }
}
