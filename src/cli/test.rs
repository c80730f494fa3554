//! `portreeve test`.

use std::path::PathBuf;

use clap::Args;

use super::{OutputFormat, SourceArgs, unused_consul};

/// `portreeve test`: what is rendered can be given as for `render`.
#[derive(Clone, Debug, Args)]
#[command(arg(unused_consul()), mut_arg("state_dir", |flag| flag.hide(true)))]
pub struct TestArgs {
    /// Every directory in it that holds a fixture (fixture.json, .toml or .yaml) is a case
    #[arg(value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// Only cases whose name contains this
    #[arg(long, value_name = "NAME")]
    pub filter: Option<String>,
    /// Make what is rendered the expected files
    #[arg(long)]
    pub update: bool,
    /// Have each target's check look at what is rendered, too; the check's program must be on this host
    #[arg(long)]
    pub check: bool,
    /// How the results are printed
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// As for `render`
    #[command(flatten)]
    pub sources: SourceArgs,
}
