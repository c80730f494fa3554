//! The modes that keep something in line: as a daemon that reads its configuration again at SIGHUP, or once.

use std::sync::Arc;

use anyhow::Context;
use portreeve::{
    cli::{Common, Register, Render, Single},
    condition,
    consul::{Client, ConsulLedger, ConsulSource},
    docker, register, render,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Failure, block_on, failed, load, usage};

/// The modes that keep something in line.
pub(super) enum Keeper<'a> {
    Register(&'a Register),
    Render(&'a Render),
}

/// What the command line asks for.
pub(super) struct Order<'a> {
    pub(super) common: &'a Common,
    pub(super) mode: Keeper<'a>,
}

/// Runs as a daemon, or once.
pub(super) fn keep(order: &Order<'_>, single: Single) -> Result<(), Failure> {
    let job = prepare(order).map_err(Failure::Usage)?;
    if matches!(order.mode, Keeper::Register(flags) if flags.cleanup.is_some()) {
        tracing::info!("--cleanup: entries of containers that are gone are always removed");
    }
    block_on(async {
        let stop = CancellationToken::new();
        end_on_signals(stop.clone()).map_err(Failure::Run)?;
        tokio::select! {
            reached = job.reach() => reached?,
            () = stop.cancelled() => return Ok(()),
        }
        if !single.once && !single.dry_run {
            return serve(order, job, stop).await;
        }
        tokio::select! {
            done = job.once(single) => done,
            () = stop.cancelled() => Err(Failure::Run(anyhow::anyhow!("stopped before it was done"))),
        }
    })?
}

/// Runs until `stop` is cancelled. SIGHUP reads the configuration again: a good one takes over, a bad one is refused.
async fn serve(order: &Order<'_>, mut job: Job, stop: CancellationToken) -> Result<(), Failure> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP").map_err(Failure::Run)?;
    loop {
        let end = stop.child_token();
        let mut run = std::pin::pin!(job.run(stop.clone(), end.clone()));
        job = loop {
            tokio::select! {
                done = &mut run => return done,
                Some(()) = hangups.recv() => {}
            }
            match prepare(order) {
                Ok(next) => break next,
                Err(error) => {
                    let reason = condition::chain(error.as_ref());
                    tracing::error!("SIGHUP: the configuration is refused, the one before stays in force: {reason}");
                }
            }
        };
        tracing::info!("SIGHUP: the configuration was read again");
        // Two runs must not write at the same time.
        end.cancel();
        run.await?;
    }
}

/// What a valid configuration asks for.
enum Job {
    Register { settings: Box<register::Settings>, docker: docker::Client, ledger: Arc<ConsulLedger> },
    Render { settings: render::Settings, source: Arc<ConsulSource> },
}

/// Reads the file, the environment and the flags, and checks all that can be checked before anything starts.
fn prepare(order: &Order<'_>) -> anyhow::Result<Job> {
    let config = load(order.common)?;
    match order.mode {
        Keeper::Register(flags) => {
            let config = config.with_register(flags.clone())?;
            let docker = docker::Client::new(config.docker)?;
            let ledger = Arc::new(ConsulLedger::new(Client::new(&config.consul)?));
            Ok(Job::Register { settings: Box::new(config.register), docker, ledger })
        }
        Keeper::Render(flags) => {
            let config = config.with_sources(flags.sources.clone())?;
            let source = Arc::new(ConsulSource::new(Client::new(&config.consul)?));
            let settings = render::Settings { targets: config.target, section: config.render, docker: config.docker };
            render::Setup::peek(settings.clone())?;
            Ok(Job::Render { settings, source })
        }
    }
}

impl Job {
    /// Waits for the registry, where a limit is set to that.
    async fn reach(&self) -> Result<(), Failure> {
        match self {
            Self::Register { settings, ledger, .. } => register::reach(settings, ledger.as_ref()).await.map_err(failed),
            Self::Render { .. } => Ok(()),
        }
    }

    /// Runs until `end` is cancelled: because of `stop`, or because another run takes over.
    async fn run(self, stop: CancellationToken, end: CancellationToken) -> Result<(), Failure> {
        match self {
            Self::Register { settings, docker, ledger } => {
                register::run(*settings, docker, ledger, stop, end).await.map_err(failed)
            }
            Self::Render { settings, source } => {
                let setup = render::Setup::open(settings).map_err(usage)?;
                render::run(setup, source, end).await.map_err(failed)
            }
        }
    }

    /// Brings everything in line once, or prints what would be done.
    async fn once(self, single: Single) -> Result<(), Failure> {
        let Single { dry_run, deadline, .. } = single;
        match self {
            Self::Register { settings, docker, ledger } => {
                register::once(*settings, docker, ledger, dry_run, deadline).await.map_err(failed)
            }
            Self::Render { settings, source } if dry_run => {
                let setup = render::Setup::peek(settings).map_err(usage)?;
                render::dry_run(setup, source, deadline, &mut std::io::stdout()).await.map_err(failed)
            }
            Self::Render { settings, source } => {
                let setup = render::Setup::open(settings).map_err(usage)?;
                render::once(setup, source, deadline).await.map_err(failed)
            }
        }
    }
}

/// The first SIGTERM or SIGINT asks for a clean stop, the second does not wait for it.
fn end_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if stop.is_cancelled() {
                tracing::warn!("{name} again: not waiting any longer");
                std::process::exit(1);
            }
            tracing::info!("{name}: stopping");
            stop.cancel();
        }
    });
    Ok(())
}
