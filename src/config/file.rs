//! The configuration file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use toml::Table;

use super::{Config, Error, file_error};
use crate::sys::regular_file;

/// Which file the configuration is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// A named file: it must exist.
    Given(PathBuf),
    /// [`ConfigFile::DEFAULT`], which need not exist.
    Default,
}

impl ConfigFile {
    /// The file that is read if none is named.
    pub const DEFAULT: &str = "/etc/portreeve/portreeve.toml";
    /// With this path, no file is read.
    const NONE: &str = "/dev/null";

    /// Its path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Default => Path::new(Self::DEFAULT),
        }
    }

    /// Its content. It is validated before it is merged with the environment, so that an error can name the line.
    /// `None` if there is no file.
    pub(super) fn read(&self) -> Result<Option<Table>, Error> {
        let path = self.path();
        if path == Path::new(Self::NONE) {
            return Ok(None);
        }
        let text = match (self, regular_file::read_text(path, regular_file::MAX_BYTES)) {
            (_, Ok(text)) => text,
            (Self::Default, Err(error)) if error.kind() == io::ErrorKind::NotFound && !is_link(path) => {
                return Ok(None);
            }
            (Self::Default, Err(error)) => return Err(Error::ReadDefault(error)),
            (Self::Given(_), Err(source)) => return Err(Error::Read { path: path.to_owned(), source }),
        };
        toml::from_str::<Config>(&text).map_err(|error| file_error(path, &error))?;
        toml::from_str(&text).map(Some).map_err(|error| file_error(path, &error))
    }
}

/// A dangling symlink is a mistake, not an absent file.
fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}
