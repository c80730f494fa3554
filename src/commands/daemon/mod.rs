//! `portreeve register` and `portreeve render`: as a daemon that follows its configuration, or once.
//!
//! ```text
//! Invocation ──configure──► Config ──► DaemonJob ──run──► register::run / render::run ──ChildSpec──► supervised child
//!                 ▲                        │
//!                 │                        └─ run_once: --once, --dry-run
//!                 └──── ReloadTrigger: SIGHUP, a change of the file: a valid configuration replaces the job
//! ```

mod reload_trigger;
mod startup_log;
mod supervised_child;

use std::sync::Arc;

use portreeve::{
    cli::{CommonArgs, RegisterArgs, RenderArgs, SinglePassArgs},
    config::{Config, ConfigFile},
    consul::{Client, ConsulLedger, ConsulSource},
    core::condition,
    docker, exec, register, render,
    sys::state_dir::StateDir,
    ui::colour::Colours,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::reload_trigger::{ReloadCause, ReloadTrigger};
use super::{CommandFailure, block_on, config_file, load_config_from, run_failure, signals::stop_on_signals};

/// The commands that run as a daemon.
pub(crate) enum Mode<'a> {
    Register(&'a RegisterArgs),
    Render(&'a RenderArgs),
}

impl Mode<'_> {
    /// Whether the configuration is read again when its file changes.
    fn watches_config(&self, config: &Config) -> bool {
        match self {
            Self::Register(_) => config.register.watch,
            Self::Render(_) => config.render.watch,
        }
    }
}

/// A mode with its command line arguments.
pub(crate) struct Invocation<'a> {
    pub(crate) common: &'a CommonArgs,
    pub(crate) mode: Mode<'a>,
}

/// Runs as a daemon, or a single pass with `--once` or `--dry-run`.
pub(crate) fn run_daemon(invocation: &Invocation<'_>, single: SinglePassArgs) -> Result<(), CommandFailure> {
    let config = configure(invocation, &config_file(invocation.common)).map_err(CommandFailure::Usage)?;
    let job = DaemonJob::new(invocation, config.clone(), single, None).map_err(CommandFailure::Usage)?;
    if let Mode::Register(flags) = invocation.mode {
        if flags.cleanup.is_some() {
            tracing::info!("--cleanup: entries of containers that are gone are always removed");
        }
        warn_of_go_template(&config.register);
    }
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    block_on(async {
        stop_on_signals(stop.clone(), abort.clone()).map_err(CommandFailure::Run)?;
        tokio::select! {
            done = run_to_end(invocation, single, config, job, stop) => done,
            // The supervised child was killed when the other branch was dropped.
            () = abort.cancelled() => std::process::exit(1),
        }
    })?
}

