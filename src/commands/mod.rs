//! The commands that come before production: none of them writes what `render` would.

mod check;
mod record;
mod test;

use std::env;

use portreeve::{config::Config, render};

pub(super) use self::{check::check, record::record, test::test};

/// What is rendered. Who only looks needs no state directory.
fn settings(config: Config) -> render::Settings {
    let section = render::Section { state_dir: Some(env::temp_dir()), ..config.render };
    render::Settings { targets: config.target, section, docker: config.docker }
}
