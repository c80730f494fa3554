//! The flags of the child process of `portreeve render`.

use std::time::Duration;

use clap::Args;

use super::duration;
use crate::exec::{ExecCommand, SignalName};

/// A supervised program that uses the rendered files.
#[derive(Clone, Debug, Args)]
pub struct ExecArgs {
    /// A program to start when all targets are applied; the text is split into words, and runs without a shell
    #[arg(long, value_name = "COMMAND", value_parser = parse::<ExecCommand>)]
    pub exec: Option<ExecCommand>,
    /// The signal that reloads it when its files have changed (default none: it is restarted)
    #[arg(long, value_name = "SIGNAL", value_parser = parse::<SignalName>)]
    pub exec_reload_signal: Option<SignalName>,
    /// The signal that stops it (default SIGTERM)
    #[arg(long, value_name = "SIGNAL", value_parser = parse::<SignalName>)]
    pub exec_kill_signal: Option<SignalName>,
    /// How long it may take to stop, before SIGKILL (default 30s)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub exec_kill_timeout: Option<Duration>,
    /// A random delay up to this time before a reload or restart (default none)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub exec_splay: Option<Duration>,
}

/// clap prints an error without its causes.
fn parse<T: std::str::FromStr<Err = crate::exec::ExecSettingsError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| crate::core::condition::error_chain(&error))
}
