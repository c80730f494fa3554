//! An nginx on this host: `nginx -t` on a staged copy, SIGHUP to the master, proof by its workers.

mod build_info;
mod config_syntax;
mod config_tree;
mod diagnostics;
mod glob;
mod master;
mod staged_config;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    io::{Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use self::{
    build_info::{BuildInfo, ConfigPaths},
    config_tree::ConfigTree,
    master::{Master, WorkerStates},
    staged_config::StagedConfig,
};
use super::{
    Candidate,
    desired_file::{Digest, HashedContent},
    files,
    program::{CheckError, CheckVerdict, ReloadError, ReloadOutcome},
    running_process::NotRunningReason,
    settings, subprocess,
};
use crate::sys::blocking::blocking;

pub use master::ReloadFailure;

/// How much of the error log is looked at after a reload that did not take, in bytes.
const MAX_LOG_BYTES: u64 = 64 * 1024;

/// One nginx, as its settings describe it.
#[derive(Debug)]
pub(super) struct NginxProgram {
    settings: settings::NginxSettings,
    /// What the program said when it was asked first.
    install: Option<Arc<NginxInstall>>,
    /// Where the master's pid stood when that was last looked up.
    pid_file: Option<PathBuf>,
}

#[derive(Debug)]
struct NginxInstall {
    build: BuildInfo,
    paths: ConfigPaths,
}

/// A running nginx.
struct RunningNginx {
    master: Master,
    pid_file: PathBuf,
    error_log: ErrorLog,
}

/// A reload under way.
#[derive(Debug)]
pub(super) struct ReloadInProgress {
    master: Master,
    before: WorkerStates,
    error_log: ErrorLog,
    timeout: Duration,
}

impl ReloadInProgress {
    /// The process that was told.
    pub(super) fn pid(&self) -> i32 {
        self.master.pid()
    }

    /// Waits until new workers have taken over.
    pub(super) async fn verify(self) -> Result<(), ReloadError> {
        let Self { master, before, error_log: log, timeout: limit } = self;
        let waited = master.wait_for_workers(before, limit).await;
        waited.map_err(|failure| ReloadError::Nginx { failure, log: log.errors_from(master.pid()) })
    }
}

impl NginxProgram {
    pub(super) fn new(settings: settings::NginxSettings) -> Self {
        Self { settings, install: None, pid_file: None }
    }

    /// Names all that `nginx -t` would read.
    pub(super) async fn inputs_digest(&mut self, candidate: &Arc<Candidate>) -> Result<Digest, CheckError> {
        Ok(self.read_config(candidate).await?.digest())
    }

