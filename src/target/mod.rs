//! Targets: files that are written from templates, and the program that uses them.
//!
//! A target is brought in line as one: its files are checked together on a copy, swapped together, and made effective by
//! one reload whose success is proven. What cannot be proven is taken back. Each target has a task of its own, so one
//! that hangs delays nobody else.

mod backoff;
mod budget;
mod command;
mod container;
mod diff;
mod error;
mod failure;
mod files;
mod generations;
mod history;
mod in_effect;
mod journal;
mod language;
mod listing;
mod look;
mod members;
mod nginx;
mod owner;
mod pace;
mod pass;
mod past;
mod plan;
mod probe;
mod process;
mod program;
mod rendered;
mod replace;
mod report;
mod retry;
mod run;
mod settings;
mod stamps;
mod turn;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::{
    budget::Budget, files::Wish, journal::Journal, members::Membership, pace::Pace, probe::Probe, program::Program,
    retry::Retry,
};
use crate::{
    core::{
        condition::{Condition, chain},
        reconcile::{Cause, Next, Reconcile},
    },
    docker,
    sys::state_dir::StateDir,
};

pub use self::{
    budget::Budgets,
    diff::{Diff, FileDiff, Opinion},
    error::{ApplyError, Rejection, SetupError},
    files::FileError,
    generations::{Generation, Kept},
    history::{Held, History, HistoryError, Version},
    in_effect::InEffect,
    language::set_languages,
    nginx::ReloadFailure,
    process::{Absent, ProcessError},
    program::{CheckError, ReloadError},
    rendered::{Desired, Digest, Files, Product, Rendered},
    report::{Report, Reports},
    run::RunError,
    settings::{
        Command, Escape, Kind, Nginx, Probe as ProbeSettings, Reload, Settings, SettingsError, Symlinks, Template,
    },
    verdict::Verdict,
};
pub(crate) use self::{diff::unified, listing::listing, stamps::Remedies};

/// How soon to look again for a program that does not run, and so has a reload coming to it.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Contents by destination.
type Contents = BTreeMap<PathBuf, Arc<Rendered>>;

/// What a check looks at.
#[derive(Debug, Default)]
struct Candidate {
    files: Contents,
    /// The `files` that differ from those on the disk.
    changed: BTreeSet<PathBuf>,
    /// Destinations at which there is to be no file, whether or not one is there now.
    gone: BTreeSet<PathBuf>,
}

/// The worker of one target.
#[derive(Debug)]
pub struct Target {
    name: String,
    program: Program,
    probe: Option<Probe>,
    /// The destinations that the settings name.
    fixed: Vec<Destination>,
    /// What is wanted of the files of templates that make many, by the template's number.
    each: BTreeMap<usize, Wish>,
    desired: Desired,
    pace: Pace,
    journal: Journal,
    history: History,
    /// What has become of the last candidate.
    verdict: Option<Verdict>,
    /// What was ordered by hand and is worked on: a new order does not wait.
    followed: Option<Held>,
    /// What is recorded as in effect already: the files, the version of the templates, and what is held on to.
    recorded: Option<(Digest, Option<Digest>, Option<Held>)>,
    /// Where others learn what has become of it.
    reports: Reports,
    /// What has failed, and when it is tried again.
    retry: Retry,
    /// All budgets of this process; those that are ours among them, once it is known which these are.
    budgets: Budgets,
    shared: Vec<Arc<Budget>>,
    is_located: bool,
    /// Whether the program was told in this pass.
    was_told: bool,
    /// Of the last reload, if it took.
    proof: Option<Proof>,
    swept: bool,
    begun: bool,
    said: Said,
    condition: Condition,
    stop: CancellationToken,
}

#[derive(Clone, Debug)]
struct Destination {
    /// As the settings have it, and the store of what is desired.
    key: PathBuf,
    path: PathBuf,
    wish: Wish,
}

/// A reload that took.
#[derive(Clone, Copy, Debug)]
struct Proof {
    /// The process that has proven it.
    pid: Option<i32>,
    /// How long that took.
    took: Duration,
}

