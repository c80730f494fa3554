//! The configuration. Pure, except that the file is read.
//!
//! ```text
//! defaults < file ──resolve paths──► Table < environment ──► Config < flags
//! ```
//!
//! ```toml
//! [consul]                 # the registry; also CONSUL_HTTP_ADDR and similar variables
//! [docker]                 # the engine; also DOCKER_HOST and similar variables
//! [register]
//! [render]
//! [exec]                   # the program that render supervises
//! [[target]]               # the files that render writes
//! ```

mod environment;
mod file;
pub mod flags;
mod injected_variables;
mod paths;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Table;

pub use self::file::ConfigFile;
use self::paths::{Directory, NotText};
use crate::{consul, docker, exec, register, render, target, ui::redact};

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
    /// The program that `portreeve render` supervises.
    pub exec: exec::ExecSection,
    /// The targets of `portreeve render`.
    pub target: Vec<target::Settings>,
    /// Variables that look like settings of Portreeve, but were set by a platform.
    #[serde(skip)]
    pub injected_variables: Vec<String>,
    /// The file that was read. `None` if there was none.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// Why a configuration cannot be used.
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
    /// The default file exists and cannot be read.
    #[error("cannot read the configuration file {}, the default (--config /dev/null reads none)", ConfigFile::DEFAULT)]
    ReadDefault(#[source] io::Error),
    /// The file is invalid.
    #[error("in the configuration file {path}:\n{message}")]
    File {
        /// The file.
        path: PathBuf,
        /// The line, the column and the problem.
        message: String,
    },
    /// The path of the directory cannot be joined with a relative path of the file.
    #[error("in the configuration file {}: a relative path, and the path of the directory is not UTF-8 text", .0.display())]
    Directory(PathBuf),
    /// A variable is invalid.
    #[error("in the environment variable {name}: {message}")]
    Environment {
        /// The variable.
        name: String,
        /// The problem.
        message: String,
    },
}

impl From<Config> for render::Settings {
    fn from(config: Config) -> Self {
        Self { targets: config.target, section: config.render, docker: config.docker }
    }
}

impl Config {
    /// Reads the file, if it exists; `environment` overrides it.
    ///
    /// # Errors
    /// The file cannot be read, a key does not exist, or a value is invalid.
    pub fn load(file: &ConfigFile, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Error> {
        let (mut table, file) = match file.read()? {
            Some(mut table) => {
                resolve(&mut table, file.path())?;
                (table, Some(file.path().to_owned()))
            }
            None => (Table::new(), None),
        };
        let injected_variables = environment::overlay(&mut table, environment)?;
        let path = file.as_deref().unwrap_or(Path::new(""));
        let config: Self = table.try_into().map_err(|error| file_error(path, &error))?;
        Ok(Self { injected_variables, file, ..config })
    }

    /// The directory that relative paths of the file are relative to.
    pub fn directory(&self) -> &Path {
        self.file.as_deref().and_then(Path::parent).unwrap_or(Path::new(""))
    }
}

fn resolve(table: &mut Table, file: &Path) -> Result<(), Error> {
    let given = file.parent().unwrap_or(Path::new(""));
    // Without a working directory, no relative path can be resolved.
    let absolute = std::path::absolute(Path::new(".").join(given)).unwrap_or_else(|_| given.to_owned());
    let directory = Directory { given, absolute: &absolute };
    paths::resolve(table, directory).map_err(|NotText| Error::Directory(file.to_owned()))
}

/// The message quotes the line, which may contain a password.
fn file_error(path: &Path, error: &toml::de::Error) -> Error {
    Error::File { path: path.to_owned(), message: redact::configuration(&error.to_string()) }
}
