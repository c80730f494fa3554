//! Shared by the tests of targets: a target with its files and state, and a real nginx.

// Each test program compiles this module for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod nginx;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portreeve::{
    core::condition::error_chain,
    docker,
    sys::state_dir::StateDir,
    target::{ApplyError, ApplyOutcome, DesiredFile, Effect, Member, Settings, Target, TargetKind, TemplateSettings},
};
use tempfile::TempDir;

/// The time limit of a wait; only a real fault reaches it.
pub const LONG: Duration = Duration::from_secs(60);

/// The desired files of a target.
pub use portreeve::target::DesiredFileStore;

/// A temporary directory that nginx's workers can read.
pub fn directory() -> TempDir {
    let directory = tempfile::Builder::new().prefix("portreeve-test-").tempdir().expect("a directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory.path(), open).expect("the test owns it");
    directory
}

/// One instance for each text `service node id`.
pub fn members(texts: &[&str]) -> BTreeSet<Member> {
    let member = |text: &&str| {
        let mut words = text.split(' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Member { service: next(), node: next(), id: next(), ..Member::default() }
    };
    texts.iter().map(member).collect()
}

/// A target with its desired files and state.
pub struct Edge {
    pub target: Target,
    pub desired: DesiredFileStore,
    pub state: PathBuf,
}

impl Edge {
    /// A target with these files. It uses the state of an earlier one in the same directory.
    pub fn new(kind: TargetKind, state: &Path, destinations: &[PathBuf]) -> Self {
        let template = |path: &PathBuf| TemplateSettings { destination: path.clone(), ..TemplateSettings::default() };
        Self::with(kind, state, destinations.iter().map(template).collect())
    }

    /// With settings for each file.
    pub fn with(kind: TargetKind, state: &Path, templates: Vec<TemplateSettings>) -> Self {
        Self::from(Settings::new("edge".to_owned(), kind, templates), state, &docker::Settings::default())
    }

    /// With all settings.
    pub fn from(settings: Settings, state: &Path, docker: &docker::Settings) -> Self {
        let desired = DesiredFileStore::default();
        let opened = StateDir::open(state).expect("no other process has locked it");
        let target = Target::new(settings, desired.clone(), &opened, docker).expect("the settings are valid");
        Self { target, desired, state: state.to_owned() }
    }

    /// Sets the desired files, as after all templates have rendered.
    pub fn want(&self, files: &[(&Path, &str)]) {
        let rendered = |(path, text): &(&Path, &str)| (path.to_path_buf(), Arc::new(DesiredFile::new(0, *text)));
        self.desired.replace(files.iter().map(rendered).collect::<BTreeMap<_, _>>());
    }

    /// Sets one desired file, as a renderer would.
    pub fn put(desired: &DesiredFileStore, path: &Path, text: &str) {
        desired.put(path.to_owned(), Arc::new(DesiredFile::new(0, text)));
        desired.mark_complete();
    }

    pub async fn apply(&mut self) -> Result<ApplyOutcome, ApplyError> {
        self.target.apply().await
    }

    /// A pass that writes these files and brings them into effect.
    pub async fn writes(&mut self, written: &[&Path]) {
        let written = written.iter().map(|path| path.to_path_buf()).collect();
        let done = self.apply().await.unwrap_or_else(|error| panic!("{}", error_chain(&error)));
        assert_eq!(done, ApplyOutcome::Applied { written, effect: Effect::Verified });
        self.is_current().await;
    }

    /// A pass that changes no file and finds no reload pending.
    pub async fn is_current(&mut self) {
        assert_eq!(
            self.apply().await.unwrap_or_else(|error| panic!("{}", error_chain(&error))),
            ApplyOutcome::UpToDate
        );
        assert!(!self.has_pending_reload(), "no reload is pending");
    }

    /// A pass that fails with these texts in the error.
    pub async fn fails(&mut self, saying: &[&str]) -> ApplyError {
        let error = match self.apply().await {
            Ok(applied) => panic!("{applied:?}"),
            Err(error) => error,
        };
        let text = error_chain(&error);
        for part in saying {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        error
    }

    /// Whether the journal has a pending reload.
    pub fn has_pending_reload(&self) -> bool {
        let Ok(journal) = fs::read_to_string(self.state.join("targets/edge/journal")) else { return false };
        let (_, notes) = journal.split_once('\n').expect("a version and a checksum come first");
        let notes: serde_json::Value = serde_json::from_str(notes).expect("it is JSON");
        !notes["owed"].is_null()
    }
}

/// A process that is killed at the end of the test, even if the test fails.
pub struct Program(Child);

impl Program {
    pub fn start(program: &str, args: &[&str]) -> Self {
        Self(Command::new(program).args(args).stdin(Stdio::null()).spawn().expect("it is installed"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn runs(&mut self) -> bool {
        self.0.try_wait().expect("it is a child of ours").is_none()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that another program has started, and that is killed at the end of the test.
pub struct Orphan(Pid);

impl Orphan {
    /// Waits until its pid is in `file`.
    pub fn noted_in(file: &Path) -> Self {
        Self(wait_until("a pid", || {
            let pid = fs::read_to_string(file).unwrap_or_default();
            pid.trim().parse().map(Pid::from_raw)
        }))
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        // It may have exited.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

/// The sorted names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A file's content.
pub fn text(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Calls `attempt` until it succeeds, and returns its result. Blocks the thread.
pub fn wait_until<T, E: Display>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let end = Instant::now() + LONG;
    loop {
        match attempt() {
            Ok(seen) => return seen,
            Err(error) => assert!(Instant::now() < end, "{what}: {error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}
