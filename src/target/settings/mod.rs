//! The settings of a target: the `[[target]]` tables of the configuration file.
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

use super::subprocess::CANDIDATE;
use crate::core::debounce;

pub use self::{
    command::{CommandSettings, ReloadMethod},
    error::TargetSettingsError,
    nginx::NginxSettings,
    probe::ProbeSettings,
    template::{Escape, SymlinkPolicy, TemplateSettings},
};

/// The default of each time limit.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// One group of files that are checked together, swapped together and made effective by one reload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "table::TargetTable")]
pub struct Settings {
    /// The unique name of the target, for logs and the state directory. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How files are checked and made effective; the key `kind`.
    pub kind: TargetKind,
    /// The files; the tables `[[target.template]]`.
    pub templates: Vec<TemplateSettings>,
    /// When changes are applied; the keys `quiet`, `leading`, `interval` and `splay`.
    pub debounce: debounce::Settings,
    /// The request that has to succeed after a reload. Default: none.
    pub probe: Option<ProbeSettings>,
    /// The number of generations and versions that are kept for rollbacks. Default 5; 0 keeps none.
    pub generations: usize,
}

/// How a target's files are checked and made effective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// An nginx on this host.
    Nginx(NginxSettings),
    /// Anything else: a check and a reload that the user names.
    Command(CommandSettings),
}

impl TargetKind {
    /// The value of the key `kind`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nginx(_) => "nginx",
            Self::Command(_) => "command",
        }
    }

    /// The language of its files, if neither the template's settings nor the file name determine it.
    fn default_escape(&self) -> Option<Escape> {
        match self {
            Self::Nginx(_) => Some(Escape::Nginx),
            Self::Command(_) => None,
        }
    }
}

/// The default of [`Settings::generations`].
const DEFAULT_GENERATIONS: usize = 5;

impl Settings {
    /// The language of a template's files.
    pub fn escape(&self, template: &TemplateSettings) -> Escape {
        self.known_escape(template).unwrap_or(Escape::None)
    }

    /// Like [`Self::escape`], but `None` if the settings, the file name and the kind do not determine it.
    pub(super) fn known_escape(&self, template: &TemplateSettings) -> Option<Escape> {
        template.escape.or_else(|| Escape::from_path(&template.destination)).or_else(|| self.kind.default_escape())
    }

    /// Settings with the defaults for everything else.
    pub fn new(name: String, kind: TargetKind, templates: Vec<TemplateSettings>) -> Self {
        Self {
            name,
            kind,
            templates,
            debounce: debounce::Settings::default(),
            probe: None,
            generations: DEFAULT_GENERATIONS,
        }
    }

    /// Whether its files are checked before they are replaced.
    pub fn has_check(&self) -> bool {
        match &self.kind {
            TargetKind::Nginx(_) => true,
            TargetKind::Command(command) => command.check.is_some(),
        }
    }

    /// Advice for a reload command that names nginx but is not recognised, so that its files are neither checked nor
    /// escaped.
    pub fn advice(&self) -> Option<String> {
        let TargetKind::Command(command) = &self.kind else { return None };
        let reload = command.unchecked_nginx()?;
        let is_escaped = |template| self.escape(template) == Escape::Nginx;
        let missing = if self.templates.iter().all(is_escaped) { "no check" } else { "no check, no escaping" };
        Some(format!(
            "{missing}: `{reload}` names nginx but is not a known form; write `nginx -s reload` or `systemctl reload \
             nginx`, or a [[target]] with kind = \"nginx\"; for an nginx in a container one with `check` and `container`, \
             and escape = \"nginx\" for its templates"
        ))
    }

    /// Checks the rules that the types do not express. Settings from a file have passed this check.
    pub fn validate(&self) -> Result<(), TargetSettingsError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.bytes().all(is_allowed) {
            return Err(TargetSettingsError::Name(self.name.clone()));
        }
        if self.templates.is_empty() {
            return Err(TargetSettingsError::NoTemplate(self.name.clone()));
        }
        if let Some(key) = self.debounce.too_long_key() {
            return Err(TargetSettingsError::TooLong { name: self.name.clone(), key });
        }
        for template in &self.templates {
            let computed = template.destination.to_string_lossy().contains("{{");
            if computed != template.each.is_some() {
                let destination = template.destination.clone();
                return Err(TargetSettingsError::EachMismatch { name: self.name.clone(), destination, computed });
            }
        }
        let mut seen = BTreeSet::new();
        let mut fixed = self.templates.iter().filter(|template| template.each.is_none());
        if let Some(duplicate) = fixed.find(|template| !seen.insert(&template.destination)) {
            let destination = duplicate.destination.clone();
            return Err(TargetSettingsError::DuplicateDestination { name: self.name.clone(), destination });
        }
        if let TargetKind::Command(command) = &self.kind {
            let reload = command.reload.as_ref().and_then(|reload| match reload {
                ReloadMethod::Command(argv) => Some(argv),
                ReloadMethod::Signal { .. } | ReloadMethod::Container { .. } => None,
            });
            for (key, argv) in [("check", command.check.as_ref()), ("reload", reload)] {
                if argv.is_some_and(|argv| argv.first().is_none_or(String::is_empty)) {
                    return Err(TargetSettingsError::NoProgram { name: self.name.clone(), key });
                }
            }
            if command.check.as_ref().is_some_and(|argv| !argv.iter().any(|word| word.contains(CANDIDATE))) {
                return Err(TargetSettingsError::CheckWithoutCandidate(self.name.clone()));
            }
        }
        Ok(())
    }
}
