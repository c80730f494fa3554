//! Setup: compiles the templates and makes the targets, so that a wrong configuration is found before anything starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::Arc,
};

use serde::Deserialize;

use super::{
    PartialsError, TemplateError, TemplateSet, TemplateStore, file_root::FileRoot, file_source::FileSource,
    renderer::TargetRenderer, rollback, template_set::PinnedTemplatesStore,
};
use crate::{
    docker,
    registry::Source,
    sys::state_dir::{StateDir, StateError},
    target::{self, ReloadBudgets, RollbackPin, Target, TargetStatus, TargetStatuses},
};

/// The settings of `portreeve render`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The targets.
    pub targets: Vec<target::Settings>,
    /// The table `[render]`.
    pub section: RenderSection,
    /// The Docker engine whose containers may have to be reloaded by a signal.
    pub docker: docker::Settings,
}

/// The table `[render]` of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenderSection {
    /// The directory for state that must survive a restart. Default: [`StateDir::default_path`].
    pub state_dir: Option<PathBuf>,
    /// The directory of the partials: each `*.hbs` below it is one, named by its path without the extension. Default:
    /// none.
    pub partials: Option<PathBuf>,
    /// The directory whose files templates may read with `file`. Default: none; `file` is then an error.
    pub files: Option<PathBuf>,
    /// Whether templates, partials and the configuration file are read again when they are saved. Default: true.
    pub watch: bool,
}

impl Default for RenderSection {
    fn default() -> Self {
        Self { state_dir: None, partials: None, files: None, watch: true }
    }
}

impl RenderSection {
    /// The state directory.
    ///
    /// # Errors
    /// The settings name none, and there is no default.
    pub fn state_dir(&self) -> Result<PathBuf, StateError> {
        self.state_dir.clone().map_or_else(StateDir::default_path, Ok)
    }
}

