//! What a user says about a target: the `[[target]]` tables of the configuration file.
//!
//! ```toml
//! [[target]]
//! name = "edge"
//! kind = "nginx"
//! reload_timeout = "10s"
//!
//! [[target.template]]
//! source = "edge.conf.hbs"
//! destination = "/etc/nginx/conf.d/edge.conf"
//! ```

mod command;
mod error;
mod nginx;
mod probe;
mod table;
mod template;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use serde::Deserialize;

use super::run::CANDIDATE;
use crate::core::debounce;

pub use self::{
    command::{Command, Reload},
    error::SettingsError,
    nginx::Nginx,
    probe::Probe,
    template::{Escape, Symlinks, Template},
};

/// What every time limit is by default.
const TIMEOUT: Duration = Duration::from_secs(30);

/// One group of files that are checked together, swapped together and made effective by one reload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "table::Table")]
pub struct Settings {
    /// Unique; names the target in logs, and its folder in the state directory. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How files are checked and made effective; the key `kind`.
    pub kind: Kind,
    /// The files; the tables `[[target.template]]`.
    pub templates: Vec<Template>,
    /// When changes go through; the keys `quiet`, `leading`, `interval` and `splay`.
    pub pace: debounce::Settings,
    /// What has to answer once new files are in effect. Default: nothing is asked.
    pub probe: Option<Probe>,
    /// How many sets of files that were in effect are kept for the way back by hand. Default 5; 0 keeps none.
    pub generations: usize,
}

/// How a target's files are checked and made effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An nginx on this host.
    Nginx(Nginx),
    /// Anything else: a check and a reload that the user names.
    Command(Command),
}

impl Kind {
    /// As the key `kind` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nginx(_) => "nginx",
            Self::Command(_) => "command",
        }
    }

    /// The language of its files, unless a template or a file's name says otherwise.
    fn escape(&self) -> Option<Escape> {
        match self {
            Self::Nginx(_) => Some(Escape::Nginx),
            Self::Command(_) => None,
        }
    }
}

/// The default of [`Settings::generations`].
const GENERATIONS: usize = 5;

impl Settings {
    /// The language that a file of ours is written in.
    pub fn escape(&self, template: &Template) -> Escape {
        self.language(template).unwrap_or(Escape::None)
    }

    /// The same; `None` if the settings, the file's name and the kind do not tell it.
    pub(super) fn language(&self, template: &Template) -> Option<Escape> {
        template.escape.or_else(|| Escape::of_file(&template.destination)).or_else(|| self.kind.escape())
    }

    /// With a default for everything else.
    pub fn new(name: String, kind: Kind, templates: Vec<Template>) -> Self {
        Self { name, kind, templates, pace: debounce::Settings::default(), probe: None, generations: GENERATIONS }
    }

    /// Whether anything checks its files before they are replaced.
    pub fn is_checked(&self) -> bool {
        match &self.kind {
            Kind::Nginx(_) => true,
            Kind::Command(command) => command.check.is_some(),
        }
    }

    /// What its author may have taken for granted: that an nginx is recognised behind any command.
    pub fn remark(&self) -> Option<String> {
        let Kind::Command(command) = &self.kind else { return None };
        let told = command.unchecked_nginx()?;
        let is_escaped = |template| self.escape(template) == Escape::Nginx;
        let what = if self.templates.iter().all(is_escaped) { "no check" } else { "no check, no escaping" };
        Some(format!(
            "{what}: `{told}` names nginx but is no form that is known; write `nginx -s reload` or `systemctl reload \
             nginx`, or a [[target]] with kind = \"nginx\"; for an nginx in a container one with `check` and `container`, \
             and escape = \"nginx\" for its templates"
        ))
    }

    /// What the types cannot say. Settings that come from a file have passed it.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(plain) {
            return Err(SettingsError::Name(self.name.clone()));
        }
        if self.templates.is_empty() {
            return Err(SettingsError::NoTemplate(self.name.clone()));
        }
        if let Some(key) = self.pace.too_long() {
            return Err(SettingsError::TooLong { name: self.name.clone(), key });
        }
        for template in &self.templates {
            let computed = template.destination.to_string_lossy().contains("{{");
            if computed != template.each.is_some() {
                let destination = template.destination.clone();
                return Err(SettingsError::Each { name: self.name.clone(), destination, computed });
            }
        }
        let mut seen = BTreeSet::new();
        let mut fixed = self.templates.iter().filter(|template| template.each.is_none());
        if let Some(twice) = fixed.find(|template| !seen.insert(&template.destination)) {
            let destination = twice.destination.clone();
            return Err(SettingsError::Twice { name: self.name.clone(), destination });
        }
        if let Kind::Command(command) = &self.kind {
            let reload = command.reload.as_ref().and_then(|reload| match reload {
                Reload::Command(argv) => Some(argv),
                Reload::Signal { .. } | Reload::Container { .. } => None,
            });
            for (key, argv) in [("check", command.check.as_ref()), ("reload", reload)] {
                if argv.is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
                    return Err(SettingsError::Empty { name: self.name.clone(), key });
                }
            }
            if command.check.as_ref().is_some_and(|argv| !argv.iter().any(|word| word.contains(CANDIDATE))) {
                return Err(SettingsError::Blind(self.name.clone()));
            }
        }
        Ok(())
    }
}
