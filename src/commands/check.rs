//! `portreeve check`.

use portreeve::{
    cli::{CheckArgs, CommonArgs, WarningPolicy},
    config::Config,
    consul,
    core::condition::error_chain,
    exec::ExecSettingsError,
    render::{self, TemplateCheckReport},
    sys::{
        environment,
        state_dir::{StateDir, StateError},
    },
    target::History,
    ui::colour::Colours,
};

use crate::{CommandFailure, load_config, print_answer, usage_failure};

/// Prints all that is wrong with the configuration and its templates.
pub(crate) fn check(flags: &CheckArgs, common: &CommonArgs) -> Result<(), CommandFailure> {
    let checked = match load_config(common) {
        Ok(config) => {
            let config = config.with_sources(flags.sources.clone()).map_err(usage_failure)?;
            let held = pinned_targets(&config).map_err(usage_failure)?;
            let registry = consul::Client::new(&config.consul);
            let program = config.exec.clone().into_settings(config.target.iter().map(|target| &target.name));
            let mut checked = render::check(&super::read_only_settings(config), &environment::variables().collect());
            held.into_iter().for_each(|note| checked.add_warning(note));
            if let Err(error) = registry {
                checked.add_warning(error_chain(&error));
            }
            match program {
                Ok(_) => {}
                // It may be given to `render` on the command line.
                Err(error @ ExecSettingsError::NoCommand) => checked.add_warning(error_chain(&error)),
                Err(error) => checked.add_error(error_chain(&error)),
            }
            checked
        }
        Err(error) => {
            TemplateCheckReport { errors: vec![error_chain(error.as_ref())], ..TemplateCheckReport::default() }
        }
    };
    print_answer(flags.format, &checked.text(Colours::for_stream(&std::io::stdout())), &checked)?;
    let bad = !checked.errors.is_empty() || (flags.warnings == WarningPolicy::Deny && !checked.warnings.is_empty());
    if bad { Err(CommandFailure::AlreadyPrinted) } else { Ok(()) }
}

/// The targets that follow neither their templates nor their configuration, since somebody went back to earlier ones.
fn pinned_targets(config: &Config) -> Result<Vec<String>, StateError> {
    let path = config.render.state_dir()?;
    let state = StateDir::open_read_only(&path);
    let mut notes = Vec::new();
    for target in &config.target {
        if let Some(held) = History::read_pin(&state, &target.name)? {
            notes.push(format!(
                "target {}: is pinned to {held} here, until `portreeve render rollback --release` (state directory {})",
                target.name,
                path.display()
            ));
        }
    }
    Ok(notes)
}
