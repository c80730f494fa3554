//! Reads the configuration: the file, the environment and the flags of every command.

use std::sync::Once;

use portreeve::{
    cli::CommonArgs,
    config::{Config, ConfigFile},
    sys::environment,
};

pub(crate) fn load_config(common: &CommonArgs) -> anyhow::Result<Config> {
    load_config_from(&config_file(common), common)
}

pub(crate) fn load_config_from(file: &ConfigFile, common: &CommonArgs) -> anyhow::Result<Config> {
    let config = Config::load(file, environment::variables())?.with_common(common)?;
    if !config.injected_variables.is_empty() {
        static LOGGED: Once = Once::new();
        let names = config.injected_variables.join(", ");
        let why = "they look as if a platform had put them there, for a service or link that is called portreeve";
        LOGGED.call_once(|| tracing::warn!("these variables are not settings and have no effect: {names}: {why}"));
    }
    Ok(config)
}

pub(crate) fn config_file(common: &CommonArgs) -> ConfigFile {
    let given = common.config.clone().or_else(|| variable("PORTREEVE_CONFIG").map(Into::into));
    given.map_or(ConfigFile::Default, ConfigFile::Given)
}

/// An empty variable counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
