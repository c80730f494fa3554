//! `portreeve check`.

use clap::Args;

use super::{OutputFormat, SourceArgs, WarningPolicy, unused_consul};

/// `portreeve check`. The templates are given as for `render`.
#[derive(Clone, Debug, Args)]
#[command(arg(unused_consul()), mut_arg("state_dir", |flag| flag.hide(true)))]
pub struct CheckArgs {
    /// The format of the findings
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// Whether warnings alone make the exit code 1
    #[arg(long, value_name = "WHETHER", default_value = "allow")]
    pub warnings: WarningPolicy,
    /// As for `render`
    #[command(flatten)]
    pub sources: SourceArgs,
}
