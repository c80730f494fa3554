//! Targets: files that are written from templates, and the program that uses them.
//!
//! A target is brought in line as one: its files are checked together on a copy, swapped together, and made effective by
//! one reload whose success is proven. What cannot be proven is taken back. Each target has a task of its own, so one
//! that hangs delays nobody else.

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
mod reload_budget;
mod retry;
mod running_process;
mod settings;
mod status;
mod subprocess;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::{
    apply_scheduler::ApplyScheduler, files::FileAttrs, journal::Journal, membership_change::MembershipChange,
    probe::HttpProbe, program::Program, reload_budget::ReloadBudget, retry::TargetRetry,
};
use crate::{
    core::{
        condition::{Condition, error_chain},
        debounce,
        reconcile::{NextPass, PassCause, Reconcile},
    },
    docker,
    sys::state_dir::StateDir,
};

pub use self::{
    candidate_outcome::CandidateOutcome,
    desired_file::{DesiredFile, DesiredFileStore, DesiredFiles, Digest, HashedContent},
    diff::{CheckPreview, Diff, FileDiff},
    effect_record::InEffect,
    error::{ApplyError, Rejection, TargetSetupError},
    escape_detection::detect_escapes,
    files::FileError,
    generations::{Generation, GenerationFile},
    history::{History, HistoryError, RollbackPin, SavedVersion},
    nginx::ReloadFailure,
    program::{CheckError, ReloadError},
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
pub(crate) use self::{diff::unified_diff, failure_dependencies::RecoveryTriggers, file_list::format_file_list};

/// How soon to look again for a program that does not run, and so has a reload coming to it.
const NOT_RUNNING_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Contents by destination.
type ContentByPath = BTreeMap<PathBuf, Arc<HashedContent>>;

/// What a check looks at.
#[derive(Debug, Default)]
struct Candidate {
    files: ContentByPath,
    /// The `files` that differ from those on the disk.
    changed: BTreeSet<PathBuf>,
    /// Destinations at which there is to be no file, whether or not one is there now.
    removed: BTreeSet<PathBuf>,
}

/// The worker of one target.
#[derive(Debug)]
pub struct Target {
    name: String,
    program: Program,
    probe: Option<HttpProbe>,
    /// The destinations that the settings name.
    fixed_destinations: Vec<Destination>,
    /// What is wanted of the files of templates that make many, by the template's number.
    multi_file_attrs: BTreeMap<usize, FileAttrs>,
    desired: DesiredFileStore,
    scheduler: ApplyScheduler,
    journal: Journal,
    history: History,
    /// What has become of the last candidate.
    outcome: Option<CandidateOutcome>,
    /// What was ordered by hand and is worked on: a new order does not wait.
    applied_pin: Option<RollbackPin>,
    /// What is recorded as in effect already: the files, the version of the templates, and what is held on to.
    recorded: Option<(Digest, Option<Digest>, Option<RollbackPin>)>,
    /// Where others learn what has become of it.
    statuses: TargetStatuses,
    /// What has failed, and when it is tried again.
    retry: TargetRetry,
    /// All budgets of this process; those that are ours among them, once it is known which these are.
    budgets: ReloadBudgets,
    shared_budgets: Vec<Arc<ReloadBudget>>,
    is_program_known: bool,
    /// Whether the program was told in this pass.
    was_notified: bool,
    /// Of the last reload, if it took.
    verified_reload: Option<VerifiedReload>,
    are_leftovers_removed: bool,
    are_originals_recorded: bool,
    logged: LoggedState,
    condition: Condition,
    stop: CancellationToken,
}

#[derive(Clone, Debug)]
struct Destination {
    /// As the settings have it, and the store of what is desired.
    key: PathBuf,
    path: PathBuf,
    attrs: FileAttrs,
}

/// A reload that took.
#[derive(Clone, Copy, Debug)]
struct VerifiedReload {
    /// The process that has proven it.
    pid: Option<i32>,
    /// How long that took.
    duration: Duration,
}

/// What is not said twice.
#[derive(Debug, Default)]
struct LoggedState {
    warnings: Vec<String>,
    in_place: BTreeSet<PathBuf>,
    access_lost: BTreeSet<PathBuf>,
    rejection: Option<Rejection>,
    /// Since when something has failed.
    failing_since: Option<Instant>,
    not_running: bool,
    in_sync: bool,
    pin: Option<RollbackPin>,
    /// Names what the templates became and is not taken.
    withheld_digest: Option<Digest>,
}

/// What a pass has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyOutcome {
    /// Not all templates have rendered yet.
    Incomplete,
    /// All is as wanted, and in effect; nothing was touched.
    UpToDate,
    /// Files were changed, or the reload that an earlier pass owed was made good (then nothing is written).
    Applied {
        /// The files that were made or replaced. Those that were removed are not among them.
        written: Vec<PathBuf>,
        /// What became of them.
        effect: Effect,
    },
}

