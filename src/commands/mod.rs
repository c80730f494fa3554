//! The commands that keep nothing in line: they look, ask, or give an order, and end.

mod check;
pub(super) mod daemon;
mod explain;
mod lint;
mod record;
mod rollback;
mod signals;
mod test;

use std::env;

use portreeve::{config::Config, render};

pub(super) use self::{check::check, explain::explain, lint::lint, record::record, rollback::rollback, test::test};

/// What is rendered. Who only looks needs no state directory.
fn read_only_settings(config: Config) -> render::Settings {
    let mut settings = render::Settings::from(config);
    settings.section.state_dir = Some(env::temp_dir());
    settings
}
