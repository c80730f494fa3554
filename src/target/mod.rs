//! Targets: files that are written from templates, and the program that uses them.
//!
//! The files of a target are checked together on a copy, swapped together, and made effective by one reload. If the
//! reload cannot be verified, the files are rolled back. Each target has its own task, so a target that hangs does not
//! delay the others.
//!
//! ```text
//! Store<DesiredFile> --ApplyScheduler--> DesiredSnapshot --observe--> PlanInput --plan--> steps --execute--> ApplyOutcome
//!                    quiet period,                        files on the                    check, stage, swap,
//!                    reload budget                        disk, journal                   reload, verify, commit
//!                                                                                         (or roll back)
//! ApplyOutcome --> TargetLog, FailureMemory (when to try again), History (generations), TargetStatuses
//! ```

mod apply_scheduler;
mod backoff;
mod candidate_outcome;
mod command;
mod container;
mod desired_file;
mod diff;
mod effect_record;
mod error;
mod escape_detection;
mod execution;
mod failure;
mod failure_dependencies;
mod file_list;
mod file_operation;
mod files;
mod generation_log;
mod generations;
mod history;
mod journal;
mod membership_change;
mod nginx;
mod observation;
mod owner;
mod pass;
mod plan;
mod probe;
mod program;
mod program_lock;
mod reconcile;
mod reload_budget;
mod retry;
mod running_process;
mod settings;
mod status;
mod subprocess;
mod target_log;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::{
    apply_scheduler::ApplyScheduler, failure::FailureMemory, files::FileAttrs, journal::Journal,
    membership_change::MembershipChange, probe::HttpProbe, program::Program, reload_budget::ReloadBudget,
    target_log::TargetLog,
};
use crate::{core::debounce, docker, sys::state_dir::StateDir};

pub use self::{
    candidate_outcome::CandidateOutcome,
    desired_file::{DesiredFile, DesiredFileStore, DesiredFiles, Digest, HashedContent},
    diff::{Diff, FileDiff},
    effect_record::InEffect,
    error::{ApplyError, Rejection, TargetSetupError},
    escape_detection::detect_escapes,
    files::FileError,
    generations::{Generation, GenerationFile},
    history::{History, HistoryError, RollbackPin, SavedVersion},
    program::{CheckError, CheckVerdict, ReloadError},
    reload_budget::ReloadBudgets,
    running_process::{NotRunningReason, ProcessError},
    settings::{
        CommandSettings, Escape, NginxSettings, ProbeSettings, ReloadMethod, Settings, SymlinkPolicy, TargetKind,
        TargetSettingsError, TemplateSettings,
    },
    status::{TargetStatus, TargetStatuses},
    subprocess::SubprocessError,
    upstream::{Member, Server, Upstream},
};
pub(crate) use self::{diff::unified_diff, failure_dependencies::RecoveryTriggers};

/// File contents by destination.
type ContentByPath = BTreeMap<PathBuf, Arc<HashedContent>>;

/// The files that a check reads.
#[derive(Debug, Default)]
struct Candidate {
    files: ContentByPath,
    /// Those of `files` that differ from the disk.
    changed: BTreeSet<PathBuf>,
    /// Destinations that must not exist, whether or not they do now.
    removed: BTreeSet<PathBuf>,
}

/// The worker of one target.
#[derive(Debug)]
pub struct Target {
    name: String,
    program: Box<dyn Program>,
    probe: Option<HttpProbe>,
    fixed_destinations: Vec<Destination>,
    /// The attributes of the files of templates with `each`, by the template's number.
    multi_file_attrs: BTreeMap<usize, FileAttrs>,
    desired: DesiredFileStore,
    scheduler: ApplyScheduler,
    journal: Journal,
    history: History,
    /// The result for the last candidate, until it is taken.
    outcome: Option<CandidateOutcome>,
    /// The pin that applies to the current files. A new one takes effect without delay.
    applied_pin: Option<RollbackPin>,
    /// What the history records as in effect: the files, the version of the templates, and the pin.
    recorded: Option<(Digest, Option<Digest>, Option<RollbackPin>)>,
    statuses: TargetStatuses,
    failures: FailureMemory,
    /// All budgets of this process.
    budgets: ReloadBudgets,
    /// The budgets that this target shares. They are looked up again until its program is known.
    shared_budgets: Vec<Arc<ReloadBudget>>,
    is_program_known: bool,
    /// Whether the program was notified in this pass.
    was_notified: bool,
    /// `None` until a reload is verified, and after one has failed.
    verified_reload: Option<VerifiedReload>,
    are_leftovers_removed: bool,
    are_originals_recorded: bool,
    log: TargetLog,
    stop: CancellationToken,
}

/// A destination that the settings name.
#[derive(Clone, Debug)]
struct Destination {
    /// As in the settings and in the [`DesiredFileStore`].
    key: PathBuf,
    /// Absolute.
    path: PathBuf,
    attrs: FileAttrs,
}

/// A reload whose success was verified.
#[derive(Clone, Copy, Debug)]
struct VerifiedReload {
    /// The process that was notified, if it is known.
    pid: Option<i32>,
    /// The time from the notification to the end of the verification.
    duration: Duration,
}

