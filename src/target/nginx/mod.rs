//! An nginx on this host.
//!
//! ```text
//! nginx -V --BuildInfo--> ConfigPaths --ConfigTree::read--> files, pid file, error log
//! candidate --ConfigTree--> StagedConfig --nginx -t--> CheckVerdict
//! pid file --Master--SIGHUP--> worker processes replaced | error log
//! ```

mod build_info;
mod config_syntax;
mod config_tree;
mod diagnostics;
mod error_log;
mod glob;
mod master;
mod overlay;
mod staged_config;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use tempfile::TempDir;

use self::{
    build_info::{BuildInfo, ConfigPaths},
    config_tree::ConfigTree,
    error_log::ErrorLog,
    master::{Master, ReloadFailure},
    staged_config::StagedConfig,
};
use super::{
    Candidate,
    desired_file::{Digest, HashedContent},
    files,
    program::{CheckError, CheckVerdict, Program, ReloadError, ReloadInProgress, ReloadOutcome},
    running_process::NotRunningReason,
    settings,
    subprocess::{self, output_suffix},
};
use crate::sys::blocking::blocking;

/// An nginx on this host, with its settings.
#[derive(Debug)]
pub(super) struct NginxProgram {
    settings: settings::NginxSettings,
    /// The result of the first `nginx -V`.
    install: Option<Arc<NginxInstall>>,
    /// The master's pid file, as last determined from the configuration. `None` before that.
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

/// Why an nginx cannot be inspected.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("{}: does not answer to -V as nginx does{}", program.display(), output_suffix(output))]
    NotNginx { program: PathBuf, output: String },
    #[error("{}: cannot be read; set `conf` if it is elsewhere", path.display())]
    MainFile { path: PathBuf, source: io::Error },
    #[error("the path of nginx's pid file cannot be determined")]
    PidFile(#[source] CheckError),
}

/// nginx was signalled, and does not use the new files.
#[derive(Debug, thiserror::Error)]
#[error("{failure}{}", if log.is_empty() { "; its error log says why".to_owned() } else { output_suffix(log) })]
struct FailedReload {
    failure: ReloadFailure,
    /// The errors that nginx has logged since the signal.
    log: String,
}

impl NginxProgram {
    pub(super) fn new(settings: settings::NginxSettings) -> Self {
        Self { settings, install: None, pid_file: None }
    }

    /// Those of `files` that the configuration would include if they had these contents.
    pub(super) async fn includes(
        &mut self,
        files: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<BTreeSet<PathBuf>, CheckError> {
        let files = files.iter().map(|(path, text)| (path.clone(), Arc::new(HashedContent::new(text.as_slice()))));
        let candidate = Arc::new(Candidate { files: files.collect(), ..Candidate::default() });
        let tree = self.read_config(&candidate).await?;
        Ok(tree.files.into_values().filter_map(|file| file.candidate).collect())
    }

    async fn verdict(
        &mut self,
        candidate: &Arc<Candidate>,
        scratch: TempDir,
    ) -> Result<(CheckVerdict, Digest), CheckError> {
        let install = self.install().await?;
        let tree = self.read_config(candidate).await?;
        let (inputs, has_pid_file) = (tree.digest(), tree.pid_file.is_some());
        let paths = install.paths.clone();
        let (staged, tree) = blocking(move || (StagedConfig::new(&paths, &tree, scratch), tree)).await;
        let staged = staged.map_err(CheckError::Stage)?;
        let args = check_arguments(&install, &staged, has_pid_file);
        let ended = subprocess::run(&self.settings.binary, &args, self.settings.check_timeout).await?;
        let output = diagnostics::quote_lines(&staged.restore_paths(&ended.output), &tree);
        blocking(move || drop(staged)).await;
        let verdict = if ended.status.success() {
            let conf = install.paths.conf.display();
            let unreached = tree
                .unreached
                .iter()
                .map(|path| format!("{} is not part of {conf}: no include leads to it", path.display()));
            CheckVerdict::Accepted { warnings: unreached.chain(output.lines().map(str::to_owned)).collect() }
        } else {
            CheckVerdict::Rejected {
                is_permanent: ended.status.code().is_some() && diagnostics::is_permanent(&output),
                output: ended.failure_message(&["nginx", "-t"], &output),
            }
        };
        Ok((verdict, inputs))
    }

    async fn send_reload(&mut self) -> Result<ReloadOutcome, ReloadError> {
        let RunningNginx { master, pid_file, error_log } = match self.find_running().await? {
            Ok(found) => found,
            Err(reason) => return Ok(ReloadOutcome::NotRunning(reason)),
        };
        let (pid, before, timeout) = (master.pid(), master.children()?, self.settings.reload_timeout);
        if !master.send_sighup()? {
            return Ok(ReloadOutcome::NotRunning(NotRunningReason::Exited { file: pid_file, pid }));
        }
        tracing::debug!("SIGHUP sent to nginx's master, process {pid}");
        let verification = async move {
            let result = master.wait_for_workers(before, timeout).await;
            result.map_err(|failure| {
                ReloadError::not_in_effect(FailedReload { failure, log: error_log.errors_from(pid) })
            })
        };
        Ok(ReloadOutcome::InProgress(ReloadInProgress { pid, verification: Box::pin(verification) }))
    }

    async fn locate_pid_file(&mut self, tree: &ConfigTree) -> Result<PathBuf, CheckError> {
        let install = self.install().await?;
        let pid_file = self.settings.pid_file.as_ref().or(tree.pid_file.as_ref()).unwrap_or(&install.build.pid_file);
        Ok(self.pid_file.insert(install.paths.prefix.join(pid_file)).clone())
    }

    async fn find_running(&mut self) -> Result<Result<RunningNginx, NotRunningReason>, ReloadError> {
        let (pid_file, error_log) =
            self.runtime_paths().await.map_err(|error| ReloadError::not_notified(InspectError::PidFile(error)))?;
        Ok(Master::find(&pid_file)?.map(|master| RunningNginx {
            master,
            pid_file,
            error_log: ErrorLog::open(error_log),
        }))
    }

    /// The pid file and the error log.
    async fn runtime_paths(&mut self) -> Result<(PathBuf, PathBuf), CheckError> {
        let install = self.install().await?;
        let tree = self.read_config(&Arc::default()).await?;
        let error_log = tree.error_log.as_ref().unwrap_or(&install.build.error_log);
        Ok((self.locate_pid_file(&tree).await?, install.paths.prefix.join(error_log)))
    }

    async fn install(&mut self) -> Result<Arc<NginxInstall>, CheckError> {
        if let Some(install) = &self.install {
            return Ok(Arc::clone(install));
        }
        let program = &self.settings.binary;
        let ended = subprocess::run(program, &["-V"], self.settings.check_timeout).await?;
        if !ended.status.success() {
            let error = InspectError::NotNginx { program: program.clone(), output: ended.output };
            return Err(CheckError::Program(error.into()));
        }
        let build = BuildInfo::parse(&ended.output);
        let paths = ConfigPaths::new(&build, self.settings.prefix.as_deref(), self.settings.conf.as_deref());
        Ok(Arc::clone(self.install.insert(Arc::new(NginxInstall { build, paths }))))
    }

    async fn read_config(&mut self, candidate: &Arc<Candidate>) -> Result<ConfigTree, CheckError> {
        let (install, candidate) = (self.install().await?, Arc::clone(candidate));
        blocking(move || {
            ConfigTree::read(&install.paths, &candidate).map_err(|source| {
                CheckError::Program(InspectError::MainFile { path: install.paths.conf.clone(), source }.into())
            })
        })
        .await
    }
}

impl Program for NginxProgram {
    fn inputs_digest<'a>(&'a mut self, candidate: &'a Arc<Candidate>) -> BoxFuture<'a, Result<Digest, CheckError>> {
        Box::pin(async { Ok(self.read_config(candidate).await?.digest()) })
    }

