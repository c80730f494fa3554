//! `portreeve test`.

use std::path::PathBuf;

use clap::Args;

use super::{OutputFormat, SourceArgs, unused_consul};

/// `portreeve test`. The templates are given as for `render`.
#[derive(Clone, Debug, Args)]
#[command(arg(unused_consul()), mut_arg("state_dir", |flag| flag.hide(true)))]
pub struct TestArgs {
    /// The directory of the cases: every directory in it with a fixture (fixture.json, .toml or .yaml) is a case
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// Run only cases whose name contains this
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
    /// Write the rendered files as the expected ones
    #[arg(long)]
    pub update: bool,
    /// Also run each target's check on the rendered files; the program of the check must be on this host
    #[arg(long)]
    pub check: bool,
    /// The format of the results
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// As for `render`
    #[command(flatten)]
    pub sources: SourceArgs,
}
