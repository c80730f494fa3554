//! All that is compiled: the templates of every target, and where their files go. What runs takes a new book at any
//! time and goes on with the answers that it has.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Partials, Settings, SetupError, Template, TemplateError, source, template_set};
use crate::{core::store::Store, target};

/// The book in force. Put another one there, and the next pass renders with it.
pub type Books = Store<(), Arc<Book>>;

/// The templates that stay in force whatever the book has, by the target's place among the targets.
pub(super) type HeldSets = Store<usize, Arc<HeldSet>>;

/// Templates that somebody went back to.
#[derive(Debug, PartialEq)]
pub(super) struct HeldSet {
    /// The target's name.
    pub(super) target: String,
    /// Which version of its templates it is.
    pub(super) number: u64,
    pub(super) chapter: Chapter,
}

/// The compiled templates of all targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub(super) chapters: Vec<Chapter>,
    files: BTreeSet<PathBuf>,
}

/// The templates of one target.
pub(super) type Chapter = Vec<Page>;

/// One template, and where its files go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    pub(super) body: Template,
    pub(super) place: Place,
}

/// Where the files of a template go.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// To one file.
    File(PathBuf),
    /// To one file for each member of a list.
    Each(Box<Each>),
}

/// One file for each member.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Each {
    /// The list or record, as an expression.
    pub(super) list: Template,
    /// A member's file.
    pub(super) path: Template,
}

impl Book {
    /// Reads and compiles the partials and the templates of all targets.
    ///
    /// # Errors
    /// What cannot be read, and what is wrong in a template, with its place.
    pub fn read(settings: &Settings) -> Result<Self, SetupError> {
        let directory = settings.section.partials.as_deref();
        let partials = directory.map_or_else(|| Ok(Partials::default()), Partials::read)?;
        let chapters = settings.targets.iter().map(|target| chapter(target, &partials)).collect::<Result<_, _>>()?;
        let templates = settings.targets.iter().flat_map(|target| &target.templates);
        let files = templates.map(|template| template.source.as_path()).chain(directory);
        Ok(Self { chapters, files: files.map(Path::to_owned).collect() })
    }

    #[cfg(test)]
    pub(super) fn of(chapters: Vec<Chapter>) -> Self {
        Self { chapters, files: BTreeSet::new() }
    }

    /// What it was made from: the templates' files, and the directory of partials.
    pub fn files(&self) -> &BTreeSet<PathBuf> {
        &self.files
    }
}

impl Each {
    /// `name`: what errors call the template.
    pub(super) fn compile(name: &str, each: &str, destination: &Path) -> Result<Self, TemplateError> {
        Ok(Self {
            list: Template::expression(format!("{name}, `each`"), each)?,
            path: Template::compile(
                format!("{name}, `destination`"),
                destination.to_string_lossy(),
                target::Escape::Path,
            )?,
        })
    }
}

/// Whether one can take the place of the other: their files go to the same places.
pub(super) fn fits(one: &Chapter, other: &Chapter) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.place == other.place)
}

fn chapter(target: &target::Settings, partials: &Partials) -> Result<Chapter, SetupError> {
    let pages = target.templates.iter().map(|template| page(target, template, partials));
    let mut chapter = pages.collect::<Result<_, _>>()?;
    template_set::mark(&mut chapter);
    Ok(chapter)
}

fn page(target: &target::Settings, template: &target::Template, partials: &Partials) -> Result<Page, SetupError> {
    let path = &template.source;
    let text = source::read(path).map_err(|source| {
        let (target, path) = (target.name.clone(), path.clone());
        SetupError::Read { target, path, source }
    })?;
    let name = path.display().to_string();
    let compiled = || {
        let place = match &template.each {
            None => Place::File(template.destination.clone()),
            Some(each) => Place::Each(Box::new(Each::compile(&name, each, &template.destination)?)),
        };
        Ok(Page { body: Template::with_partials(&name, text, target.escape(template), partials)?, place })
    };
    compiled().map_err(|source| SetupError::Template { target: target.name.clone(), source })
}
