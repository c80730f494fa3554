//! `portreeve check`: what is wrong with settings and templates, as far as that can be known without a registry.
//!
//! An error is wrong everywhere. A warning is wrong on this host, which need not be the one that renders.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fmt,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::{
    Partials, Settings, Setup, TemplateError, Unrendered, UnrenderedReason, render_offline, template_file, whitespace,
};
use crate::{
    core::condition::error_chain,
    registry::Query,
    target::{self, ReloadMethod, TargetKind},
    ui::colour::{Colours, TextRole},
};

/// All that is wrong, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateCheckReport {
    /// What is wrong everywhere.
    pub errors: Vec<String>,
    /// What is wrong on this host.
    pub warnings: Vec<String>,
    /// What would be rendered.
    pub targets: Vec<TargetOutline>,
}

/// A target in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetOutline {
    /// Its name.
    pub name: String,
    /// Its kind, as in the configuration file.
    pub kind: &'static str,
    /// Its templates.
    pub templates: Vec<TemplateOutline>,
}

/// A template in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateOutline {
    /// Its file.
    pub source: PathBuf,
    /// What is written.
    pub destination: PathBuf,
    /// What it asks before anything is known; the answers may lead to more.
    pub asks: Vec<String>,
}

/// Looks at each template by itself, so that one mistake does not hide another, and then at all together.
pub fn check(settings: &Settings, env: &BTreeMap<String, String>) -> TemplateCheckReport {
    let mut checked = TemplateCheckReport::default();
    let mut settings = settings.clone();
    target::detect_escapes(&mut settings.targets);
    for target in &settings.targets {
        let templates = target.templates.iter().map(|template| {
            let alone = target::Settings { templates: vec![template.clone()], ..target.clone() };
            let asks = checked.check_template(Settings { targets: vec![alone], ..settings.clone() }, env);
            let asks = asks.iter().map(ToString::to_string).collect();
            // What cannot be read is an error by now.
            if let Ok(text) = template_file::read_template(&template.source) {
                checked.check_whitespace(&template.source.display().to_string(), &text);
            }
            TemplateOutline { source: template.source.clone(), destination: template.destination.clone(), asks }
        });
        let templates = templates.collect();
        checked.targets.push(TargetOutline { name: target.name.clone(), kind: target.kind.name(), templates });
        for program in programs(&target.kind).into_iter().filter(|program| !is_executable(program)) {
            checked.add_warning(format!("target {}: there is no program {} here", target.name, program.display()));
        }
        if let Some(remark) = target.advice() {
            checked.add_warning(format!("target {}: {remark}", target.name));
        }
        for template in target.templates.iter().filter(|template| template.each.is_none()) {
            checked.check_destination(&target.name, template);
        }
    }
    if let Some(Ok(partials)) = settings.section.partials.as_deref().map(Partials::read) {
        partials.iter().for_each(|(_, partial)| checked.check_whitespace(partial.name(), partial.source()));
    }
    if let Err(error) = Setup::open_read_only(settings) {
        checked.add_error(error_chain(&error));
    }
    checked
}

impl TemplateCheckReport {
    /// Says each thing once.
    pub fn add_error(&mut self, message: String) {
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
    }

    /// Says each thing once.
    pub fn add_warning(&mut self, message: String) {
        if !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    /// What one template asks first.
    fn check_template(&mut self, alone: Settings, env: &BTreeMap<String, String>) -> BTreeSet<Query> {
        let mut setup = match Setup::open_read_only(alone) {
            Ok(setup) => setup,
            Err(error) => {
                self.add_error(error_chain(&error));
                return BTreeSet::new();
            }
        };
        let rendered = render_offline(&mut setup, env.clone(), |_| None);
        for Unrendered { reason: why, .. } in &rendered.unrendered {
            if let UnrenderedReason::Failed(error) = why {
                self.add_error(error.to_string());
            }
        }
        rendered.queries
    }

    /// Lines that are hardly meant as they are.
    fn check_whitespace(&mut self, name: &str, text: &str) {
        for uneven in whitespace::uneven_blocks(text) {
            self.add_warning(TemplateError::at(name, text, uneven.at, uneven.reason).to_string());
        }
    }

    fn check_destination(&mut self, target: &str, template: &target::TemplateSettings) {
        let destination = &template.destination;
        if destination.is_dir() {
            self.add_error(format!("target {target}: {}: is a directory, not a file", destination.display()));
            return;
        }
        let Ok(whole) = std::path::absolute(destination) else { return };
        let Some(directory) = whole.parent().filter(|directory| !directory.is_dir()) else { return };
        match directory.ancestors().find(|above| above.exists()) {
            Some(above) if !above.is_dir() => {
                self.add_error(format!(
                    "target {target}: {}: {} is no directory",
                    destination.display(),
                    above.display()
                ));
            }
            _ if template.create_dirs != Some(false) => {}
            _ => self.add_warning(format!("target {target}: there is no directory {} here", directory.display())),
        }
    }

    /// For people.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        let said = [(TextRole::Error, "error", &self.errors), (TextRole::Warning, "warning", &self.warnings)];
        for (meaning, word, messages) in said {
            for message in messages {
                text.push_str(&format!("{}: {message}\n", colours.paint(meaning, word)));
            }
        }
        for TargetOutline { name, kind, templates } in &self.targets {
            text.push_str(&format!("target {name} ({kind})\n"));
            for TemplateOutline { source, destination, asks } in templates {
                text.push_str(&format!("  {} -> {}\n", source.display(), destination.display()));
                asks.iter().for_each(|query| text.push_str(&format!("    asks {query}\n")));
            }
        }
        let templates = self.targets.iter().map(|target| target.templates.len()).sum::<usize>();
        let (targets, errors, warnings) = (self.targets.len(), self.errors.len(), self.warnings.len());
        text + &format!("targets {targets}, templates {templates}: errors {errors}, warnings {warnings}\n")
    }
}

fn programs(kind: &TargetKind) -> Vec<&Path> {
    match kind {
        TargetKind::Nginx(nginx) => vec![&nginx.binary],
        TargetKind::Command(command) => {
            let reload = command.reload.as_ref().and_then(|reload| match reload {
                ReloadMethod::Command(argv) => argv.first(),
                ReloadMethod::Signal { .. } | ReloadMethod::Container { .. } => None,
            });
            let check = command.check.as_ref().and_then(|argv| argv.first());
            [check, reload].into_iter().flatten().map(Path::new).collect()
        }
    }
}

/// As `execvp` finds it.
fn is_executable(program: &Path) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    match program.components().count() {
        1 => env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| runs(&folder.join(program))),
        _ => runs(program),
    }
}
