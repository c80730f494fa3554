//! `portreeve check`: finds mistakes in settings and templates. It needs no registry.
//!
//! An error is a mistake on every host. A warning is a problem on this host, which may not be the one that renders.

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

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TemplateCheckReport {
    /// Mistakes on every host.
    pub errors: Vec<String>,
    /// Problems on this host.
    pub warnings: Vec<String>,
    /// The targets that would be rendered.
    pub targets: Vec<TargetOutline>,
}

/// A summary of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetOutline {
    /// Its name.
    pub name: String,
    /// Its kind, as in the configuration file.
    pub kind: &'static str,
    /// Its templates.
    pub templates: Vec<TemplateOutline>,
}

/// A summary of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateOutline {
    /// Its file.
    pub source: PathBuf,
    /// The file that it writes, or with `each` the template of its path.
    pub destination: PathBuf,
    /// The queries that it makes before any is answered; the answers may lead to more.
    pub asks: Vec<String>,
}

/// Checks each template on its own, so that one mistake does not hide another, and then all of them together.
pub fn check(settings: &Settings, env: &BTreeMap<String, String>) -> TemplateCheckReport {
    let mut report = TemplateCheckReport::default();
    let mut settings = settings.clone();
    target::detect_escapes(&mut settings.targets);
    for target in &settings.targets {
        let templates = target.templates.iter().map(|template| {
            let alone = target::Settings { templates: vec![template.clone()], ..target.clone() };
            let asks = report.check_template(Settings { targets: vec![alone], ..settings.clone() }, env);
            let asks = asks.iter().map(ToString::to_string).collect();
            // A file that cannot be read is already an error.
            if let Ok(text) = template_file::read_template(&template.source) {
                report.check_whitespace(&template.source.display().to_string(), &text);
            }
            TemplateOutline { source: template.source.clone(), destination: template.destination.clone(), asks }
        });
        let templates = templates.collect();
        report.targets.push(TargetOutline { name: target.name.clone(), kind: target.kind.name(), templates });
        for program in programs(&target.kind).into_iter().filter(|program| !is_executable(program)) {
            report.add_warning(format!("target {}: there is no program {} here", target.name, program.display()));
        }
        if let Some(advice) = target.advice() {
            report.add_warning(format!("target {}: {advice}", target.name));
        }
        for template in target.templates.iter().filter(|template| template.each.is_none()) {
            report.check_destination(&target.name, template);
        }
    }
    if let Some(Ok(partials)) = settings.section.partials.as_deref().map(Partials::read) {
        partials.iter().for_each(|(_, partial)| report.check_whitespace(partial.name(), partial.source()));
    }
    if let Err(error) = Setup::open_read_only(settings) {
        report.add_error(error_chain(&error));
    }
    report
}

impl TemplateCheckReport {
    /// Adds an error, unless the report already has it.
    pub fn add_error(&mut self, message: String) {
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
    }

    /// Adds a warning, unless the report already has it.
    pub fn add_warning(&mut self, message: String) {
        if !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    /// Compiles and renders one template. Returns its first queries.
    fn check_template(&mut self, alone: Settings, env: &BTreeMap<String, String>) -> BTreeSet<Query> {
        let mut setup = match Setup::open_read_only(alone) {
            Ok(setup) => setup,
            Err(error) => {
                self.add_error(error_chain(&error));
                return BTreeSet::new();
            }
        };
        let rendered = render_offline(&mut setup, env.clone(), |_| None);
        for Unrendered { reason, .. } in &rendered.unrendered {
            if let UnrenderedReason::Failed(error) = reason {
                self.add_error(error.to_string());
            }
        }
        rendered.queries
    }

    /// Warns about blocks that print unintended line breaks.
    fn check_whitespace(&mut self, name: &str, text: &str) {
        for block in whitespace::uneven_blocks(text) {
            self.add_warning(TemplateError::at(name, text, block.at, block.reason).to_string());
        }
    }

    fn check_destination(&mut self, target: &str, template: &target::TemplateSettings) {
        let destination = &template.destination;
        if destination.is_dir() {
            self.add_error(format!("target {target}: {}: is a directory, not a file", destination.display()));
            return;
        }
        let Ok(path) = std::path::absolute(destination) else { return };
        let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) else { return };
        match directory.ancestors().find(|above| above.exists()) {
            Some(above) if !above.is_dir() => {
                self.add_error(format!(
                    "target {target}: {}: {} is not a directory",
                    destination.display(),
                    above.display()
                ));
            }
            _ if template.create_dirs != Some(false) => {}
            _ => self.add_warning(format!("target {target}: there is no directory {} here", directory.display())),
        }
    }

    /// The report as text.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        let messages = [(TextRole::Error, "error", &self.errors), (TextRole::Warning, "warning", &self.warnings)];
        for (role, word, messages) in messages {
            for message in messages {
                text.push_str(&format!("{}: {message}\n", colours.paint(role, word)));
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

/// Whether `execvp` would find and run the program.
fn is_executable(program: &Path) -> bool {
    let is_executable = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    match program.components().count() {
        1 => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .any(|folder| is_executable(&folder.join(program))),
        _ => is_executable(program),
    }
}