/// What is not said twice.
#[derive(Debug, Default)]
struct Said {
    warnings: Vec<String>,
    in_place: BTreeSet<PathBuf>,
    unkept: BTreeSet<PathBuf>,
    failure: Option<Rejection>,
    /// Since when something has failed.
    since: Option<Instant>,
    absent: bool,
    in_line: bool,
    held: Option<Held>,
    /// Names what the templates became and is not taken.
    withheld: Option<Digest>,
}

/// What a pass has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Not all templates have rendered yet.
    Waiting,
    /// All is as wanted, and in effect; nothing was touched.
    Current,
    /// Files were changed, or the reload that an earlier pass owed was made good (then nothing is written).
    Done {
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
    NotRunning(Absent),
}

/// The file that a destination means, so that two ways to one file can be told: absolute, without symlinks and `..`.
/// Where that cannot be found out, the destination itself.
pub fn place(destination: &Path) -> PathBuf {
    files::follow(destination).unwrap_or_else(|_| destination.to_owned())
}

impl Target {
    /// Makes the worker; touches nothing yet. `desired`: for each destination what its template became, complete as soon
    /// as all templates of the target have rendered. `docker`: the engine that may have to pass a signal on.
    pub fn new(
        settings: Settings,
        desired: Desired,
        state: &StateDir,
        docker: &docker::Settings,
    ) -> Result<Self, SetupError> {
        settings.validate()?;
        let (mut fixed, mut each) = (Vec::new(), BTreeMap::new());
        for (number, template) in settings.templates.iter().enumerate() {
            let wish = wish(template)?;
            match template.each {
                Some(_) => drop(each.insert(number, wish)),
                None => fixed.push(Destination::new(template, wish)?),
            }
        }
        let mut seen = BTreeSet::new();
        for Destination { path, .. } in &fixed {
            if !seen.insert(place(path)) {
                let (name, destination) = (settings.name, path.clone());
                return Err(SettingsError::Twice { name, destination }.into());
            }
        }
        let history = History::new(state, &settings.name, settings.generations, &desired)?;
        let alone = fixed.len() == 1 && each.is_empty();
        Ok(Self {
            program: Program::new(settings.kind, alone, docker)?,
            probe: settings.probe.map(Probe::new).transpose()?,
            fixed,
            each,
            pace: Pace::new(settings.pace),
            reports: Reports::default(),
            journal: Journal::new(state.folder("targets", &settings.name)),
            followed: history.held(),
            history,
            verdict: None,
            recorded: None,
            retry: Retry::new(),
            budgets: Budgets::default(),
            shared: Vec::new(),
            is_located: false,
            was_told: false,
            proof: None,
            swept: false,
            begun: false,
            said: Said::default(),
            stop: CancellationToken::new(),
            condition: Condition::of_target(&settings.name),
            desired,
            name: settings.name,
        })
    }

    /// Ends a check, a reload or a verification that is under way some moments after `stop` is cancelled. What is owed
    /// then stays owed.
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
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
    pub fn report_to(&mut self, reports: Reports) {
        self.reports = reports;
    }

    /// Takes turns with the other targets of the process where they use the same program.
    pub fn share(&mut self, budgets: Budgets) {
        self.budgets = budgets;
    }