    /// The `files` that the configuration would include if they had these texts.
    pub(super) async fn includes(
        &mut self,
        files: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<BTreeSet<PathBuf>, CheckError> {
        let files = files.iter().map(|(path, text)| (path.clone(), Arc::new(HashedContent::new(text.as_slice()))));
        let candidate = Arc::new(Candidate { files: files.collect(), ..Candidate::default() });
        let tree = self.read_config(&candidate).await?;
        Ok(tree.files.into_values().filter_map(|node| node.candidate).collect())
    }

    pub(super) async fn check(
        &mut self,
        candidate: &Arc<Candidate>,
        scratch: TempDir,
    ) -> Result<CheckVerdict, CheckError> {
        let facts = self.install().await?;
        let tree = self.read_config(candidate).await?;
        let inputs = tree.digest();
        let has_pid_file = tree.pid_file.is_some();
        let place = facts.paths.clone();
        let (staged, tree) = blocking(move || (StagedConfig::new(&place, &tree, scratch), tree)).await;
        let staged = staged.map_err(CheckError::Stage)?;
        let args = check_arguments(&facts, &staged, has_pid_file);
        let ended = subprocess::run(&self.settings.binary, &args, self.settings.check_timeout).await?;
        let output = diagnostics::quote_lines(&staged.restore_paths(&ended.output), &tree);
        blocking(move || drop(staged)).await;
        Ok(match ended.status.success() {
            true => {
                let blind = tree.unreached.iter().map(|path| {
                    format!("{} is not part of {}: no include leads to it", path.display(), facts.paths.conf.display())
                });
                let warnings = output.lines().map(str::to_owned);
                CheckVerdict::Accepted { inputs_digest: inputs, warnings: blind.chain(warnings).collect() }
            }
            false => {
                let certain = ended.status.code().is_some() && diagnostics::is_permanent(&output);
                CheckVerdict::Rejected {
                    inputs_digest: inputs,
                    is_permanent: certain,
                    output: ended.failure_message(&["nginx", "-t"], &output),
                }
            }
        })
    }

    /// Who would be told, if anybody.
    pub(super) async fn not_running_reason(&mut self) -> Result<Option<NotRunningReason>, ReloadError> {
        Ok(self.find_running().await?.err())
    }

    pub(super) async fn reload(&mut self) -> Result<ReloadOutcome, ReloadError> {
        let RunningNginx { master, pid_file, error_log: log } = match self.find_running().await? {
            Ok(found) => found,
            Err(absent) => return Ok(ReloadOutcome::NotRunning(absent)),
        };
        let before = master.children()?;
        if !master.send_sighup()? {
            return Ok(ReloadOutcome::NotRunning(NotRunningReason::Exited { file: pid_file, pid: master.pid() }));
        }
        tracing::debug!("SIGHUP sent to nginx's master, process {}", master.pid());
        Ok(ReloadOutcome::InProgress(ReloadInProgress {
            master,
            before,
            error_log: log,
            timeout: self.settings.reload_timeout,
        }))
    }

    /// Why the process is not the master any more; `None` if it is, or if nobody can tell.
    pub(super) async fn replaced_reason(&mut self, pid: i32) -> Option<NotRunningReason> {
        match self.find_running().await.ok()? {
            Ok(RunningNginx { master, pid_file, .. }) if master.pid() != pid => {
                Some(NotRunningReason::Exited { file: pid_file, pid })
            }
            Ok(_) => None,
            Err(absent) => Some(absent),
        }
    }

    /// Where the master's pid stands, as far as that is known.
    pub(super) fn pid_file(&self) -> Option<&Path> {
        self.pid_file.as_deref()
    }

    /// Names the master: two targets with the same one share it.
    pub(super) async fn budget_key(&mut self) -> Result<String, CheckError> {
        let tree = self.read_config(&Arc::default()).await?;
        let file = self.locate_pid_file(&tree).await?;
        Ok(blocking(move || files::resolve(&file).unwrap_or(file)).await.display().to_string())
    }

    async fn locate_pid_file(&mut self, tree: &ConfigTree) -> Result<PathBuf, CheckError> {
        let facts = self.install().await?;
        let pid_file = self.settings.pid_file.as_ref().or(tree.pid_file.as_ref()).unwrap_or(&facts.build.pid_file);
        Ok(self.pid_file.insert(facts.paths.prefix.join(pid_file)).clone())
    }

    async fn find_running(&mut self) -> Result<Result<RunningNginx, NotRunningReason>, ReloadError> {
        let facts = self.install().await.map_err(ReloadError::FindProcess)?;
        let tree = self.read_config(&Arc::default()).await.map_err(ReloadError::FindProcess)?;
        let pid_file = self.locate_pid_file(&tree).await.map_err(ReloadError::FindProcess)?;
        let error_log = tree.error_log.as_ref().unwrap_or(&facts.build.error_log);
        let error_log = facts.paths.prefix.join(error_log);
        Ok(Master::find(&pid_file)?.map(|master| RunningNginx {
            master,
            pid_file,
            error_log: ErrorLog::open(error_log),
        }))
    }

    async fn install(&mut self) -> Result<Arc<NginxInstall>, CheckError> {
        if let Some(facts) = &self.install {
            return Ok(Arc::clone(facts));
        }
        let ended = subprocess::run(&self.settings.binary, &["-V"], self.settings.check_timeout).await?;
        if !ended.status.success() {
            return Err(CheckError::NotNginx { program: self.settings.binary.clone(), output: ended.output });
        }
        let binary = BuildInfo::parse(&ended.output);
        let place = ConfigPaths::new(&binary, self.settings.prefix.as_deref(), self.settings.conf.as_deref());
        Ok(Arc::clone(self.install.insert(Arc::new(NginxInstall { build: binary, paths: place }))))
    }

    async fn read_config(&mut self, candidate: &Arc<Candidate>) -> Result<ConfigTree, CheckError> {
        let (facts, candidate) = (self.install().await?, Arc::clone(candidate));
        blocking(move || {
            ConfigTree::read(&facts.paths, &candidate)
                .map_err(|source| CheckError::Read { path: facts.paths.conf.clone(), source })
        })
        .await
    }
}

/// The test reads the copies and leaves no trace: neither a pid file (`nginx -t` makes an empty one where there is none)
/// nor a line in the log that the program was built with.
fn check_arguments(facts: &NginxInstall, staged: &StagedConfig, has_pid_file: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-t", "-q", "-c"].map(OsString::from).into();
    args.extend([staged.main_copy.as_os_str().into(), "-p".into(), facts.paths.prefix.as_os_str().into()]);
    if facts.build.has_error_log_flag {
        args.extend(["-e".into(), "/dev/null".into()]);
    }
    if !has_pid_file {
        let word = String::from_utf8_lossy(&staged_config::quoted_path(&staged.pid_file)).into_owned();
        args.extend(["-g".into(), format!("pid {word};").into()]);
    }
    args
}

/// nginx's error log, from the moment of a reload on. It is the only place where nginx says why it refused.
#[derive(Debug)]
struct ErrorLog {
    path: PathBuf,
    start: u64,
}

impl ErrorLog {
    fn open(path: PathBuf) -> Self {
        let from = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, start: from }
    }

    /// What a process has complained about since then; empty if there is no such file, or it cannot be read.
    fn errors_from(&self, pid: i32) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = files::open(&self.path)?;
            if !file.metadata()?.is_file() {
                return Ok(Vec::new());
            }
            file.seek(io::SeekFrom::Start(self.start))?;
            let mut text = Vec::new();
            file.take(MAX_LOG_BYTES).read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().unwrap_or_default();
        let from = ["emerg", "alert", "crit"].map(|level| format!("[{level}] {pid}#"));
        let mut lines: Vec<_> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| Some(line[from.iter().find_map(|from| line.find(from))?..].to_owned()))
            .collect();
        lines.dedup();
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_complaints_of_the_master_count() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), "2026/01/01 00:00:00 [emerg] 7#7: old\n").expect("it is ours");
        let log = ErrorLog::open(file.path().to_owned());
        let mut text = fs::read_to_string(file.path()).expect("a file");
        text.push_str(
            "t [notice] 7#7: signal\nt [emerg] 8#8: other\nt [emerg] 7#7: a\nt [emerg] 7#7: a\nt [alert] 7#7: b\n",
        );
        fs::write(file.path(), text).expect("it is ours");
        assert_eq!(log.errors_from(7), "[emerg] 7#7: a\n[alert] 7#7: b");
        assert_eq!(ErrorLog::open(Path::new("/nonexistent").to_owned()).errors_from(7), "");
    }
}
