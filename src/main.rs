//! Parses the command line, runs one mode, maps the result to an exit code.
//!
//! 0: done, or stopped by a signal. 1: something could not be done. 2: a bad command line or configuration. A program that
//! is supervised hands its own on.

mod commands;
mod init;
mod keep;

use std::{fmt, io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use keep::{Keeper, Order, keep};
use portreeve::{
    cli::{self, Cli, Common, Format, LogFormat, Mode, RenderCommand},
    colour::Colours,
    condition,
    config::Config,
    environment,
};
use serde::Serialize;
use tracing::field::Field;
use tracing_subscriber::{EnvFilter, fmt::format};

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

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::translate(std::env::args_os()));
    // What these find in templates, they print.
    let finds = matches!(cli.mode, Mode::Check(_) | Mode::Test(_));
    let format = log(&cli.common, if finds { "info,portreeve::render=off" } else { "info" });
    let is_json = matches!(format, Ok(LogFormat::Json));
    let (error, code) = match format.map_err(Failure::Usage).and_then(|_| run(&cli)) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, 2),
        Err(Failure::Run(error)) => (error, 1),
        Err(Failure::Told) => return ExitCode::FAILURE,
        Err(Failure::Child(code)) => return ExitCode::from(code),
    };
    let reason = condition::chain(error.as_ref());
    if is_json {
        tracing::error!("{reason}");
    } else {
        // Where nobody can be told, the exit code has to do.
        let _ = writeln!(std::io::stderr(), "portreeve: {reason}");
    }
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
    Ok(runtime.context("cannot start the runtime").map_err(Failure::Run)?.block_on(work))
}

fn load(common: &Common) -> anyhow::Result<Config> {
    Ok(Config::load(config_file(common).as_deref(), environment::variables())?.with_common(common)?)
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

/// Starts the log; how it is written.
fn log(common: &Common, default: &str) -> anyhow::Result<LogFormat> {
    let level =
        common.log_level.clone().or_else(|| variable("PORTREEVE_LOG_LEVEL")).unwrap_or_else(|| default.to_owned());
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
    let colours = Colours::on(&std::io::stderr()).are_on();
    // A log that nobody can write to ends nothing.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let lines = lines.with_writer(std::io::stderr).with_ansi(colours);
    match format {
        LogFormat::Text => lines.with_target(false).fmt_fields(format::debug_fn(write_field)).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(format)
}

/// Writes a field of a text line. What a message has said in words, as each does, is not repeated: such fields are for
/// the programs that read JSON.
fn write_field(writer: &mut format::Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        "target_name" | "file" | "service" | "instance" | "reason" => Ok(()),
        // Where a line of a dependency comes from.
        name if name.starts_with("log.") => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// An empty variable is as good as none.
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