    fn say(&mut self, applied: &Applied, change: &Membership) {
        let Applied::Done { written, effect } = applied else {
            let is_new = *applied == Applied::Current && !std::mem::replace(&mut self.said.in_line, true);
            // Files that are held to their bytes say nothing of what the templates wait for.
            if is_new && !matches!(self.history.held(), Some(Held::Data(_))) {
                tracing::info!(target_name = self.name, "target {}: in line", self.name);
            }
            return;
        };
        let files =
            if written.is_empty() { "nothing to write".to_owned() } else { format!("wrote {}", listing(written)) };
        let instances = if change.is_empty() { String::new() } else { format!(": {change}") };
        // What is not there is no field.
        let field = |text: String| Some(text).filter(|text| !text.is_empty());
        let (name, file) = (&self.name, field(listing(written)));
        let (service, instance) = (field(change.services()), field(change.to_string()));
        match effect {
            Effect::Verified => {
                let program = self.program.name().map_or("probed".to_owned(), |program| format!("reloaded {program}"));
                let took = self.proof.map_or(0, |proof| proof.took.as_millis());
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
            Effect::NotRunning(absent) if !self.said.absent || !written.is_empty() => {
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
        self.said.absent = matches!(effect, Effect::NotRunning(_));
        // Later looks say nothing new about it, and a template may be in trouble by then.
        self.said.in_line = true;
    }
}

impl Destination {
    fn new(template: &Template, wish: Wish) -> Result<Self, SetupError> {
        let key = template.destination.clone();
        let path = std::path::absolute(&key);
        let path = path.map_err(|source| SetupError::Destination { path: key.clone(), source })?;
        Ok(Self { key, path, wish })
    }
}

fn wish(template: &Template) -> Result<Wish, SetupError> {
    Ok(Wish {
        mode: template.mode,
        uid: template.user.as_deref().map(owner::user).transpose()?,
        gid: template.group.as_deref().map(owner::group).transpose()?,
        symlinks: template.symlinks,
        create_dirs: template.create_dirs.unwrap_or(true),
    })
}

impl Reconcile for Target {
    async fn pass(&mut self, cause: Cause) -> Next {
        if cause == Cause::Wake
            && let Some(next) = self.rests().await
        {
            return next;
        }
        let Some(mut turn) = self.turn().await else { return Next::Idle };
        let held = match self.ordered() {
            Ok(held) => held,
            Err(error) => return self.conclude(Err(error), &Membership::default()),
        };
        self.pace.wait_until(turn.paid_until());
        let desired = held.unwrap_or_else(|| self.choose());
        let followed = self.followed.filter(|_| self.history.held() == self.followed);
        let applied = self.bring_in_line(&desired).await;
        self.spend(&mut turn, &applied);
        self.pace.wait_until(turn.paid_until());
        drop(turn);
        let change = self.pace.note(&applied, now());
        report::put(&self.reports, &self.name, &desired, followed, self.proof.as_ref(), &applied);
        let next = self.conclude(applied, &change);
        self.pace.next(next, now())
    }
}

impl Target {
    /// Says what is new about what a pass has come to.
    fn conclude(&mut self, applied: Result<Applied, ApplyError>, change: &Membership) -> Next {
        if applied.is_err() {
            self.said.since.get_or_insert_with(now);
        }
        match applied {
            Ok(applied) => {
                self.condition.well();
                self.say(&applied, change);
                let since = self.said.since.take();
                if let (Some(_), Some(since)) = (self.said.failure.take(), since) {
                    let seconds = now().saturating_duration_since(since).as_secs();
                    tracing::info!(target_name = self.name, "target {}: well again after {seconds} s", self.name);
                }
                match applied {
                    Applied::Done { effect: Effect::NotRunning(_), .. } => Next::After(LOOK_AGAIN),
                    _ => Next::Idle,
                }
            }
            Err(ApplyError::Rejected(rejection)) => {
                if self.said.failure.as_ref() != Some(&rejection) {
                    let until = self.retry.next().map(|until| until.described(now()).to_string()).unwrap_or_default();
                    let (name, reason) = (&self.name, chain(&rejection));
                    tracing::error!(target_name = name, reason, "target {name}: {}", rejection.told(&until));
                    self.said.failure = Some(rejection);
                }
                self.poll()
            }
            Err(error @ ApplyError::Stopped) => {
                tracing::info!(target_name = self.name, "target {}: {error}", self.name);
                Next::Idle
            }
            Err(error) => {
                self.condition.trouble(&error);
                let has_own_time = matches!(error, ApplyError::Deferred { .. }) || error.deferral().is_some();
                if has_own_time { self.poll() } else { Next::Retry }
            }
        }
    }
}

/// The loop's own clock, which a test can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
