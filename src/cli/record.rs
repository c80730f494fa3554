//! `portreeve record`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{SourceArgs, duration};

/// `portreeve record`. The templates are given as for `render`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("state_dir", |flag| flag.hide(true)))]
pub struct RecordArgs {
    /// The file to write the fixture to (default: standard output)
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How long to wait until everything is rendered
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub deadline: Duration,
    /// Print the answers received so far, even if not everything could be rendered
    #[arg(long)]
    pub partial: bool,
    /// As for `render`
    #[command(flatten)]
    pub sources: SourceArgs,
}
