//! Parses the command line, runs one mode, maps the result to an exit code.
//!
//! 0: done, or stopped by a signal. 1: something could not be done. 2: a bad command line or configuration. A program that
//! is supervised hands its own on.

mod commands;
mod log;

use std::{fmt, io::Write, process::ExitCode, sync::Once, time::Duration};

use anyhow::Context;
use clap::{
    Parser,
    error::{ContextKind, ErrorKind},
};
use commands::daemon::{Invocation, Mode, run_daemon};
use portreeve::{
    cli::{self, Cli, CliCommand, CommonArgs, LogFormat, OutputFormat, RenderCommand},
    config::{Config, ConfigFile},
    core::condition,
    sys::{environment, init},
    ui::redact,
};
use serde::Serialize;

/// Why we end, other than well.
enum CommandFailure {
    /// The user has to change something before it can work.
    Usage(anyhow::Error),
    /// It could not be done now.
    Run(anyhow::Error),
    /// The answer is no, and it has been printed.
    AlreadyPrinted,
    /// What was supervised has ended with this code.
    ChildExit(u8),
}

/// How long file work that has begun may take at the end: a swap of files is completed, a thread that hangs is left behind.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::translate_go_flags(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return print_usage_error(error),
    };
    // What these find in templates, they print.
    let finds = matches!(cli.command, CliCommand::Check(_) | CliCommand::Test(_));
    let format = log::init(&cli.common, if finds { "info,portreeve::render=off" } else { "info" });
    let is_json = matches!(format, Ok(LogFormat::Json));
    let (error, code) = match format.map_err(CommandFailure::Usage).and_then(|_| run(&cli)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(CommandFailure::Usage(error)) => (error, 2),
        Err(CommandFailure::Run(error)) => (error, 1),
        Err(CommandFailure::AlreadyPrinted) => return ExitCode::FAILURE,
        Err(CommandFailure::ChildExit(code)) => return ExitCode::from(code),
    };
    let reason = redact::urls(&condition::error_chain(error.as_ref()));
    if is_json {
        tracing::error!("{reason}");
    } else {
        // Where nobody can be told, the exit code has to do.
        let _ = writeln!(std::io::stderr(), "portreeve: {reason}");
    }
    ExitCode::from(code)
}

/// Prints what is wrong with the command line, or what it asks for: help, the version.
fn print_usage_error(mut error: clap::Error) -> ExitCode {
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

fn run(cli: &Cli) -> Result<(), CommandFailure> {
    // Only this mode starts programs, which may leave orphans.
    if matches!(&cli.command, CliCommand::Render(flags) if flags.command.is_none()) {
        if init::is_pid_one() {
            return match init::run().context("cannot do a first process's work").map_err(CommandFailure::Run)? {
                0 => Ok(()),
                code => Err(CommandFailure::ChildExit(code)),
            };
        }
        init::unblock_signals().context("cannot hear signals").map_err(CommandFailure::Run)?;
    }
    match &cli.command {
        CliCommand::Register(flags) => {
            run_daemon(&Invocation { common: &cli.common, mode: Mode::Register(flags) }, flags.single)
        }
        CliCommand::Render(flags) => match &flags.command {
            Some(RenderCommand::Rollback(flags)) => {
                block_on(commands::rollback(flags, load_config(&cli.common).map_err(CommandFailure::Usage)?))?
            }
            None => run_daemon(&Invocation { common: &cli.common, mode: Mode::Render(flags) }, flags.single),
        },
        CliCommand::Explain(flags) => {
            block_on(commands::explain(flags, load_config(&cli.common).map_err(CommandFailure::Usage)?))?
        }
        CliCommand::Lint(flags) => {
            commands::lint(flags, load_config(&cli.common).map_err(CommandFailure::Usage)?.register)
        }
        CliCommand::Check(flags) => commands::check(flags, &cli.common),
        CliCommand::Record(flags) => {
            block_on(commands::record(flags, load_config(&cli.common).map_err(CommandFailure::Usage)?))?
        }
        CliCommand::Test(flags) => {
            block_on(commands::test(flags, load_config(&cli.common).map_err(CommandFailure::Usage)?))?
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(CommandFailure::Run)?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    Ok(done)
}

fn load_config(common: &CommonArgs) -> anyhow::Result<Config> {
    load_config_from(&config_file(common), common)
}

fn load_config_from(file: &ConfigFile, common: &CommonArgs) -> anyhow::Result<Config> {
    let config = Config::load(file, environment::variables())?.with_common(common)?;
    if !config.injected_variables.is_empty() {
        static TOLD: Once = Once::new();
        let names = config.injected_variables.join(", ");
        let why = "they look as if a platform had put them there, for a service or link that is called portreeve";
        TOLD.call_once(|| tracing::warn!("these variables are no settings and have no effect: {names}: {why}"));
    }
    Ok(config)
}

fn config_file(common: &CommonArgs) -> ConfigFile {
    let given = common.config.clone().or_else(|| variable("PORTREEVE_CONFIG").map(Into::into));
    given.map_or(ConfigFile::Default, ConfigFile::Given)
}

fn usage_failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandFailure {
    CommandFailure::Usage(error.into())
}

fn run_failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandFailure {
    CommandFailure::Run(error.into())
}

/// An empty variable counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prints an answer, for people or for programs.
fn print_answer(format: OutputFormat, text: &impl fmt::Display, value: &impl Serialize) -> Result<(), CommandFailure> {
    match format {
        OutputFormat::Text => print_text(&text.to_string()),
        OutputFormat::Json => print_text(&format!("{:#}\n", serde_json::json!(value))),
    }
}

/// Prints what was asked for. Whoever closes the pipe has seen enough.
fn print_text(text: &str) -> Result<(), CommandFailure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(CommandFailure::Run(anyhow::Error::new(error).context("cannot write to standard output")))
        }
        _ => Ok(()),
    }
}
