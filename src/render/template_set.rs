//! All that is compiled: the templates of every target, and where their files go. What runs takes a new book at any
//! time and goes on with the answers that it has.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{CompiledTemplate, Partials, RenderSetupError, Settings, TemplateError, template_file, template_sources};
use crate::{core::store::Store, target};

/// The book in force. Put another one there, and the next pass renders with it.
pub type TemplateStore = Store<(), Arc<TemplateSet>>;

/// The templates that stay in force whatever the book has, by the target's place among the targets.
pub(super) type PinnedTemplatesStore = Store<usize, Arc<PinnedTemplates>>;

/// Templates that somebody went back to.
#[derive(Debug, PartialEq)]
pub(super) struct PinnedTemplates {
    /// The target's name.
    pub(super) target: String,
    /// Which version of its templates it is.
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

/// One template, and where its files go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TemplateSpec {
    pub(super) template: CompiledTemplate,
    pub(super) output: OutputSpec,
}

/// Where the files of a template go.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OutputSpec {
    /// To one file.
    File(PathBuf),
    /// To one file for each member of a list.
    Each(Box<EachSpec>),
}

/// One file for each member.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EachSpec {
    /// The list or record, as an expression.
    pub(super) list: CompiledTemplate,
    /// A member's file.
    pub(super) path: CompiledTemplate,
}

impl TemplateSet {
    /// Reads and compiles the partials and the templates of all targets.
    ///
    /// # Errors
    /// What cannot be read, and what is wrong in a template, with its place.
    pub fn read(settings: &Settings) -> Result<Self, RenderSetupError> {
        let directory = settings.section.partials.as_deref();
        let partials = directory.map_or_else(|| Ok(Partials::default()), Partials::read)?;
        let chapters =
            settings.targets.iter().map(|target| compile_target(target, &partials)).collect::<Result<_, _>>()?;
        let templates = settings.targets.iter().flat_map(|target| &target.templates);
        let files = templates.map(|template| template.source.as_path()).chain(directory);
        Ok(Self { targets: chapters, source_files: files.map(Path::to_owned).collect() })
    }

    #[cfg(test)]
    pub(super) fn from_targets(chapters: Vec<TargetTemplates>) -> Self {
        Self { targets: chapters, source_files: BTreeSet::new() }
    }

    /// What it was made from: the templates' files, and the directory of partials.
    pub fn source_files(&self) -> &BTreeSet<PathBuf> {
        &self.source_files
    }
}

impl EachSpec {
    /// `name`: what errors call the template.
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

/// Whether one can take the place of the other: their files go to the same places.
pub(super) fn has_same_outputs(one: &TargetTemplates, other: &TargetTemplates) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.output == other.output)
}

fn compile_target(target: &target::Settings, partials: &Partials) -> Result<TargetTemplates, RenderSetupError> {
    let pages = target.templates.iter().map(|template| compile_template(target, template, partials));
    let mut chapter = pages.collect::<Result<_, _>>()?;
    template_sources::attach_sources(&mut chapter);
    Ok(chapter)
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
        let place = match &template.each {
            None => OutputSpec::File(template.destination.clone()),
            Some(each) => OutputSpec::Each(Box::new(EachSpec::compile(&name, each, &template.destination)?)),
        };
        Ok(TemplateSpec {
            template: CompiledTemplate::compile_with_partials(&name, text, target.escape(template), partials)?,
            output: place,
        })
    };
    compiled().map_err(|source| RenderSetupError::Template { target: target.name.clone(), source })
}
