//! `portreeve lint`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{OutputFormat, boolean, unused_consul};

/// `portreeve lint`.
#[derive(Clone, Debug, Args)]
#[command(arg(unused_consul()))]
pub struct LintArgs {
    /// Compose files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Whether warnings alone make the exit code 1
    #[arg(long, value_name = "WHETHER", default_value = "deny")]
    pub warnings: WarningPolicy,
    /// The format of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// Check as if register ran with --internal
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub internal: Option<bool>,
    /// Check as if register ran with --explicit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub explicit: Option<bool>,
    /// Check as if register ran with --allow-script-checks
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub allow_script_checks: Option<bool>,
}

/// Whether warnings alone make the exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WarningPolicy {
    /// They do.
    Deny,
    /// They are only printed.
    Allow,
}
