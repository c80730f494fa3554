//! Parses the command line, runs one mode, maps the result to an exit code.
//!
//! 0: done, or stopped by a signal. 1: something could not be done. 2: a bad command line or configuration. A program that
//! is supervised hands its own on.

mod commands;
mod log;

use std::{fmt, io::Write, path::PathBuf, process::ExitCode, sync::Once, time::Duration};

use anyhow::Context;
use clap::{
    Parser,
    error::{ContextKind, ErrorKind},
};
use commands::daemon::{Keeper, Order, keep};
use portreeve::{
    cli::{self, Cli, Common, Format, LogFormat, Mode, RenderCommand},
    config::Config,
    core::condition,
    sys::{environment, init},
    ui::redact,
};
use serde::Serialize;

/// Why we end, other than well.
enum Failure {
    /// The user has to change something before it can work.
    Usage(anyhow::Error),
    /// It could not be done now.
    Run(anyhow::Error),
    /// The answer is no, and it has been printed.
    Told,
    /// What was supervised has ended with this code.
    Child(u8),
}

/// How long file work that has begun may take at the end: a swap of files is completed, a thread that hangs is left behind.
const SHUTDOWN: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::translate(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return refuse(error),
    };
    // What these find in templates, they print.
    let finds = matches!(cli.mode, Mode::Check(_) | Mode::Test(_));
    let format = log::start(&cli.common, if finds { "info,portreeve::render=off" } else { "info" });
    let is_json = matches!(format, Ok(LogFormat::Json));
    let (error, code) = match format.map_err(Failure::Usage).and_then(|_| run(&cli)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
        Err(Failure::Told) => return ExitCode::FAILURE,
        Err(Failure::Child(code)) => return ExitCode::from(code),
    };
    let reason = redact::urls(&condition::chain(error.as_ref()));
    if is_json {
        tracing::error!("{reason}");
    } else {
        // Where nobody can be told, the exit code has to do.
        let _ = writeln!(std::io::stderr(), "portreeve: {reason}");
    }
    ExitCode::from(code)
}

/// Prints what is wrong with the command line, or what it asks for: help, the version.
fn refuse(mut error: clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::UnknownArgument {
        // An unknown option is a typing error, and nobody's address.
        error.remove(ContextKind::Suggested);
    }
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let text = error.render().to_string();
    let shown = redact::urls(&text);
    // Where nobody can be told, the exit code has to do.
    let _ = if shown == text { error.print() } else { std::io::stderr().write_all(shown.as_bytes()) };
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Result<(), Failure> {
    // Only this mode starts programs, which may leave orphans.
    if matches!(&cli.mode, Mode::Render(flags) if flags.command.is_none()) {
        if init::is_first() {
            return match init::run().context("cannot do a first process's work").map_err(Failure::Run)? {
                0 => Ok(()),
                code => Err(Failure::Child(code)),
            };
        }
        init::hear_signals().context("cannot hear signals").map_err(Failure::Run)?;
    }
    match &cli.mode {
        Mode::Register(flags) => keep(&Order { common: &cli.common, mode: Keeper::Register(flags) }, flags.single),
        Mode::Render(flags) => match &flags.command {
            Some(RenderCommand::Rollback(flags)) => {
                block_on(commands::rollback(flags, load(&cli.common).map_err(Failure::Usage)?))?
            }
            None => keep(&Order { common: &cli.common, mode: Keeper::Render(flags) }, flags.single),
        },
        Mode::Explain(flags) => block_on(commands::explain(flags, load(&cli.common).map_err(Failure::Usage)?))?,
        Mode::Lint(flags) => commands::lint(flags, load(&cli.common).map_err(Failure::Usage)?.register),
        Mode::Check(flags) => commands::check(flags, &cli.common),
        Mode::Record(flags) => block_on(commands::record(flags, load(&cli.common).map_err(Failure::Usage)?))?,
        Mode::Test(flags) => block_on(commands::test(flags, load(&cli.common).map_err(Failure::Usage)?))?,
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Run)?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN);
    Ok(done)
}

fn load(common: &Common) -> anyhow::Result<Config> {
    let config = Config::load(config_file(common).as_deref(), environment::variables())?.with_common(common)?;
    if !config.injected.is_empty() {
        static TOLD: Once = Once::new();
        let names = config.injected.join(", ");
        let why = "they look as if a platform had put them there, for a service or link that is called portreeve";
        TOLD.call_once(|| tracing::warn!("these variables are no settings and have no effect: {names}: {why}"));
    }
    Ok(config)
}

fn config_file(common: &Common) -> Option<PathBuf> {
    common.config.clone().or_else(|| variable("PORTREEVE_CONFIG").map(Into::into))
}

fn usage(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Usage(error.into())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Run(error.into())
}

/// An empty variable counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prints an answer, for people or for programs.
fn answer(format: Format, text: &impl fmt::Display, value: &impl Serialize) -> Result<(), Failure> {
    match format {
        Format::Text => tell(&text.to_string()),
        Format::Json => tell(&format!("{:#}\n", serde_json::json!(value))),
    }
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
