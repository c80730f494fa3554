//! Lints files, and reports their findings.

use std::{fmt, fs, io, path::PathBuf};

use serde_json::{Value, json};

use super::{
    finding::{Finding, FindingLine, Severity},
    lint_text::lint_text,
    yaml::YamlError,
};
use crate::{register::Settings, ui::colour::Colours};

/// Each file with its findings.
#[derive(Clone, Debug, Default)]
pub struct LintReport {
    findings_by_file: Vec<(String, Vec<Finding>)>,
}

/// Why a file could not be linted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The file is not UTF-8.
    #[error("{path}: the file is {encoding}, and is read as UTF-8 only: save it as UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The probable encoding.
        encoding: &'static str,
    },
    /// The file is not YAML, or not a Compose file.
    #[error("{path}:{invalid}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The position and the reason.
        invalid: YamlError,
    },
}

/// Reads and checks files.
///
/// # Errors
/// A file cannot be read, or is not a Compose file.
pub fn lint_files(paths: &[PathBuf], settings: &Settings) -> Result<LintReport, Error> {
    let lint_file = |path: &PathBuf| {
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::Encoding { path: path.clone(), encoding: guess_encoding(error.as_bytes()) })?;
        let found = lint_text(&text, settings).map_err(|invalid| Error::Invalid { path: path.clone(), invalid })?;
        Ok((path.display().to_string(), found))
    };
    Ok(LintReport { findings_by_file: paths.iter().map(lint_file).collect::<Result<_, Error>>()? })
}

/// The encoding of a file that is not UTF-8.
fn guess_encoding(bytes: &[u8]) -> &'static str {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        _ => "not UTF-8",
    }
}

impl LintReport {
    /// The worst severity of all findings.
    pub fn worst_severity(&self) -> Option<Severity> {
        self.findings().map(|(_, finding)| finding.severity).min()
    }

    /// All findings in one JSON list.
    pub fn json(&self) -> Value {
        let with_file = |(file, finding): (&str, &Finding)| {
            let mut value = json!(finding);
            value["file"] = file.into();
            value
        };
        self.findings().map(with_file).collect()
    }

    /// One or two lines for each finding, and a last line with the counts.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        for (file, finding) in self.findings() {
            text.push_str(&format!("{}\n", FindingLine { file, finding, colours }));
        }
        let count = |severity| self.findings().filter(|(_, finding)| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match self.findings_by_file.len() {
            1 => text.push_str("1 file: "),
            files => text.push_str(&format!("{files} files: ")),
        }
        text.push_str(&format!("errors {errors}, warnings {warnings}\n"));
        text
    }

    fn findings(&self) -> impl Iterator<Item = (&str, &Finding)> {
        self.findings_by_file.iter().flat_map(|(file, found)| found.iter().map(|finding| (file.as_str(), finding)))
    }
}
