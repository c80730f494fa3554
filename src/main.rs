//! Parses the command line, runs one command, maps the result to an exit code.
//!
//! 0: success, or stopped by a signal. 1: something could not be done. 2: an invalid command line or configuration.
//! With a supervised child: its exit code.

mod commands;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{
    Parser,
    error::{ContextKind, ErrorKind},
};
use commands::{
    CommandFailure, block_on,
    daemon::{Invocation, Mode, run_daemon},
    load_config,
};
use portreeve::{
    cli::{self, Cli, CliCommand, LogFormat, RenderCommand},
    core::condition,
    sys::init,
    ui::redact,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(cli::translate_go_flags(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return print_usage_error(error),
    };
    // These commands print the problems of templates themselves.
    let prints_problems = matches!(cli.command, CliCommand::Check(_) | CliCommand::Test(_));
    let format = commands::init_log(&cli.common, if prints_problems { "info,portreeve::render=off" } else { "info" });
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
        // If standard error is closed, there is only the exit code.
        let _ = writeln!(std::io::stderr(), "portreeve: {reason}");
    }
    ExitCode::from(code)
}

/// Prints an error of the command line, the help or the version.
fn print_usage_error(mut error: clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::UnknownArgument {
        // clap suggests to pass an unknown option as the positional argument.
        error.remove(ContextKind::Suggested);
    }
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let text = error.render().to_string();
    let shown = redact::urls(&text);
    // If standard error is closed, there is only the exit code.
    let _ = if shown == text { error.print() } else { std::io::stderr().write_all(shown.as_bytes()) };
    ExitCode::from(code)
}

fn run(cli: &Cli) -> Result<(), CommandFailure> {
    // Only `render` starts programs, and these may leave orphans.
    if matches!(&cli.command, CliCommand::Render(flags) if flags.command.is_none()) {
        if init::is_pid_one() {
            return match init::run().context("cannot run as PID 1").map_err(CommandFailure::Run)? {
                0 => Ok(()),
                code => Err(CommandFailure::ChildExit(code)),
            };
        }
        init::unblock_signals().context("cannot receive signals").map_err(CommandFailure::Run)?;
    }
    let config = || load_config(&cli.common).map_err(CommandFailure::Usage);
    match &cli.command {
        CliCommand::Register(flags) => {
            run_daemon(&Invocation { common: &cli.common, mode: Mode::Register(flags) }, flags.single)
        }
        CliCommand::Render(flags) => match &flags.command {
            Some(RenderCommand::Rollback(flags)) => block_on(commands::rollback(flags, config()?))?,
            None => run_daemon(&Invocation { common: &cli.common, mode: Mode::Render(flags) }, flags.single),
        },
        CliCommand::Explain(flags) => block_on(commands::explain(flags, config()?))?,
        CliCommand::Lint(flags) => commands::lint(flags, config()?.register),
        CliCommand::Check(flags) => commands::check(flags, &cli.common),
        CliCommand::Record(flags) => block_on(commands::record(flags, config()?))?,
        CliCommand::Test(flags) => block_on(commands::test(flags, config()?))?,
    }
}
