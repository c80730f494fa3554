//! The modes that keep something in line: as a daemon that follows its configuration, or once.

mod again;
mod child;
mod start;

use std::sync::Arc;

use portreeve::{
    cli::{Common, Register, Render, Single},
    config::Config,
    consul::{Client, ConsulLedger, ConsulSource},
    core::condition,
    docker, exec, register, render,
    sys::state_dir::StateDir,
    ui::colour::Colours,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::again::{Again, Cause};
use super::signals::end_on_signals;
use crate::{Failure, block_on, config_file, failed, load};

/// The modes that keep something in line.
pub(crate) enum Keeper<'a> {
    Register(&'a Register),
    Render(&'a Render),
}

impl Keeper<'_> {
    /// Whether a save of the configuration file counts.
    fn follows(&self, config: &Config) -> bool {
        match self {
            Self::Register(_) => config.register.watch,
            Self::Render(_) => config.render.watch,
        }
    }
}

/// What the command line asks for.
pub(crate) struct Order<'a> {
    pub(crate) common: &'a Common,
    pub(crate) mode: Keeper<'a>,
}

/// Runs as a daemon, or once.
pub(crate) fn keep(order: &Order<'_>, single: Single) -> Result<(), Failure> {
    let config = configure(order).map_err(Failure::Usage)?;
    let job = Job::new(order, config.clone(), single, None).map_err(Failure::Usage)?;
    if let Keeper::Register(flags) = order.mode {
        if flags.cleanup.is_some() {
            tracing::info!("--cleanup: entries of containers that are gone are always removed");
        }
        tell_of_go_template(&config.register);
    }
    let (stop, at_once) = (CancellationToken::new(), CancellationToken::new());
    block_on(async {
        end_on_signals(stop.clone(), at_once.clone()).map_err(Failure::Run)?;
        tokio::select! {
            done = work(order, single, config, job, stop) => done,
            // What was supervised has been killed with the work.
            () = at_once.cancelled() => std::process::exit(1),
        }
    })?
}

