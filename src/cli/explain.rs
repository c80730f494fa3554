//! `portreeve explain`.

use clap::Args;

use super::{OutputFormat, RegisterArgs};

/// `portreeve explain`. Every setting that affects a registration can be given as for `register`.
#[derive(Clone, Debug, Args)]
#[command(
    mut_arg("once", |flag| flag.hide(true)),
    mut_arg("dry_run", |flag| flag.hide(true)),
    mut_arg("no_watch", |flag| flag.hide(true)),
    mut_arg("deadline", |flag| flag.help("How long to wait for Docker"))
)]
pub struct ExplainArgs {
    /// The container: its name, its id, or the beginning of its id
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// The format of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// As for `register`
    #[command(flatten)]
    pub register: RegisterArgs,
}