async fn run_to_end(
    invocation: &Invocation<'_>,
    single: SinglePassArgs,
    config: Config,
    job: DaemonJob,
    stop: CancellationToken,
) -> Result<(), CommandFailure> {
    tokio::select! {
        reached = job.wait_for_registry() => reached?,
        () = stop.cancelled() => return Ok(()),
    }
    if !single.dry_run {
        tokio::select! {
            () = startup_log::log_start(&invocation.mode, &config) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    if !single.once && !single.dry_run {
        let (child_sender, child) = watch::channel(exec::ChildSpec::default());
        return supervised_child::run_beside(
            run_with_reloads(invocation, single, config, job, &child_sender, stop.clone()),
            child,
            &stop,
        )
        .await;
    }
    let program = job.program().filter(|_| !single.dry_run);
    job.run_once(single, &stop).await?;
    match program {
        Some(program) => supervised_child::run_alone(program, stop).await,
        None => Ok(()),
    }
}

/// Runs until `stop` is cancelled. A valid configuration replaces the previous one, an invalid one is refused.
async fn run_with_reloads(
    invocation: &Invocation<'_>,
    single: SinglePassArgs,
    mut config: Config,
    mut job: DaemonJob,
    child: &watch::Sender<exec::ChildSpec>,
    stop: CancellationToken,
) -> Result<(), CommandFailure> {
    let mut trigger = ReloadTrigger::new(config_file(invocation.common).path()).map_err(CommandFailure::Run)?;
    loop {
        trigger.set_watching(invocation.mode.watches_config(&config));
        let (end, state_dir) = (stop.child_token(), job.state_dir());
        let mut run = std::pin::pin!(job.run(child, stop.clone(), end.clone()));
        let mut is_refused = false;
        (config, job) = loop {
            let cause = tokio::select! {
                done = &mut run => return done,
                cause = trigger.next() => cause,
            };
            let next = tokio::task::block_in_place(|| {
                let next = configure(invocation, &next_file(invocation, &config))?;
                // SIGHUP also means that a file which the configuration names (a token, a certificate) may have
                // changed.
                let is_same = next == config && cause != ReloadCause::Sighup;
                Ok(if is_same {
                    None
                } else {
                    Some((next.clone(), DaemonJob::new(invocation, next, single, state_dir.as_ref())?))
                })
            });
            match next {
                Ok(Some(next)) => {
                    tracing::info!("{cause}: the configuration was read again");
                    break next;
                }
                Ok(None) if is_refused => tracing::info!("{cause}: the configuration is again the one in effect"),
                Ok(None) => tracing::debug!("{cause}: the configuration has not changed"),
                Err(error) => {
                    let reason = condition::error_chain(anyhow::Error::as_ref(&error));
                    tracing::error!(
                        "{cause}: the configuration is refused, the previous one stays in effect: {reason}"
                    );
                    is_refused = true;
                    continue;
                }
            }
            is_refused = false;
        };
        // Two jobs must not write at the same time.
        end.cancel();
        run.await?;
    }
}

/// Warns if `--tags` is a Go template. Once, at the start: it would fail for every container.
pub(crate) fn warn_of_go_template(settings: &register::Settings) {
    if let Some(hint) = settings.go_template() {
        tracing::warn!("--tags holds a Go template and is left out: Portreeve's templates are Handlebars: {hint}");
    }
}

/// The work that a valid configuration describes.
enum DaemonJob {
    Register { settings: Box<register::Settings>, docker: docker::Client, ledger: Arc<ConsulLedger> },
    Render { setup: Box<render::Setup>, source: Arc<ConsulSource>, program: Option<exec::Settings> },
}

/// The file from which the next configuration is read. A file that has been read once must exist later: otherwise, a
/// file that is absent for a moment while it is replaced would bring all defaults into effect.
fn next_file(invocation: &Invocation<'_>, config: &Config) -> ConfigFile {
    config.file.clone().map_or_else(|| config_file(invocation.common), ConfigFile::Given)
}

/// Reads the file, the environment and the flags.
fn configure(invocation: &Invocation<'_>, file: &ConfigFile) -> anyhow::Result<Config> {
    let config = load_config_from(file, invocation.common)?;
    Ok(match invocation.mode {
        Mode::Register(flags) => config.with_register(flags.clone())?,
        Mode::Render(flags) => config.with_render(flags.clone())?,
    })
}

impl DaemonJob {
    /// Checks everything that can be checked before anything starts. `previous`: the state directory of the previous
    /// job.
    fn new(
        invocation: &Invocation<'_>,
        config: Config,
        single: SinglePassArgs,
        previous: Option<&StateDir>,
    ) -> anyhow::Result<Self> {
        let client = Client::new(&config.consul)?;
        match invocation.mode {
            Mode::Register(_) => {
                let docker = docker::Client::new(config.docker)?;
                let ledger = Arc::new(ConsulLedger::new(client));
                Ok(Self::Register { settings: Box::new(config.register), docker, ledger })
            }
            Mode::Render(_) => {
                let source = Arc::new(ConsulSource::new(client));
                let program = config.exec.clone().into_settings(config.target.iter().map(|target| &target.name))?;
                let settings = config.into();
                let setup = match previous {
                    _ if single.dry_run => render::Setup::open_read_only(settings),
                    Some(previous) => render::Setup::open_beside(settings, previous),
                    None => render::Setup::open(settings),
                };
                Ok(Self::Render { setup: Box::new(setup?), source, program })
            }
        }
    }

    /// The locked state directory, for the next job.
    fn state_dir(&self) -> Option<StateDir> {
        match self {
            Self::Register { .. } => None,
            Self::Render { setup, .. } => Some(setup.state_dir().clone()),
        }
    }

    /// Waits for the registry if `--retry-attempts` sets a limit.
    async fn wait_for_registry(&self) -> Result<(), CommandFailure> {
        match self {
            Self::Register { settings, ledger, .. } => {
                register::wait_for_registry(settings, ledger.as_ref()).await.map_err(run_failure)
            }
            Self::Render { .. } => Ok(()),
        }
    }

    /// The program to supervise.
    fn program(&self) -> Option<exec::Settings> {
        match self {
            Self::Register { .. } => None,
            Self::Render { program, .. } => program.clone(),
        }
    }

    /// Runs until `end` is cancelled: because of `stop`, or because another job replaces this one.
    async fn run(
        self,
        child: &watch::Sender<exec::ChildSpec>,
        stop: CancellationToken,
        end: CancellationToken,
    ) -> Result<(), CommandFailure> {
        match self {
            Self::Register { settings, docker, ledger } => {
                register::run(*settings, docker, ledger, stop, end).await.map_err(run_failure)
            }
            Self::Render { setup, source, program } => {
                child.send_replace(exec::ChildSpec { settings: program, statuses: setup.statuses() });
                render::run(*setup, source, end).await.map_err(run_failure)
            }
        }
    }

    /// Applies everything once, or prints what would be done. When `stop` is cancelled, a swap of files that has begun
    /// is completed.
    async fn run_once(self, single: SinglePassArgs, stop: &CancellationToken) -> Result<(), CommandFailure> {
        let SinglePassArgs { dry_run, deadline, .. } = single;
        let job = match self {
            Self::Render { setup, source, .. } if !dry_run => {
                return render::run_once(*setup, source, deadline, stop).await.map_err(run_failure);
            }
            job => job,
        };
        let work = async {
            match job {
                Self::Register { settings, docker, ledger } => {
                    register::once(*settings, docker, ledger, dry_run, deadline).await.map_err(run_failure)
                }
                Self::Render { setup, source, .. } => {
                    let colours = Colours::for_stream(&std::io::stdout());
                    render::dry_run(*setup, source, deadline, colours, &mut std::io::stdout())
                        .await
                        .map_err(run_failure)
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = stop.cancelled() => Err(CommandFailure::Run(anyhow::anyhow!("stopped before it was done"))),
        }
    }
}
