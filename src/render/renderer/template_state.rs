//! One template of a target between renders, with its files.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use super::{
    destinations::Destinations,
    render_cache::{RenderCache, UsedAnswers},
};
use crate::{
    registry::Query,
    render::{
        CompiledTemplate, RenderInputs, RenderOutcome,
        members::instances_without_upstream,
        template_set::{OutputSpec, TemplateSpec},
        unrendered::{self, Unrendered, UnrenderedReason},
    },
    target::{self, DesiredFile, HashedContent, Upstream},
};

/// One template, and its files as rendered with the answers of the last pass.
#[derive(Clone, Debug)]
pub(in crate::render) struct TemplateState {
    /// Its index among the templates of its target.
    number: usize,
    spec: TemplateSpec,
    destinations: Destinations,
    files: BTreeMap<PathBuf, RenderCache<Arc<DesiredFile>>>,
    /// Why the destinations are not known. `files` then has the files of the last pass in which they were known.
    unrendered_reason: Option<UnrenderedReason>,
    /// Files that are left out because another template also makes them, each with the name of that template.
    conflicts: BTreeMap<PathBuf, String>,
}

impl TemplateState {
    pub(in crate::render) fn new(number: usize, spec: TemplateSpec) -> Self {
        Self {
            number,
            spec,
            destinations: Destinations::default(),
            files: BTreeMap::new(),
            unrendered_reason: Some(UnrenderedReason::UNTRIED),
            conflicts: BTreeMap::new(),
        }
    }

    /// Replaces the template. The destinations stay, and what was rendered stays until the next render.
    pub(super) fn replace_template(&mut self, template: &CompiledTemplate) {
        if self.spec.template != *template {
            self.spec.template = template.clone();
            self.files.values_mut().for_each(RenderCache::invalidate);
        }
    }

    /// Renders the files whose inputs have changed.
    pub(in crate::render) fn render(&mut self, inputs: RenderInputs<'_>) {
        let Self { number, spec: TemplateSpec { template, output }, destinations, files, .. } = self;
        let reason = match destinations.resolve(output, inputs) {
            Err(reason) => Some(reason),
            Ok(destinations) => {
                // Both are sorted by path, so one walk finds the pairs: there may be thousands of files.
                let mut previous = mem::take(files).into_iter().peekable();
                let file = |(path, item): (PathBuf, &Value)| {
                    while previous.next_if(|(before, _)| *before < path).is_some() {}
                    let known = previous.next_if(|(before, _)| *before == path);
                    let mut file = known.map(|(_, file)| file).unwrap_or_default();
                    let shown = shown_path(output, &path);
                    render_file(&mut file, template, *number, shown, RenderInputs { item, ..inputs });
                    (path, file)
                };
                *files = destinations.into_iter().map(file).collect();
                None
            }
        };
        unrendered::log_change(template.name(), self.unrendered_reason.as_ref(), reason.as_ref());
        self.unrendered_reason = reason;
    }

    /// The file that the settings name, with the template's name. `None` for a template with `each`.
    pub(super) fn fixed_destination(&self) -> Option<(PathBuf, String)> {
        match &self.spec.output {
            OutputSpec::File(path) => Some((path.clone(), self.name().to_owned())),
            OutputSpec::Each(_) => None,
        }
    }

    /// Adds the files that the settings do not name to `claimed`, each with the template's name. A file that is already
    /// there is left out: one name in the registry must not block all other files.
    pub(super) fn claim_paths(&mut self, claimed: &mut BTreeMap<PathBuf, String>) {
        if self.fixed_destination().is_some() {
            return;
        }
        self.conflicts.clear();
        for path in self.files.keys() {
            match claimed.entry(path.clone()) {
                Entry::Occupied(other) => drop(self.conflicts.insert(path.clone(), other.get().clone())),
                Entry::Vacant(free) => drop(free.insert(self.spec.template.name().to_owned())),
            }
        }
    }

    /// All files; `None` if one of them is not rendered.
    fn desired_files(&self) -> Option<Vec<(PathBuf, Arc<DesiredFile>)>> {
        if self.unrendered_reason.is_some() {
            return None;
        }
        let files = self.files.iter().filter(|(path, _)| !self.conflicts.contains_key(*path));
        files.map(|(path, file)| Some((path.clone(), Arc::clone(file.result().ok()?)))).collect()
    }

    /// The files that are not rendered.
    pub(in crate::render) fn unrendered(&self, target: &str) -> impl Iterator<Item = Unrendered> {
        let entry = move |template: String, reason: &UnrenderedReason| Unrendered {
            target: target.to_owned(),
            template,
            reason: reason.clone(),
        };
        let whole = self.unrendered_reason.iter().map(move |reason| entry(self.name().to_owned(), reason));
        let files = self.files.iter().filter_map(move |(path, file)| {
            let name = || display_name(&self.spec.template, shown_path(&self.spec.output, path));
            file.result().err().map(|reason| entry(name(), reason))
        });
        whole.chain(files)
    }

    /// What the last renders left out and why, with the template's name.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let renders = self.destinations.warnings().chain(self.files.values().flat_map(RenderCache::warnings));
        let conflict = |(path, other): (&PathBuf, &String)| {
            format!("{} is left out: it is also the file of {other}", path.display())
        };
        let warnings = renders.cloned().chain(self.conflicts.iter().map(conflict));
        warnings.map(|warning| format!("{}: {warning}", self.name()))
    }

    /// The queries of the last renders.
    pub(in crate::render) fn queries(&self) -> impl Iterator<Item = &Query> {
        self.destinations.queries().chain(self.files.values().flat_map(RenderCache::queries))
    }

    fn name(&self) -> &str {
        self.spec.template.name()
    }
}

/// The files of all templates; `None` if one of them is not rendered.
pub(in crate::render) fn all_desired_files(states: &[TemplateState]) -> Option<target::DesiredFiles> {
    let files: Option<Vec<_>> = states.iter().map(TemplateState::desired_files).collect();
    Some(files?.into_iter().flatten().collect())
}

fn render_file(
    file: &mut RenderCache<Arc<DesiredFile>>,
    template: &CompiledTemplate,
    number: usize,
    path: Option<&Path>,
    inputs: RenderInputs<'_>,
) {
    let convert = |outcome: RenderOutcome, upstreams: Vec<Upstream>, answers: &UsedAnswers| match outcome.into_text() {
        Ok(text) => Ok(Arc::new(DesiredFile {
            content: Arc::new(HashedContent::new(text)),
            template: number,
            instances: instances_without_upstream(answers.values().flatten(), &upstreams),
            upstreams,
            templates: template.version().cloned(),
        })),
        Err(UnrenderedReason::Failed(mut error)) => {
            if let Some(path) = path {
                error.reason = format!("{} (for {})", error.reason, path.display());
            }
            Err(UnrenderedReason::Failed(error))
        }
        Err(reason) => Err(reason),
    };
    if let Some(previous) = file.render(template, inputs, convert) {
        unrendered::log_change(&display_name(template, path), previous.err().as_ref(), file.result().err());
    }
}

/// The path in messages about a file. `None` if the template has only one file: its name is then sufficient.
fn shown_path<'a>(output: &OutputSpec, path: &'a Path) -> Option<&'a Path> {
    matches!(output, OutputSpec::Each(_)).then_some(path)
}

fn display_name(template: &CompiledTemplate, path: Option<&Path>) -> String {
    match path {
        Some(path) => format!("{} for {}", template.name(), path.display()),
        None => template.name().to_owned(),
    }
}
