//! From settings to what runs: everything that can be wrong with a configuration is found here, before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::Arc,
};

use serde::Deserialize;

use super::{
    PartialsError, TemplateError, TemplateSet, TemplateStore, control_handler, file_root::FileRoot,
    file_source::FileSource, renderer::TargetRenderer, template_set::PinnedTemplatesStore,
};
use crate::{
    docker,
    registry::Source,
    sys::{
        file_watch::Inotify,
        state_dir::{StateDir, StateError},
    },
    target::{self, ReloadBudgets, RollbackPin, Target, TargetStatus, TargetStatuses},
};

/// What `portreeve render` is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is written.
    pub targets: Vec<target::Settings>,
    /// The table `[render]`.
    pub section: RenderSection,
    /// The engine whose containers can be told of new files.
    pub docker: docker::Settings,
}

/// The table `[render]` of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenderSection {
    /// Where state that must survive a restart lies. Default: [`StateDir::default_path`].
    pub state_dir: Option<PathBuf>,
    /// A directory of partials: each `*.hbs` below it, called by its path without that end. Default: none.
    pub partials: Option<PathBuf>,
    /// The directory whose files templates may read with `file`. Default: none, so `file` is refused.
    pub files: Option<PathBuf>,
    /// Templates, partials and the configuration file are read again when they are saved. Default true.
    pub watch: bool,
}

impl Default for RenderSection {
    fn default() -> Self {
        Self { state_dir: None, partials: None, files: None, watch: true }
    }
}

impl RenderSection {
    /// Where the state lies.
    ///
    /// # Errors
    /// The settings do not say, and there is no place that could be guessed.
    pub fn state_dir(&self) -> Result<PathBuf, StateError> {
        self.state_dir.clone().map_or_else(StateDir::default_path, Ok)
    }
}