    fn check<'a>(
        &'a mut self,
        candidate: &'a Arc<Candidate>,
        scratch: TempDir,
    ) -> BoxFuture<'a, Result<(CheckVerdict, Digest), CheckError>> {
        Box::pin(self.verdict(candidate, scratch))
    }

    fn reload(&mut self) -> BoxFuture<'_, Result<ReloadOutcome, ReloadError>> {
        Box::pin(self.send_reload())
    }

    fn not_running_reason(&mut self) -> BoxFuture<'_, Result<Option<NotRunningReason>, ReloadError>> {
        Box::pin(async { Ok(self.find_running().await?.err()) })
    }

    fn replaced_reason(&mut self, pid: i32) -> BoxFuture<'_, Option<NotRunningReason>> {
        Box::pin(async move {
            match self.find_running().await.ok()? {
                Ok(RunningNginx { master, pid_file, .. }) if master.pid() != pid => {
                    Some(NotRunningReason::Exited { file: pid_file, pid })
                }
                Ok(_) => None,
                Err(reason) => Some(reason),
            }
        })
    }

    /// The pid file: two targets with the same one share a master.
    fn budget_key(&mut self) -> BoxFuture<'_, Result<Option<String>, CheckError>> {
        Box::pin(async {
            let tree = self.read_config(&Arc::default()).await?;
            let file = self.locate_pid_file(&tree).await?;
            Ok(Some(blocking(move || files::resolve(&file).unwrap_or(file)).await.display().to_string()))
        })
    }

    fn pid_file(&self) -> Option<&Path> {
        self.pid_file.as_deref()
    }

    fn display_name(&self) -> Option<String> {
        Some("nginx".to_owned())
    }
}

/// `nginx -t` reads the copies, and changes nothing outside of them: it creates no pid file (without `-g` it creates an
/// empty one if there is none), and writes nothing to the log that nginx was built with.
fn check_arguments(install: &NginxInstall, staged: &StagedConfig, has_pid_file: bool) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-t", "-q", "-c"].map(OsString::from).into();
    args.extend([staged.main_copy.as_os_str().into(), "-p".into(), install.paths.prefix.as_os_str().into()]);
    if install.build.has_error_log_flag {
        args.extend(["-e".into(), "/dev/null".into()]);
    }
    if !has_pid_file {
        let word = String::from_utf8_lossy(&staged_config::quoted_path(&staged.pid_file)).into_owned();
        args.extend(["-g".into(), format!("pid {word};").into()]);
    }
    args
}
