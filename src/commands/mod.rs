//! One file per command; `daemon/` for the commands that keep running. Each one reads the configuration and flags,
//! calls the library and prints the result.

mod check;
mod configuration;
pub(super) mod daemon;
mod explain;
mod failure;
mod lint;
mod log;
mod output;
mod record;
mod rollback;
mod runtime;
mod signals;
mod test;

use std::env;

use portreeve::{config::Config, render};

pub(super) use self::{
    check::check, configuration::load_config, explain::explain, failure::CommandFailure, lint::lint,
    log::init as init_log, record::record, rollback::rollback, runtime::block_on, test::test,
};
use self::{
    configuration::{config_file, load_config_from, variable},
    failure::{run_failure, usage_failure},
    output::{print_answer, print_text},
};

/// The settings of `render` for a command that does not write the state directory.
fn read_only_settings(config: Config) -> render::Settings {
    let mut settings = render::Settings::from(config);
    settings.section.state_dir = Some(env::temp_dir());
    settings
}