/// The result of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// Not all templates have rendered yet.
    Incomplete,
    /// All files are as desired and in effect; none was changed.
    UpToDate,
    /// Files were changed, or the pending reload of an earlier pass was made (then none is written).
    Applied {
        /// The files that were created or replaced, without those that were removed.
        written: Vec<PathBuf>,
        /// Whether they are in effect.
        effect: Effect,
    },
}

/// Whether new files are in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Yes, and that was verified.
    Verified,
    /// The settings name no reload.
    NoReload,
    /// The program is not running; it reads the files when it starts. The reload stays pending until then.
    NotRunning(NotRunningReason),
}

/// The absolute path of a destination without symlinks and `..`, so that two paths of one file are equal. The
/// destination itself if it cannot be resolved.
pub fn resolve_destination(destination: &Path) -> PathBuf {
    files::resolve(destination).unwrap_or_else(|_| destination.to_owned())
}

impl Target {
    /// Sets up a target without changing any file. `desired`: the rendered files by destination, complete as soon as
    /// all templates of the target have rendered. `docker`: the engine that sends signals to containers.
    pub fn new(
        settings: Settings,
        desired: DesiredFileStore,
        state: &StateDir,
        docker: &docker::Settings,
    ) -> Result<Self, TargetSetupError> {
        settings.validate()?;
        let (mut fixed, mut multi_file_attrs) = (Vec::new(), BTreeMap::new());
        for (number, template) in settings.templates.iter().enumerate() {
            let attrs = file_attrs(template)?;
            match template.each {
                Some(_) => drop(multi_file_attrs.insert(number, attrs)),
                None => fixed.push(Destination::new(template, attrs)?),
            }
        }
        let mut seen = BTreeSet::new();
        for Destination { path, .. } in &fixed {
            if !seen.insert(resolve_destination(path)) {
                let (name, destination) = (settings.name, path.clone());
                return Err(TargetSettingsError::DuplicateDestination { name, destination }.into());
            }
        }
        let history = History::new(state, &settings.name, settings.generations, &desired)?;
        let is_single_file = fixed.len() == 1 && multi_file_attrs.is_empty();
        Ok(Self {
            program: program::new(settings.kind, is_single_file, docker)?,
            probe: settings.probe.map(HttpProbe::new).transpose()?,
            fixed_destinations: fixed,
            multi_file_attrs,
            scheduler: ApplyScheduler::new(settings.debounce),
            statuses: TargetStatuses::default(),
            journal: Journal::new(state.folder("targets", &settings.name)),
            applied_pin: history.pin(),
            history,
            outcome: None,
            recorded: None,
            failures: FailureMemory::new(),
            budgets: ReloadBudgets::default(),
            shared_budgets: Vec::new(),
            is_program_known: false,
            was_notified: false,
            verified_reload: None,
            are_leftovers_removed: false,
            are_originals_recorded: false,
            log: TargetLog::new(&settings.name),
            stop: CancellationToken::new(),
            desired,
            name: settings.name,
        })
    }

    /// When `stop` is cancelled, a running check, reload or verification is ended after a short grace period. A pending
    /// reload stays pending.
    pub fn stop_with(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Applies each change without a quiet period, minimum interval or splay.
    pub fn without_debounce(mut self) -> Self {
        let settings = debounce::Settings { interval: Duration::ZERO, ..debounce::Settings::default() };
        self.scheduler = ApplyScheduler::new(settings);
        self
    }

    /// The name in the settings.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid file of its program, if it has one and its path is known.
    pub(crate) fn pid_file(&self) -> Option<&Path> {
        self.program.pid_file()
    }

    /// Its generations and versions, and the rollback pin.
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// Sets where the target's status is published after each pass of the reconcile loop.
    pub fn publish_to(&mut self, statuses: TargetStatuses) {
        self.statuses = statuses;
    }

    /// Shares the reload budgets of `budgets` with other targets of the same program.
    pub fn share_budgets(&mut self, budgets: ReloadBudgets) {
        self.budgets = budgets;
    }

    fn log_outcome(&mut self, applied: &ApplyOutcome, change: &MembershipChange) {
        self.log.outcome(applied, change, self.program.display_name(), self.verified_reload);
    }
}

impl Destination {
    fn new(template: &TemplateSettings, attrs: FileAttrs) -> Result<Self, TargetSetupError> {
        let key = template.destination.clone();
        let path = std::path::absolute(&key);
        let path = path.map_err(|source| TargetSetupError::Destination { path: key.clone(), source })?;
        Ok(Self { key, path, attrs })
    }
}

fn file_attrs(template: &TemplateSettings) -> Result<FileAttrs, TargetSetupError> {
    Ok(FileAttrs {
        mode: template.mode,
        uid: template.user.as_deref().map(owner::user_id).transpose()?,
        gid: template.group.as_deref().map(owner::group_id).transpose()?,
        symlinks: template.symlinks,
        create_dirs: template.create_dirs.unwrap_or(true),
    })
}

/// The time of tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
