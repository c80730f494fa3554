//! The compiled templates of all targets, and their destinations. A running renderer accepts a new set at any time, and
//! keeps its answers.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CompiledTemplate, Partials, RenderSetupError, Settings, TemplateError, template_file, template_sources};
use crate::{core::store::Store, target};

/// Holds the current template set. If another one is stored, the next pass renders with it.
pub type TemplateStore = Store<(), Arc<TemplateSet>>;

/// The templates of pinned targets, by the target's index. They have precedence over the template set.
pub(super) type PinnedTemplatesStore = Store<usize, Arc<PinnedTemplates>>;

/// Templates to which a target was rolled back.
#[derive(Debug, PartialEq)]
pub(super) struct PinnedTemplates {
    /// The target's name.
    pub(super) target: String,
    /// The number of this version of its templates.
    pub(super) version: u64,
    pub(super) templates: TargetTemplates,
}

/// The compiled templates of all targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateSet {
    pub(super) targets: Vec<TargetTemplates>,
    source_files: BTreeSet<PathBuf>,
}

/// The templates of one target.
pub(super) type TargetTemplates = Vec<TemplateSpec>;

/// One template, and where its output goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TemplateSpec {
    pub(super) template: CompiledTemplate,
    pub(super) output: OutputSpec,
}

/// Where the output of a template goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OutputSpec {
    /// One file.
    File(PathBuf),
    /// One file for each item of a list.
    Each(Box<EachSpec>),
}

/// One file for each item of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EachSpec {
    /// The list or record, as an expression.
    pub(super) list: CompiledTemplate,
    /// The path of an item's file, rendered with the item.
    pub(super) path: CompiledTemplate,
}

impl TemplateSet {
    /// Reads and compiles the partials and the templates of all targets.
    ///
    /// # Errors
    /// A file cannot be read, or a template is wrong.
    pub fn read(settings: &Settings) -> Result<Self, RenderSetupError> {
        let directory = settings.section.partials.as_deref();
        let partials = directory.map_or_else(|| Ok(Partials::default()), Partials::read)?;
        let compile = |target| compile_target(target, &partials);
        let targets = settings.targets.iter().map(compile).collect::<Result<_, _>>()?;
        let templates = settings.targets.iter().flat_map(|target| &target.templates);
        let files = templates.map(|template| template.source.as_path()).chain(directory);
        Ok(Self { targets, source_files: files.map(Path::to_owned).collect() })
    }

    #[cfg(test)]
    pub(super) fn from_targets(targets: Vec<TargetTemplates>) -> Self {
        Self { targets, source_files: BTreeSet::new() }
    }

    /// The files of the templates, and the directory of partials.
    pub fn source_files(&self) -> &BTreeSet<PathBuf> {
        &self.source_files
    }
}

impl OutputSpec {
    /// `name`: the template's name in errors.
    pub(super) fn compile(name: &str, each: Option<&str>, destination: &Path) -> Result<Self, TemplateError> {
        Ok(match each {
            None => Self::File(destination.to_owned()),
            Some(each) => Self::Each(Box::new(EachSpec::compile(name, each, destination)?)),
        })
    }
}

impl EachSpec {
    /// `name`: the template's name in errors.
    pub(super) fn compile(name: &str, each: &str, destination: &Path) -> Result<Self, TemplateError> {
        Ok(Self {
            list: CompiledTemplate::compile_expression(format!("{name}, `each`"), each)?,
            path: CompiledTemplate::compile(
                format!("{name}, `destination`"),
                destination.to_string_lossy(),
                target::Escape::Path,
            )?,
        })
    }
}

/// Whether one can replace the other, because both write to the same destinations.
pub(super) fn has_same_outputs(one: &TargetTemplates, other: &TargetTemplates) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.output == other.output)
}

fn compile_target(target: &target::Settings, partials: &Partials) -> Result<TargetTemplates, RenderSetupError> {
    let specs = target.templates.iter().map(|template| compile_template(target, template, partials));
    let mut templates = specs.collect::<Result<_, _>>()?;
    template_sources::attach_sources(&mut templates);
    Ok(templates)
}

fn compile_template(
    target: &target::Settings,
    template: &target::TemplateSettings,
    partials: &Partials,
) -> Result<TemplateSpec, RenderSetupError> {
    let path = &template.source;
    let text = template_file::read_template(path).map_err(|source| {
        let (target, path) = (target.name.clone(), path.clone());
        RenderSetupError::Read { target, path, source }
    })?;
    let name = path.display().to_string();
    let compiled = || {
        Ok(TemplateSpec {
            output: OutputSpec::compile(&name, template.each.as_deref(), &template.destination)?,
            template: CompiledTemplate::compile_with_partials(&name, text, target.escape(template), partials)?,
        })
    };
    compiled().map_err(|source| RenderSetupError::Template { target: target.name.clone(), source })
}