/// Why nothing can be rendered: the configuration has to be changed first.
#[derive(Debug, thiserror::Error)]
pub enum RenderSetupError {
    /// There is nothing to do.
    #[error("nothing to render: give --template SOURCE:DESTINATION, or a [[target]] in the configuration file")]
    NoTargets,
    /// Two targets with one name.
    #[error("two targets have the name {0:?}")]
    DuplicateName(String),
    /// Two targets would overwrite each other's file.
    #[error("{}: is the destination of two targets, {first} and {second}", destination.display())]
    DuplicateDestination {
        /// The file.
        destination: PathBuf,
        /// One of the targets.
        first: String,
        /// The other one.
        second: String,
    },
    /// A template would be lost.
    #[error("{}: is a template and its own destination", .0.display())]
    DestinationIsSource(PathBuf),
    /// A template cannot be read.
    #[error("target {target}: cannot read the template {}", path.display())]
    Read {
        /// The target.
        target: String,
        /// The template's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The directory of partials cannot be used.
    #[error(transparent)]
    Partials(#[from] PartialsError),
    /// A template that can never be rendered.
    #[error("target {target}: a template is wrong")]
    Template {
        /// The target.
        target: String,
        /// What is wrong, and where.
        source: TemplateError,
    },
    /// The target's settings do not hold what they should.
    #[error("target {target}")]
    Target {
        /// The target.
        target: String,
        /// What is wrong.
        source: target::TargetSetupError,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Compiled templates and their targets, ready to run.
#[derive(Debug)]
pub struct Setup {
    pub(super) template_store: TemplateStore,
    pub(super) pinned_store: PinnedTemplatesStore,
    pub(super) target_renderers: Vec<TargetRenderer>,
    pub(crate) targets: Vec<Target>,
    file_root: FileRoot,
    state_dir: StateDir,
    reports: TargetStatuses,
    /// What the authors of targets may have taken for granted.
    warnings: Vec<String>,
    /// The targets whose files nothing checks.
    pub(super) unchecked_targets: BTreeSet<String>,
    /// Where templates are read again when they are saved: what from.
    pub(super) watched_settings: Option<Settings>,
}

impl Setup {
    /// Reads and compiles the templates, takes the state directory.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn open(settings: Settings) -> Result<Self, RenderSetupError> {
        Self::new(settings, StateDir::open)
    }

    /// The same beside an earlier run in this process, whose state directory it may share.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn open_beside(settings: Settings, held: &StateDir) -> Result<Self, RenderSetupError> {
        Self::new(settings, |path| StateDir::open_sharing_lock(path, held))
    }

    /// The same for [`dry_run`](super::dry_run): takes nothing, so it works beside a running Portreeve.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn open_read_only(settings: Settings) -> Result<Self, RenderSetupError> {
        Self::new(settings, |path| Ok(StateDir::open_read_only(path)))
    }

    /// The templates in force. A [`Book`] that is put there takes their place, with the same targets and files; the
    /// watches go on.
    pub fn template_store(&self) -> TemplateStore {
        self.template_store.clone()
    }

    /// The state directory.
    pub fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    /// The registry and the files that templates may read, as one.
    pub(super) fn source_with_files<S: Source>(&self, registry: Arc<S>) -> Arc<FileSource<S>> {
        Arc::new(FileSource::new(registry, self.file_root.clone(), Inotify::shared()))
    }

    fn new(
        mut settings: Settings,
        state: impl FnOnce(&std::path::Path) -> Result<StateDir, StateError>,
    ) -> Result<Self, RenderSetupError> {
        check_conflicts(&settings.targets)?;
        target::detect_escapes(&mut settings.targets);
        let watched = settings.section.watch.then(|| settings.clone());
        let book = TemplateSet::read(&settings)?;
        let named = settings.targets.iter().zip(&book.targets);
        let mut sets: Vec<_> = named.map(|(target, chapter)| TargetRenderer::new(&target.name, chapter)).collect();
        let chapters = book.targets.clone();
        let books = TemplateStore::default();
        books.put((), Arc::new(book));
        // The renderer listens to the books, and to the answers beside them.
        sets.iter_mut().for_each(|set| set.narrowing.share_bell(&books));
        let state = state(&settings.section.state_dir()?)?;
        let remark = |target: &target::Settings| Some(format!("target {}: {}", target.name, target.advice()?));
        let remarks = settings.targets.iter().filter_map(remark).collect();
        let unchecked = settings.targets.iter().filter(|target| !target.has_check());
        let unchecked = unchecked.map(|target| target.name.clone()).collect();
        let (reports, budgets, docker) = (TargetStatuses::default(), ReloadBudgets::default(), settings.docker);
        let targets = settings.targets.into_iter().zip(&sets).map(|(settings, set)| {
            let name = settings.name.clone();
            let mut target = Target::new(settings, set.desired.clone(), &state, &docker)
                .map_err(|source| RenderSetupError::Target { target: name.clone(), source })?;
            reports.put(name, TargetStatus::default());
            target.publish_to(reports.clone());
            target.share_budgets(budgets.clone());
            Ok::<_, RenderSetupError>(target)
        });
        let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        let held = PinnedTemplatesStore::with_bell_of(&books);
        for (at, (target, now)) in targets.iter().zip(&chapters).enumerate() {
            let Some(RollbackPin::Templates { templates }) = target.history().pin() else { continue };
            match control_handler::load_pinned_templates(target.name(), &target.history(), Some(templates), now) {
                Ok(set) => {
                    sets[at].replace_templates(&set.templates);
                    held.put(at, Arc::new(set));
                }
                Err(reason) => {
                    target.history().suspend_pin();
                    tracing::error!("{reason}; until then the target follows its templates");
                }
            }
        }
        let allowed = FileRoot::new(settings.section.files);
        Ok(Self {
            template_store: books,
            pinned_store: held,
            target_renderers: sets,
            targets,
            file_root: allowed,
            state_dir: state,
            reports,
            warnings: remarks,
            unchecked_targets: unchecked,
            watched_settings: watched,
        })
    }

    /// Says what the authors of targets may have taken for granted.
    pub(super) fn log_warnings(&self) {
        self.warnings.iter().for_each(|remark| tracing::warn!("{remark}"));
    }

    /// What the targets come to; each of them has an entry from the beginning.
    pub fn reports(&self) -> TargetStatuses {
        self.reports.clone()
    }
}

/// What no single target can know.
fn check_conflicts(targets: &[target::Settings]) -> Result<(), RenderSetupError> {
    if targets.is_empty() {
        return Err(RenderSetupError::NoTargets);
    }
    let (mut names, mut files) = (BTreeSet::new(), BTreeMap::new());
    for target in targets {
        if !names.insert(&target.name) {
            return Err(RenderSetupError::DuplicateName(target.name.clone()));
        }
        for template in target.templates.iter().filter(|template| template.each.is_none()) {
            let real = |path: &PathBuf| fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if real(&template.source) == real(&template.destination) {
                return Err(RenderSetupError::DestinationIsSource(template.source.clone()));
            }
            if let Some(first) = files
                .insert(target::resolve_destination(&template.destination), &target.name)
                .filter(|first| *first != &target.name)
            {
                let (destination, second) = (template.destination.clone(), target.name.clone());
                return Err(RenderSetupError::DuplicateDestination { destination, first: first.clone(), second });
            }
        }
    }
    Ok(())
}
