//! Parses the command line, runs one mode, maps the result to an exit code.
//!
//! 0: done, or stopped by a signal. 1: something could not be done. 2: a bad command line or configuration.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use portreeve::{
    cli::{self, Cli, Common, Explain, Format, Lint, LogFormat, Mode, Register, Render, Single, Warnings},
    condition,
    config::Config,
    consul::{Client, ConsulLedger, ConsulSource},
    docker, lint, register, render,
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
    /// The answer is no, and it has been printed.
    Told,
}

fn main() -> ExitCode {
    let (error, code) = match run(&Cli::parse_from(cli::translate(std::env::args_os()))) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
        Err(Failure::Told) => return ExitCode::FAILURE,
    };
    // Where nobody can be told, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "portreeve: {}", condition::chain(error.as_ref()));
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Result<(), Failure> {
    log(&cli.common).map_err(Failure::Usage)?;
    match &cli.mode {
        Mode::Register(flags) => keep(&Order { common: &cli.common, mode: Keeper::Register(flags) }, flags.single),
        Mode::Render(flags) => keep(&Order { common: &cli.common, mode: Keeper::Render(flags) }, flags.single),
        Mode::Explain(flags) => block_on(run_explain(flags, load(&cli.common).map_err(Failure::Usage)?))?,
        Mode::Lint(flags) => run_lint(flags, load(&cli.common).map_err(Failure::Usage)?.register),
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(runtime.context("cannot start the runtime").map_err(Failure::Run)?.block_on(work))
}

/// The modes that keep something in line.
enum Keeper<'a> {
    Register(&'a Register),
    Render(&'a Render),
}

/// What the command line asks for.
struct Order<'a> {
    common: &'a Common,
    mode: Keeper<'a>,
}

/// Runs as a daemon, or once.
fn keep(order: &Order<'_>, single: Single) -> Result<(), Failure> {
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

fn load(common: &Common) -> anyhow::Result<Config> {
    let file = common.config.clone().or_else(|| variable("PORTREEVE_CONFIG").map(Into::into));
    Ok(Config::load(file.as_deref(), environment())?.with_common(common)?)
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
            let config = config.with_render(flags.clone())?;
            let source = Arc::new(ConsulSource::new(Client::new(&config.consul)?));
            let settings = render::Settings { targets: config.target, state_dir: config.render.state_dir };
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

async fn run_explain(flags: &Explain, config: Config) -> Result<(), Failure> {
    let deadline = flags.register.single.deadline;
    let config = config.with_register(flags.register.clone()).map_err(usage)?;
    let docker = docker::Client::new(config.docker).map_err(usage)?;
    let ledger = ConsulLedger::new(Client::new(&config.consul).map_err(usage)?);
    let body = ConsulLedger::body;
    let report = register::explain::explain(config.register, docker, &ledger, body, &flags.container, deadline).await;
    let report = report.map_err(|error| if error.is_usage() { usage(error) } else { failed(error) })?;
    match flags.format {
        Format::Text => tell(&report.to_string())?,
        Format::Json => tell(&format!("{:#}\n", serde_json::json!(report)))?,
    }
    if report.in_line { Ok(()) } else { Err(Failure::Told) }
}

fn run_lint(flags: &Lint, settings: register::Settings) -> Result<(), Failure> {
    let internal = flags.internal.unwrap_or(settings.internal);
    let settings = register::Settings { internal, explicit: flags.explicit.unwrap_or(settings.explicit), ..settings };
    let files = lint::read(&flags.files, &settings).map_err(usage)?;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match flags.format {
        Format::Text => tell(&files.text(colours).to_string())?,
        Format::Json => tell(&format!("{:#}\n", files.json()))?,
    }
    let bad = if flags.warnings == Warnings::Deny { lint::Severity::Warning } else { lint::Severity::Error };
    if files.worst().is_some_and(|worst| worst <= bad) { Err(Failure::Told) } else { Ok(()) }
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
    let level =
        common.log_level.clone().or_else(|| variable("PORTREEVE_LOG_LEVEL")).unwrap_or_else(|| "info".to_owned());
    let words = ["off", "error", "warn", "info", "debug", "trace"];
    let plain = !level.contains(['=', ',', '[']);
    anyhow::ensure!(
        !plain || words.contains(&level.to_ascii_lowercase().as_str()),
        "the log level {level:?} is none of {}, and no filter such as portreeve::docker=debug",
        words.join(", ")
    );
    // The template engine tells of every call of a helper.
    let filter = EnvFilter::try_new(format!("handlebars=off,{level}"))
        .map_err(|_| anyhow::anyhow!("--log-level {level:?} is no filter such as portreeve::docker=debug"))?;
    let format = match (common.log_format, variable("PORTREEVE_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(text)) => LogFormat::from_str(&text, true)
            .map_err(|problem| anyhow::anyhow!("in the environment variable PORTREEVE_LOG_FORMAT: {problem}"))?,
        (None, None) => LogFormat::Text,
    };
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A log that nobody can write to ends nothing.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let lines = lines.with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// An empty variable is as good as none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prints what was asked for. Whoever closes the pipe has seen enough.
fn tell(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(()),
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