/// An error in the configuration, or in something that it names.
#[derive(Debug, thiserror::Error)]
pub enum RenderSetupError {
    /// There is no target.
    #[error("nothing to render: give --template SOURCE:DESTINATION, or a [[target]] in the configuration file")]
    NoTargets,
    /// Two targets have the same name.
    #[error("two targets have the name {0:?}")]
    DuplicateName(String),
    /// Two targets have the same destination.
    #[error("{}: is the destination of two targets, {first} and {second}", destination.display())]
    DuplicateDestination {
        /// The file.
        destination: PathBuf,
        /// The first target.
        first: String,
        /// The second target.
        second: String,
    },
    /// A template would overwrite itself.
    #[error("{}: is a template and its own destination", .0.display())]
    DestinationIsSource(PathBuf),
    /// A template cannot be read.
    #[error("target {target}: cannot read the template {}", path.display())]
    Read {
        /// The target.
        target: String,
        /// The template's file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The directory of partials cannot be used.
    #[error(transparent)]
    Partials(#[from] PartialsError),
    /// A template does not compile.
    #[error("target {target}: a template is wrong")]
    Template {
        /// The target.
        target: String,
        /// The error, with its position.
        source: TemplateError,
    },
    /// The settings of a target are wrong.
    #[error("target {target}")]
    Target {
        /// The target.
        target: String,
        /// The error.
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
    statuses: TargetStatuses,
    /// Advice about the settings of targets.
    warnings: Vec<String>,
    /// The targets without a check.
    pub(super) unchecked_targets: BTreeSet<String>,
    /// The settings to read the templates again from when one is saved. `None` if that is off.
    pub(super) watched_settings: Option<Settings>,
}

impl Setup {
    /// Reads and compiles the templates, and locks the state directory.
    ///
    /// # Errors
    /// See [`RenderSetupError`].
    pub fn open(settings: Settings) -> Result<Self, RenderSetupError> {
        Self::new(settings, StateDir::open)
    }

    /// The same for a new configuration, while this process still holds the lock of the state directory.
    ///
    /// # Errors
    /// See [`RenderSetupError`].
    pub fn open_beside(settings: Settings, locked: &StateDir) -> Result<Self, RenderSetupError> {
        Self::new(settings, |path| StateDir::open_sharing_lock(path, locked))
    }

    /// The same for commands that change nothing: locks nothing, so it works beside a running Portreeve.
    ///
    /// # Errors
    /// See [`RenderSetupError`].
    pub fn open_read_only(settings: Settings) -> Result<Self, RenderSetupError> {
        Self::new(settings, |path| Ok(StateDir::open_read_only(path)))
    }

    /// The current templates. A [`TemplateSet`] that is stored there replaces them if it has the same targets and
    /// destinations; the watches go on.
    pub fn template_store(&self) -> TemplateStore {
        self.template_store.clone()
    }

    /// The state directory.
    pub fn state_dir(&self) -> &StateDir {
        &self.state_dir
    }

    /// A source for the registry and for the files that templates may read.
    pub(super) fn source_with_files<S: Source>(&self, registry: Arc<S>) -> Arc<FileSource<S>> {
        Arc::new(FileSource::new(registry, self.file_root.clone()))
    }

    fn new(
        mut settings: Settings,
        state: impl FnOnce(&std::path::Path) -> Result<StateDir, StateError>,
    ) -> Result<Self, RenderSetupError> {
        check_conflicts(&settings.targets)?;
        target::detect_escapes(&mut settings.targets);
        let watched_settings = settings.section.watch.then(|| settings.clone());
        let templates = TemplateSet::read(&settings)?;
        let template_store = TemplateStore::default();
        let named = settings.targets.iter().zip(&templates.targets);
        let mut target_renderers: Vec<_> =
            named.map(|(target, templates)| TargetRenderer::new(&target.name, templates)).collect();
        // The renderer is woken by changes of the answers, the templates and the held items.
        target_renderers.iter_mut().for_each(|target| target.narrowing.share_bell(&template_store));
        let state_dir = state(&settings.section.state_dir()?)?;
        let warning = |target: &target::Settings| Some(format!("target {}: {}", target.name, target.advice()?));
        let warnings = settings.targets.iter().filter_map(warning).collect();
        let unchecked = settings.targets.iter().filter(|target| !target.has_check());
        let unchecked_targets = unchecked.map(|target| target.name.clone()).collect();
        let (statuses, budgets, docker) = (TargetStatuses::default(), ReloadBudgets::default(), settings.docker);
        let targets = settings.targets.into_iter().zip(&target_renderers).map(|(settings, renderer)| {
            let name = settings.name.clone();
            let mut target = Target::new(settings, renderer.desired.clone(), &state_dir, &docker)
                .map_err(|source| RenderSetupError::Target { target: name.clone(), source })?;
            statuses.put(name, TargetStatus::default());
            target.publish_to(statuses.clone());
            target.share_budgets(budgets.clone());
            Ok::<_, RenderSetupError>(target)
        });
        let targets: Vec<_> = targets.collect::<Result<_, _>>()?;
        let pinned_store = PinnedTemplatesStore::with_bell_of(&template_store);
        for (index, (target, current)) in targets.iter().zip(&templates.targets).enumerate() {
            let Some(RollbackPin::Templates { templates }) = target.history().pin() else { continue };
            match rollback::load_pinned_templates(target.name(), &target.history(), Some(templates), current) {
                Ok(pinned) => {
                    target_renderers[index].replace_templates(&pinned.templates, true);
                    pinned_store.put(index, Arc::new(pinned));
                }
                Err(reason) => {
                    target.history().suspend_pin();
                    tracing::error!("{reason}; until then the target follows its templates");
                }
            }
        }
        template_store.put((), Arc::new(templates));
        Ok(Self {
            template_store,
            pinned_store,
            target_renderers,
            targets,
            file_root: FileRoot::new(settings.section.files),
            state_dir,
            statuses,
            warnings,
            unchecked_targets,
            watched_settings,
        })
    }

    /// Logs the advice about the settings.
    pub(super) fn log_warnings(&self) {
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    /// The statuses of the targets. Each target has an entry from the start.
    pub fn statuses(&self) -> TargetStatuses {
        self.statuses.clone()
    }
}

/// Checks for conflicts between targets, and for templates that are their own destination.
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
