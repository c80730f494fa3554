//! `portreeve render rollback`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{OutputFormat, SourceArgs, duration};

/// The subcommands of `render`.
#[derive(Clone, Debug, Subcommand)]
pub enum RenderCommand {
    /// Bring an earlier version of a target's templates and configuration back into effect, and pin the target to it
    Rollback(RollbackArgs),
}

/// `portreeve render rollback`.
#[derive(Clone, Debug, Args)]
pub struct RollbackArgs {
    /// The target; may be omitted if there is only one
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// The version, or with --data the generation (default: the one before the one that is in effect)
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["list", "release"])]
    pub to: Option<u64>,
    /// Go back to earlier files, byte for byte, instead of earlier templates
    #[arg(long, conflicts_with_all = ["list", "release"])]
    pub data: bool,
    /// Only print the versions and generations
    #[arg(long, conflicts_with_all = ["release", "diff"])]
    pub list: bool,
    /// Only print what would change
    #[arg(long, conflicts_with = "release")]
    pub diff: bool,
    /// Unpin the target: its files follow its templates again
    #[arg(long)]
    pub release: bool,
    /// The format of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// How long to wait until it is in effect
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub deadline: Duration,
    /// The same as for the running `portreeve render`
    #[command(flatten)]
    pub sources: SourceArgs,
}