async fn work(
    order: &Order<'_>,
    single: Single,
    config: Config,
    job: Job,
    stop: CancellationToken,
) -> Result<(), Failure> {
    tokio::select! {
        reached = job.reach() => reached?,
        () = stop.cancelled() => return Ok(()),
    }
    if !single.dry_run {
        tokio::select! {
            () = start::tell(&order.mode, &config) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    if !single.once && !single.dry_run {
        let (orders, ordered) = watch::channel(exec::Order::default());
        return child::beside(serve(order, single, config, job, &orders, stop.clone()), ordered, &stop).await;
    }
    let program = job.program().filter(|_| !single.dry_run);
    job.once(single, &stop).await?;
    match program {
        Some(program) => child::alone(program, stop).await,
        None => Ok(()),
    }
}

/// Runs until `stop` is cancelled. A good configuration takes over from the one before, a bad one is refused.
async fn serve(
    order: &Order<'_>,
    single: Single,
    mut config: Config,
    mut job: Job,
    orders: &watch::Sender<exec::Order>,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let mut again = Again::new(config_file(order.common)).map_err(Failure::Run)?;
    loop {
        again.watch(order.mode.follows(&config));
        let (end, state) = (stop.child_token(), job.state());
        let mut run = std::pin::pin!(job.run(orders, stop.clone(), end.clone()));
        let mut refused = false;
        (config, job) = loop {
            let cause = tokio::select! {
                done = &mut run => return done,
                cause = again.next() => cause,
            };
            let next = tokio::task::block_in_place(|| {
                let next = configure(order)?;
                // Whoever sends SIGHUP may have changed what the configuration only points at: a token, a certificate.
                let same = next == config && cause != Cause::Hangup;
                Ok(if same { None } else { Some((next.clone(), Job::new(order, next, single, state.as_ref())?)) })
            });
            match next {
                Ok(Some(next)) => {
                    tracing::info!("{cause}: the configuration was read again");
                    break next;
                }
                Ok(None) if refused => tracing::info!("{cause}: the configuration is the one in force again"),
                Ok(None) => tracing::debug!("{cause}: the configuration says the same as before"),
                Err(error) => {
                    let reason = condition::chain(anyhow::Error::as_ref(&error));
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
pub(crate) fn tell_of_go_template(settings: &register::Settings) {
    if let Some(hint) = settings.go_template() {
        tracing::warn!("--tags holds a Go template and is left out: Portreeve's templates are Handlebars: {hint}");
    }
}

/// What a valid configuration asks for.
enum Job {
    Register { settings: Box<register::Settings>, docker: docker::Client, ledger: Arc<ConsulLedger> },
    Render { setup: Box<render::Setup>, source: Arc<ConsulSource>, program: Option<exec::Settings> },
}

/// Reads the file, the environment and the flags.
fn configure(order: &Order<'_>) -> anyhow::Result<Config> {
    let config = load(order.common)?;
    Ok(match order.mode {
        Keeper::Register(flags) => config.with_register(flags.clone())?,
        Keeper::Render(flags) => config.with_render(flags.clone())?,
    })
}

impl Job {
    /// Checks all that can be checked before anything starts. `held`: the state directory of the run before.
    fn new(order: &Order<'_>, config: Config, single: Single, held: Option<&StateDir>) -> anyhow::Result<Self> {
        let client = Client::new(&config.consul)?;
        match order.mode {
            Keeper::Register(_) => {
                let docker = docker::Client::new(config.docker)?;
                let ledger = Arc::new(ConsulLedger::new(client));
                Ok(Self::Register { settings: Box::new(config.register), docker, ledger })
            }
            Keeper::Render(_) => {
                let source = Arc::new(ConsulSource::new(client));
                let program = config.exec.clone().settings(config.target.iter().map(|target| &target.name))?;
                let settings = config.into();
                let setup = match held {
                    _ if single.dry_run => render::Setup::peek(settings),
                    Some(held) => render::Setup::take_over(settings, held),
                    None => render::Setup::open(settings),
                };
                Ok(Self::Render { setup: Box::new(setup?), source, program })
            }
        }
    }

    /// The state directory that it holds, for the run after it.
    fn state(&self) -> Option<StateDir> {
        match self {
            Self::Register { .. } => None,
            Self::Render { setup, .. } => Some(setup.state().clone()),
        }
    }

    /// Waits for the registry, where a limit is set to that.
    async fn reach(&self) -> Result<(), Failure> {
        match self {
            Self::Register { settings, ledger, .. } => register::reach(settings, ledger.as_ref()).await.map_err(failed),
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
        orders: &watch::Sender<exec::Order>,
        stop: CancellationToken,
        end: CancellationToken,
    ) -> Result<(), Failure> {
        match self {
            Self::Register { settings, docker, ledger } => {
                register::run(*settings, docker, ledger, stop, end).await.map_err(failed)
            }
            Self::Render { setup, source, program } => {
                orders.send_replace(exec::Order { settings: program, reports: setup.reports() });
                render::run(*setup, source, end).await.map_err(failed)
            }
        }
    }

    /// Brings everything in line once, or prints what would be done. After `stop` is cancelled, files are not left half
    /// replaced.
    async fn once(self, single: Single, stop: &CancellationToken) -> Result<(), Failure> {
        let Single { dry_run, deadline, .. } = single;
        let job = match self {
            Self::Render { setup, source, .. } if !dry_run => {
                return render::once(*setup, source, deadline, stop).await.map_err(failed);
            }
            job => job,
        };
        let work = async {
            match job {
                Self::Register { settings, docker, ledger } => {
                    register::once(*settings, docker, ledger, dry_run, deadline).await.map_err(failed)
                }
                Self::Render { setup, source, .. } => {
                    let colours = Colours::on(&std::io::stdout());
                    render::dry_run(*setup, source, deadline, colours, &mut std::io::stdout()).await.map_err(failed)
                }
            }
        };
        tokio::select! {
            done = work => done,
            () = stop.cancelled() => Err(Failure::Run(anyhow::anyhow!("stopped before it was done"))),
        }
    }
}
