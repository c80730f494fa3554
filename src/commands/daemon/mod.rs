//! The modes that keep something in line: as a daemon that follows its configuration, or once.

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
use super::signals::stop_on_signals;
use crate::{CommandFailure, block_on, config_file, load_config_from, run_failure};

/// The modes that keep something in line.
pub(crate) enum Mode<'a> {
    Register(&'a RegisterArgs),
    Render(&'a RenderArgs),
}

impl Mode<'_> {
    /// Whether a save of the configuration file counts.
    fn watches_config(&self, config: &Config) -> bool {
        match self {
            Self::Register(_) => config.register.watch,
            Self::Render(_) => config.render.watch,
        }
    }
}

/// What the command line asks for.
pub(crate) struct Invocation<'a> {
    pub(crate) common: &'a CommonArgs,
    pub(crate) mode: Mode<'a>,
}

/// Runs as a daemon, or once.
pub(crate) fn run_daemon(order: &Invocation<'_>, single: SinglePassArgs) -> Result<(), CommandFailure> {
    let config = configure(order, &config_file(order.common)).map_err(CommandFailure::Usage)?;
    let job = DaemonJob::new(order, config.clone(), single, None).map_err(CommandFailure::Usage)?;
    if let Mode::Register(flags) = order.mode {
        if flags.cleanup.is_some() {
            tracing::info!("--cleanup: entries of containers that are gone are always removed");
        }
        warn_of_go_template(&config.register);
    }
    let (stop, at_once) = (CancellationToken::new(), CancellationToken::new());
    block_on(async {
        stop_on_signals(stop.clone(), at_once.clone()).map_err(CommandFailure::Run)?;
        tokio::select! {
            done = run_to_end(order, single, config, job, stop) => done,
            // What was supervised has been killed with the work.
            () = at_once.cancelled() => std::process::exit(1),
        }
    })?
}

