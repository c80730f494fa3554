//! The command line goes before everything else. Pure.

use super::Config;
use crate::{
    cli::{Common, Register, Render},
    consul::Address,
    docker, register,
    render::template_argument::{self, ArgumentError},
};

/// What is wrong with a flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry's address.
    #[error("{flag} is {text:?}")]
    Address {
        /// The flag, or the name of the argument.
        flag: &'static str,
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: <Address as std::str::FromStr>::Err,
    },
    /// A template.
    #[error(transparent)]
    Template(#[from] ArgumentError),
}

impl Config {
    /// Applies the flags that every mode has.
    ///
    /// # Errors
    /// An address of an unknown form.
    pub fn with_common(mut self, flags: &Common) -> Result<Self, Error> {
        if let Some(text) = &flags.consul {
            self.consul.address = address("--consul", text)?;
        }
        Ok(self)
    }

    /// Applies the flags of `register`.
    ///
    /// # Errors
    /// An address of an unknown form.
    pub fn with_register(mut self, flags: Register) -> Result<Self, Error> {
        // Registrator takes an empty host for what the environment says.
        if let Some(text) = flags.registry.filter(|text| text != "consul://") {
            self.consul.address = address("the registry", &text)?;
        }
        let settings = self.register;
        self.register = register::Settings {
            ip: flags.ip.or(settings.ip),
            internal: flags.internal.unwrap_or(settings.internal),
            network: flags.network.or(settings.network),
            explicit: flags.explicit.unwrap_or(settings.explicit),
            use_ip_from_label: flags.use_ip_from_label.or(settings.use_ip_from_label),
            hostname: flags.hostname.or(settings.hostname),
            resync: flags.resync.unwrap_or(settings.resync),
            drain_return: flags.drain_return.unwrap_or(settings.drain_return),
            on_exit: flags.on_exit.unwrap_or(settings.on_exit),
        };
        self.docker = docker::Settings { host: flags.docker.or(self.docker.host), ..self.docker };
        Ok(self)
    }

    /// Applies the flags of `render`. Its templates come after those of the file.
    ///
    /// # Errors
    /// A template argument of an unknown form.
    pub fn with_render(mut self, flags: Render) -> Result<Self, Error> {
        self.target.extend(template_argument::parse(&flags.template)?);
        self.render.state_dir = flags.state_dir.or(self.render.state_dir);
        Ok(self)
    }
}

fn address(flag: &'static str, text: &str) -> Result<Address, Error> {
    text.parse().map_err(|source| Error::Address { flag, text: text.to_owned(), source })
}
