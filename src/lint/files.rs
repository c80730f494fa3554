//! The files of one call, and what was found in each.

use std::{fmt, fs, io, path::PathBuf};

use serde_json::{Value, json};

use super::{Finding, Invalid, Line, Severity, check};
use crate::{register::Settings, ui::colour::Colours};

/// Each file with its findings.
#[derive(Clone, Debug, Default)]
pub struct Files {
    found: Vec<(String, Vec<Finding>)>,
}

/// Why a file could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not UTF-8.
    #[error("{path}: the file is {encoding}, and is read as UTF-8 only: save it as UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The encoding that it seems to have.
        encoding: &'static str,
    },
    /// It is no YAML.
    #[error("{path}:{invalid}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        invalid: Invalid,
    },
}

/// Reads and checks files.
///
/// # Errors
/// One cannot be read, or is no YAML.
pub fn read(paths: &[PathBuf], settings: &Settings) -> Result<Files, Error> {
    let read = |path: &PathBuf| {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::Encoding { path: path.clone(), encoding: encoding(error.as_bytes()) })?;
        let found = check(&text, settings).map_err(|invalid| Error::Invalid { path: path.clone(), invalid })?;
        Ok((path.display().to_string(), found))
    };
    Ok(Files { found: paths.iter().map(read).collect::<Result<_, Error>>()? })
}

/// The encoding of a file that is not UTF-8.
fn encoding(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        _ => "not UTF-8",
    }
}

impl Files {
    /// The worst that was found.
    pub fn worst(&self) -> Option<Severity> {
        self.all().map(|(_, finding)| finding.severity).min()
    }

    /// For programs: all findings in one list.
    pub fn json(&self) -> Value {
        let with_file = |(file, finding): (&str, &Finding)| {
            let mut value = json!(finding);
            value["file"] = file.into();
            value
        };
        self.all().map(with_file).collect()
    }

    /// For people: a line or two for each finding, and a last one that counts them.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        for (file, finding) in self.all() {
            text.push_str(&format!("{}\n", Line { file, finding, colours }));
        }
        let count = |severity| self.all().filter(|(_, finding)| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match self.found.len() {
            1 => text.push_str("1 file: "),
            files => text.push_str(&format!("{files} files: ")),
        }
        text.push_str(&format!("errors {errors}, warnings {warnings}\n"));
        text
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.found.iter().flat_map(|(file, found)| found.iter().map(|finding| (file.as_str(), finding)))
    }
}
