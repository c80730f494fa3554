//! Parses the command line, runs one mode, maps the result to an exit code.
//!
//! 0: done, or stopped by a signal. 1: something could not be done. 2: a bad command line or configuration.

use std::{io::IsTerminal, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Parser;
use portreeve::{
    cli::{self, Cli, Common, LogFormat, Mode, Register, Render, Single},
    condition,
    config::Config,
    consul::{Client, ConsulLedger, ConsulSource},
    docker, register, render,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Why we end, other than well.
enum Failure {
    /// The user has to change something before it can work.
    Usage(anyhow::Error),
    /// It could not be done now.
    Run(anyhow::Error),
}

fn main() -> ExitCode {
    let (error, code) = match run(Cli::parse_from(cli::translate(std::env::args_os()))) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
    };
    eprintln!("portreeve: {}", condition::chain(error.as_ref()));
    ExitCode::from(code)
}

fn run(cli: Cli) -> Result<(), Failure> {
    log(&cli.common).map_err(Failure::Usage)?;
    let config = Config::load(cli.common.config.as_deref(), environment()).map_err(usage)?;
    let config = config.with_common(&cli.common).map_err(usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Run)?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        end_on_signals(stop.clone()).map_err(Failure::Run)?;
        let single = match &cli.mode {
            Mode::Register(flags) => flags.single.once || flags.single.dry_run,
            Mode::Render(flags) => flags.single.once || flags.single.dry_run,
        };
        let given_up = stop.clone();
        let work = async {
            match cli.mode {
                Mode::Register(flags) => run_register(flags, config, stop).await,
                Mode::Render(flags) => run_render(flags, config, stop).await,
            }
        };
        tokio::select! {
            done = work => done,
            () = given_up.cancelled(), if single => Err(Failure::Run(anyhow::anyhow!("stopped before it was done"))),
        }
    })
}

async fn run_register(flags: Box<Register>, config: Config, stop: CancellationToken) -> Result<(), Failure> {
    let Single { once, dry_run, deadline } = flags.single;
    let config = config.with_register(*flags).map_err(usage)?;
    let docker = docker::Client::new(config.docker).map_err(usage)?;
    let ledger = Arc::new(ConsulLedger::new(Client::new(&config.consul).map_err(usage)?));
    if once || dry_run {
        register::once(config.register, docker, ledger, dry_run, deadline).await.map_err(failed)
    } else {
        register::run(config.register, docker, ledger, stop).await.map_err(failed)
    }
}

async fn run_render(flags: Render, config: Config, stop: CancellationToken) -> Result<(), Failure> {
    let Single { once, dry_run, deadline } = flags.single;
    let config = config.with_render(flags).map_err(usage)?;
    let source = Arc::new(ConsulSource::new(Client::new(&config.consul).map_err(usage)?));
    let settings = render::Settings { targets: config.target, state_dir: config.render.state_dir };
    if dry_run {
        let setup = render::Setup::peek(settings).map_err(usage)?;
        return render::dry_run(setup, source, deadline, &mut std::io::stdout()).await.map_err(failed);
    }
    let setup = render::Setup::open(settings).map_err(usage)?;
    if once {
        render::once(setup, source, deadline).await.map_err(failed)
    } else {
        render::run(setup, source, stop).await.map_err(failed)
    }
}

/// Variables that are not text are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn usage(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Usage(error.into())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Run(error.into())
}

fn log(common: &Common) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&common.log_level).with_context(|| format!("--log-level {:?}", common.log_level))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    match common.log_format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
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
