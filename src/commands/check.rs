//! `portreeve check`.

use portreeve::{
    cli::{Check, Common, Warnings},
    config::Config,
    consul,
    core::condition::chain,
    exec::SettingsError,
    render::{self, Checked},
    sys::{
        environment,
        state_dir::{StateDir, StateError},
    },
    target::History,
    ui::colour::Colours,
};

use crate::{Failure, answer, load, usage};

/// Prints all that is wrong with the configuration and its templates.
pub(crate) fn check(flags: &Check, common: &Common) -> Result<(), Failure> {
    let checked = match load(common) {
        Ok(config) => {
            let config = config.with_sources(flags.sources.clone()).map_err(usage)?;
            let held = held(&config).map_err(usage)?;
            let registry = consul::Client::new(&config.consul);
            let program = config.exec.clone().settings(config.target.iter().map(|target| &target.name));
            let mut checked = render::check(&super::settings(config), &environment::variables().collect());
            held.into_iter().for_each(|note| checked.warn(note));
            if let Err(error) = registry {
                checked.warn(chain(&error));
            }
            match program {
                Ok(_) => {}
                // It may be given to `render` on the command line.
                Err(error @ SettingsError::NoCommand) => checked.warn(chain(&error)),
                Err(error) => checked.error(chain(&error)),
            }
            checked
        }
        Err(error) => Checked { errors: vec![chain(error.as_ref())], ..Checked::default() },
    };
    answer(flags.format, &checked.text(Colours::on(&std::io::stdout())), &checked)?;
    let bad = !checked.errors.is_empty() || (flags.warnings == Warnings::Deny && !checked.warnings.is_empty());
    if bad { Err(Failure::Told) } else { Ok(()) }
}

/// The targets that follow neither their templates nor their configuration, since somebody went back to earlier ones.
fn held(config: &Config) -> Result<Vec<String>, StateError> {
    let path = config.render.state_dir()?;
    let state = StateDir::peek(&path);
    let mut notes = Vec::new();
    for target in &config.target {
        if let Some(held) = History::held_in(&state, &target.name)? {
            notes.push(format!(
                "target {}: is pinned to {held} here, until `portreeve render rollback --release` (state directory {})",
                target.name,
                path.display()
            ));
        }
    }
    Ok(notes)
}
