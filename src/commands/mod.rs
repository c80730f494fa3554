//! The commands around `render`: those that come before production and write nothing, and the way back.

mod check;
mod record;
mod rollback;
mod test;

use std::env;

use portreeve::{config::Config, render};

pub(super) use self::{check::check, record::record, rollback::rollback, test::test};

/// What is rendered. Who only looks needs no state directory.
fn settings(config: Config) -> render::Settings {
    let mut settings = render::Settings::from(config);
    settings.section.state_dir = Some(env::temp_dir());
    settings
}