/// Whether new files are in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They are, and that was verified.
    Verified,
    /// The settings name no reload.
    NoReload,
    /// The program does not run; it reads them when it starts. The reload stays owed until it runs.
    NotRunning(NotRunningReason),
}

/// The file that a destination means, so that two ways to one file can be told: absolute, without symlinks and `..`.
/// Where that cannot be found out, the destination itself.
pub fn resolve_destination(destination: &Path) -> PathBuf {
    files::resolve(destination).unwrap_or_else(|_| destination.to_owned())
}

impl Target {
    /// Makes the worker; touches nothing yet. `desired`: for each destination what its template became, complete as soon
    /// as all templates of the target have rendered. `docker`: the engine that may have to pass a signal on.
    pub fn new(
        settings: Settings,
        desired: DesiredFileStore,
        state: &StateDir,
        docker: &docker::Settings,
    ) -> Result<Self, TargetSetupError> {
        settings.validate()?;
        let (mut fixed, mut each) = (Vec::new(), BTreeMap::new());
        for (number, template) in settings.templates.iter().enumerate() {
            let wish = file_attrs(template)?;
            match template.each {
                Some(_) => drop(each.insert(number, wish)),
                None => fixed.push(Destination::new(template, wish)?),
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
        let alone = fixed.len() == 1 && each.is_empty();
        Ok(Self {
            program: Program::new(settings.kind, alone, docker)?,
            probe: settings.probe.map(HttpProbe::new).transpose()?,
            fixed_destinations: fixed,
            multi_file_attrs: each,
            scheduler: ApplyScheduler::new(settings.debounce),
            statuses: TargetStatuses::default(),
            journal: Journal::new(state.folder("targets", &settings.name)),
            applied_pin: history.pin(),
            history,
            outcome: None,
            recorded: None,
            retry: TargetRetry::new(),
            budgets: ReloadBudgets::default(),
            shared_budgets: Vec::new(),
            is_program_known: false,
            was_notified: false,
            verified_reload: None,
            are_leftovers_removed: false,
            are_originals_recorded: false,
            logged: LoggedState::default(),
            stop: CancellationToken::new(),
            condition: Condition::for_target(&settings.name),
            desired,
            name: settings.name,
        })
    }

    /// Ends a check, a reload or a verification that is under way some moments after `stop` is cancelled. What is owed
    /// then stays owed.
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

    /// Where the pid of its program stands, as far as that is known.
    pub(crate) fn pid_file(&self) -> Option<&Path> {
        self.program.pid_file()
    }

    /// What was in effect before, and the way back to it.
    pub fn history(&self) -> History {
        self.history.clone()
    }

    /// After each pass of the loop, a [`Report`] is put there under the target's name.
    pub fn publish_to(&mut self, reports: TargetStatuses) {
        self.statuses = reports;
    }

    /// Takes turns with the other targets of the process where they use the same program.
    pub fn share_budgets(&mut self, budgets: ReloadBudgets) {
        self.budgets = budgets;
    }

    fn log_outcome(&mut self, applied: &ApplyOutcome, change: &MembershipChange) {
        let ApplyOutcome::Applied { written, effect } = applied else {
            let is_new = *applied == ApplyOutcome::UpToDate && !std::mem::replace(&mut self.logged.in_sync, true);
            // Files that are held to their bytes say nothing of what the templates wait for.
            if is_new && !matches!(self.history.pin(), Some(RollbackPin::Data(_))) {
                tracing::info!(target_name = self.name, "target {}: in line", self.name);
            }
            return;
        };
        let files = if written.is_empty() {
            "nothing to write".to_owned()
        } else {
            format!("wrote {}", format_file_list(written))
        };
        let instances = if change.is_empty() { String::new() } else { format!(": {change}") };
        // What is not there is no field.
        let field = |text: String| Some(text).filter(|text| !text.is_empty());
        let (name, file) = (&self.name, field(format_file_list(written)));
        let (service, instance) = (field(change.services()), field(change.to_string()));
        match effect {
            Effect::Verified => {
                let program =
                    self.program.display_name().map_or("probed".to_owned(), |program| format!("reloaded {program}"));
                let took = self.verified_reload.map_or(0, |proof| proof.duration.as_millis());
                tracing::info!(
                    target_name = name,
                    file,
                    service,
                    instance,
                    "target {name}: {program} in {took} ms{instances}; {files}; in effect"
                );
            }
            Effect::NoReload => {
                tracing::info!(target_name = name, file, service, instance, "target {name}: {files}{instances}");
            }
            Effect::NotRunning(absent) if !self.logged.not_running || !written.is_empty() => {
                tracing::warn!(
                    target_name = name,
                    file,
                    service,
                    instance,
                    reason = %absent,
                    "target {name}: {files}{instances}; nobody to reload ({absent}), so that is still owed"
                );
            }
            Effect::NotRunning(_) => {}
        }
        self.logged.not_running = matches!(effect, Effect::NotRunning(_));
        // Later looks say nothing new about it, and a template may be in trouble by then.
        self.logged.in_sync = true;
    }
}

impl Destination {
    fn new(template: &TemplateSettings, wish: FileAttrs) -> Result<Self, TargetSetupError> {
        let key = template.destination.clone();
        let path = std::path::absolute(&key);
        let path = path.map_err(|source| TargetSetupError::Destination { path: key.clone(), source })?;
        Ok(Self { key, path, attrs: wish })
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

impl Reconcile for Target {
    async fn pass(&mut self, cause: PassCause) -> NextPass {
        if cause == PassCause::Wake
            && let Some(next) = self.idle_while_blocked().await
        {
            return next;
        }
        let Some(mut turn) = self.lock_program().await else { return NextPass::Idle };
        let held = match self.pinned_snapshot() {
            Ok(held) => held,
            Err(error) => {
                let (desired, applied) = (self.desired.snapshot(), Err(error));
                status::publish(&self.statuses, &self.name, &desired, None, None, &applied);
                return self.finish_pass(applied, &MembershipChange::default());
            }
        };
        self.scheduler.set_next_regular_reload(turn.next_regular_reload());
        let desired = held.unwrap_or_else(|| self.choose_desired());
        let followed = self.applied_pin.filter(|_| self.history.pin() == self.applied_pin);
        let applied = self.apply_snapshot(&desired).await;
        self.charge_reload(&mut turn, &applied);
        self.scheduler.set_next_regular_reload(turn.next_regular_reload());
        drop(turn);
        let change = self.scheduler.record_outcome(&applied, now());
        status::publish(&self.statuses, &self.name, &desired, followed, self.verified_reload.as_ref(), &applied);
        let next = self.finish_pass(applied, &change);
        self.scheduler.next(next, now())
    }
}

impl Target {
    /// Says what is new about what a pass has come to.
    fn finish_pass(&mut self, applied: Result<ApplyOutcome, ApplyError>, change: &MembershipChange) -> NextPass {
        if applied.is_err() {
            self.logged.failing_since.get_or_insert_with(now);
        }
        match applied {
            Ok(applied) => {
                self.condition.report_ok();
                self.log_outcome(&applied, change);
                let since = self.logged.failing_since.take();
                if let (Some(_), Some(since)) = (self.logged.rejection.take(), since) {
                    let seconds = now().saturating_duration_since(since).as_secs();
                    tracing::info!(target_name = self.name, "target {}: well again after {seconds} s", self.name);
                }
                match applied {
                    ApplyOutcome::Applied { effect: Effect::NotRunning(_), .. } => {
                        NextPass::After(NOT_RUNNING_POLL_INTERVAL)
                    }
                    _ => NextPass::Idle,
                }
            }
            Err(ApplyError::Rejected(rejection)) => {
                if self.logged.rejection.as_ref() != Some(&rejection) {
                    let until =
                        self.retry.next_attempt().map(|until| until.describe(now()).to_string()).unwrap_or_default();
                    let (name, reason) = (&self.name, error_chain(&rejection));
                    tracing::error!(target_name = name, reason, "target {name}: {}", rejection.log_message(&until));
                    self.logged.rejection = Some(rejection);
                }
                self.next_poll()
            }
            Err(error @ ApplyError::Stopped) => {
                tracing::info!(target_name = self.name, "target {}: {error}", self.name);
                NextPass::Idle
            }
            Err(error) => {
                self.condition.report_problem(&error);
                let has_own_time = matches!(error, ApplyError::ReloadDeferred { .. }) || error.retry_cost().is_some();
                if has_own_time { self.next_poll() } else { NextPass::Retry }
            }
        }
    }
}

/// The loop's own clock, which a test can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
