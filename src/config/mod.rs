//! The configuration: defaults, then a file, then the environment, then the command line. Pure but for the reading.
//!
//! ```toml
//! [consul]                 # where the registry is; also CONSUL_HTTP_ADDR and its kin
//! [docker]                 # where the engine is; also DOCKER_HOST and its kin
//! [register]
//! [render]
//! [exec]                   # what render supervises
//! [[target]]               # what render writes
//! ```

mod environment;
pub mod flags;
mod injected_variables;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Table;

use crate::{consul, docker, exec, register, render, sys::regular_file, target, ui::redact};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The registry.
    pub consul: consul::Settings,
    /// The container engine.
    pub docker: docker::Settings,
    /// `portreeve register`.
    pub register: register::Settings,
    /// `portreeve render`.
    pub render: render::RenderSection,
    /// What `portreeve render` supervises.
    pub exec: exec::ExecSection,
    /// What `portreeve render` keeps up to date.
    pub target: Vec<target::Settings>,
    /// Variables that look like settings of ours, and that a platform has put into the environment.
    #[serde(skip)]
    pub injected_variables: Vec<String>,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not what it should be; the message points at the place.
    #[error("in the configuration file {path}:\n{message}")]
    File {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        message: String,
    },
    /// A variable is not what it should be.
    #[error("in the environment variable {name}: {message}")]
    Environment {
        /// The variable.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}

impl From<Config> for render::Settings {
    fn from(config: Config) -> Self {
        Self { targets: config.target, section: config.render, docker: config.docker }
    }
}

impl Config {
    /// Reads the file, if there is one, and lets `environment` override it.
    ///
    /// # Errors
    /// An unreadable file, a key that does not exist, a value of the wrong form.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut table = file.map_or_else(|| Ok(Table::new()), read_table)?;
        let injected = environment::overlay(&mut table, environment)?;
        let path = file.map_or_else(PathBuf::new, Path::to_path_buf);
        let config: Self = table.try_into().map_err(|error| file_error(&path, &error))?;
        Ok(Self { injected_variables: injected, ..config })
    }
}

/// Reads a file, and checks it by itself: only so can an error point at the place.
fn read_table(path: &Path) -> Result<Table, Error> {
    let text = regular_file::read_text(path, regular_file::MAX_BYTES)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    toml::from_str::<Config>(&text).map_err(|error| file_error(path, &error))?;
    toml::from_str(&text).map_err(|error| file_error(path, &error))
}

/// The message quotes the line, which may hold a password.
fn file_error(path: &Path, error: &toml::de::Error) -> Error {
    Error::File { path: path.to_owned(), message: redact::configuration(&error.to_string()) }
}
