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

use super::{CommandFailure, load_config, print_answer, usage_failure};

/// Prints all problems of the configuration and its templates.
pub(crate) fn check(flags: &CheckArgs, common: &CommonArgs) -> Result<(), CommandFailure> {
    let report = match load_config(common) {
        Ok(config) => {
            let config = config.with_sources(flags.sources.clone()).map_err(usage_failure)?;
            let pinned = pinned_targets(&config).map_err(usage_failure)?;
            let registry = consul::Client::new(&config.consul);
            let program = config.exec.clone().into_settings(config.target.iter().map(|target| &target.name));
            let mut report = render::check(&super::read_only_settings(config), &environment::variables().collect());
            pinned.into_iter().for_each(|note| report.add_warning(note));
            if let Err(error) = registry {
                report.add_warning(error_chain(&error));
            }
            match program {
                Ok(_) => {}
                // `render` may get the command from its flags.
                Err(error @ ExecSettingsError::NoCommand) => report.add_warning(error_chain(&error)),
                Err(error) => report.add_error(error_chain(&error)),
            }
            report
        }
        Err(error) => {
            TemplateCheckReport { errors: vec![error_chain(error.as_ref())], ..TemplateCheckReport::default() }
        }
    };
    print_answer(flags.format, &report.text(Colours::for_stream(&std::io::stdout())), &report)?;
    let has_failed =
        !report.errors.is_empty() || (flags.warnings == WarningPolicy::Deny && !report.warnings.is_empty());
    if has_failed { Err(CommandFailure::AlreadyPrinted) } else { Ok(()) }
}

/// A note for each target that is pinned, and so follows neither its templates nor its configuration.
fn pinned_targets(config: &Config) -> Result<Vec<String>, StateError> {
    let path = config.render.state_dir()?;
    let state = StateDir::open_read_only(&path);
    let mut notes = Vec::new();
    for target in &config.target {
        if let Some(pin) = History::read_pin(&state, &target.name)? {
            notes.push(format!(
                "target {}: is pinned to {pin} here, until `portreeve render rollback --release` (state directory {})",
                target.name,
                path.display()
            ));
        }
    }
    Ok(notes)
}