async fn run_to_end(
    order: &Invocation<'_>,
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
            () = startup_log::log_start(&order.mode, &config) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    if !single.once && !single.dry_run {
        let (orders, ordered) = watch::channel(exec::ChildSpec::default());
        return supervised_child::run_beside(
            run_with_reloads(order, single, config, job, &orders, stop.clone()),
            ordered,
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

/// Runs until `stop` is cancelled. A good configuration takes over from the one before, a bad one is refused.
async fn run_with_reloads(
    order: &Invocation<'_>,
    single: SinglePassArgs,
    mut config: Config,
    mut job: DaemonJob,
    orders: &watch::Sender<exec::ChildSpec>,
    stop: CancellationToken,
) -> Result<(), CommandFailure> {
    let mut again = ReloadTrigger::new(config_file(order.common).path()).map_err(CommandFailure::Run)?;
    loop {
        again.set_watching(order.mode.watches_config(&config));
        let (end, state) = (stop.child_token(), job.state_dir());
        let mut run = std::pin::pin!(job.run(orders, stop.clone(), end.clone()));
        let mut refused = false;
        (config, job) = loop {
            let cause = tokio::select! {
                done = &mut run => return done,
                cause = again.next() => cause,
            };
            let next = tokio::task::block_in_place(|| {
                let next = configure(order, &next_file(order, &config))?;
                // Whoever sends SIGHUP may have changed what the configuration only points at: a token, a certificate.
                let same = next == config && cause != ReloadCause::Sighup;
                Ok(if same { None } else { Some((next.clone(), DaemonJob::new(order, next, single, state.as_ref())?)) })
            });
            match next {
                Ok(Some(next)) => {
                    tracing::info!("{cause}: the configuration was read again");
                    break next;
                }
                Ok(None) if refused => tracing::info!("{cause}: the configuration is the one in force again"),
                Ok(None) => tracing::debug!("{cause}: the configuration says the same as before"),
                Err(error) => {
                    let reason = condition::error_chain(anyhow::Error::as_ref(&error));
                    tracing::error!("{cause}: the configuration is refused, the one before stays in force: {reason}");
                    refused = true;
                    continue;
                }
            }
            refused = false;
        };
        // Two runs must not write at the same time.
        end.cancel();
        run.await?;
    }
}

/// A template for another program fails for every container alike: that is told once.
pub(crate) fn warn_of_go_template(settings: &register::Settings) {
    if let Some(hint) = settings.go_template() {
        tracing::warn!("--tags holds a Go template and is left out: Portreeve's templates are Handlebars: {hint}");
    }
}

/// What a valid configuration asks for.
enum DaemonJob {
    Register { settings: Box<register::Settings>, docker: docker::Client, ledger: Arc<ConsulLedger> },
    Render { setup: Box<render::Setup>, source: Arc<ConsulSource>, program: Option<exec::Settings> },
}

/// The file that the next configuration is read from. One that has been read must not be missing later: a file that is
/// absent for a moment, while it is being replaced, would otherwise bring all defaults into force.
fn next_file(order: &Invocation<'_>, config: &Config) -> ConfigFile {
    config.file.clone().map_or_else(|| config_file(order.common), ConfigFile::Given)
}

/// Reads the file, the environment and the flags.
fn configure(order: &Invocation<'_>, file: &ConfigFile) -> anyhow::Result<Config> {
    let config = load_config_from(file, order.common)?;
    Ok(match order.mode {
        Mode::Register(flags) => config.with_register(flags.clone())?,
        Mode::Render(flags) => config.with_render(flags.clone())?,
    })
}

impl DaemonJob {
    /// Checks all that can be checked before anything starts. `held`: the state directory of the run before.
    fn new(
        order: &Invocation<'_>,
        config: Config,
        single: SinglePassArgs,
        held: Option<&StateDir>,
    ) -> anyhow::Result<Self> {
        let client = Client::new(&config.consul)?;
        match order.mode {
            Mode::Register(_) => {
                let docker = docker::Client::new(config.docker)?;
                let ledger = Arc::new(ConsulLedger::new(client));
                Ok(Self::Register { settings: Box::new(config.register), docker, ledger })
            }
            Mode::Render(_) => {
                let source = Arc::new(ConsulSource::new(client));
                let program = config.exec.clone().into_settings(config.target.iter().map(|target| &target.name))?;
                let settings = config.into();
                let setup = match held {
                    _ if single.dry_run => render::Setup::open_read_only(settings),
                    Some(held) => render::Setup::open_beside(settings, held),
                    None => render::Setup::open(settings),
                };
                Ok(Self::Render { setup: Box::new(setup?), source, program })
            }
        }
    }

    /// The state directory that it holds, for the run after it.
    fn state_dir(&self) -> Option<StateDir> {
        match self {
            Self::Register { .. } => None,
            Self::Render { setup, .. } => Some(setup.state_dir().clone()),
        }
    }

    /// Waits for the registry, where a limit is set to that.
    async fn wait_for_registry(&self) -> Result<(), CommandFailure> {
        match self {
            Self::Register { settings, ledger, .. } => {
                register::wait_for_registry(settings, ledger.as_ref()).await.map_err(run_failure)
            }
            Self::Render { .. } => Ok(()),
        }
    }

    /// The program that is supervised.
    fn program(&self) -> Option<exec::Settings> {
        match self {
            Self::Register { .. } => None,
            Self::Render { program, .. } => program.clone(),
        }
    }

    /// Runs until `end` is cancelled: because of `stop`, or because another run takes over.
    async fn run(
        self,
        orders: &watch::Sender<exec::ChildSpec>,
        stop: CancellationToken,
        end: CancellationToken,
    ) -> Result<(), CommandFailure> {
        match self {
            Self::Register { settings, docker, ledger } => {
                register::run(*settings, docker, ledger, stop, end).await.map_err(run_failure)
            }
            Self::Render { setup, source, program } => {
                orders.send_replace(exec::ChildSpec { settings: program, statuses: setup.statuses() });
                render::run(*setup, source, end).await.map_err(run_failure)
            }
        }
    }

    /// Brings everything in line once, or prints what would be done. After `stop` is cancelled, files are not left half
    /// replaced.
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
