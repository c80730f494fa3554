//! Finds and reads test cases.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{fixture::Fixture, render::Settings};

/// The possible names of a fixture file.
const FIXTURE_NAMES: [&str; 4] = ["fixture.json", "fixture.toml", "fixture.yaml", "fixture.yml"];

/// A directory that contains a fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCase {
    /// Its path, relative to the directory of all cases.
    pub name: String,
    /// Its directory.
    pub directory: PathBuf,
    /// Its fixture files; more than one is an error.
    fixtures: Vec<PathBuf>,
}

/// The content of a `case.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CaseFile {
    /// The targets that are rendered. Default: all.
    targets: Option<Vec<String>>,
    /// The templates that are rendered, by the end of their paths. Default: all.
    templates: Option<Vec<PathBuf>>,
    /// Overrides variables of the fixture.
    pub(super) env: BTreeMap<String, String>,
    /// A part of the expected error. Default: no error is expected.
    pub(super) error: Option<String>,
}

/// Why no cases were found.
#[derive(Debug, thiserror::Error)]
pub enum FindCasesError {
    /// A directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The directory.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The directory contains no case.
    #[error("there is no case in {}: a case is a directory with a fixture.json, fixture.toml or fixture.yaml", .0.display())]
    NoCase(PathBuf),
    /// No case matches the filter.
    #[error("no case in {} has {filter:?} in its name", directory.display())]
    NoMatch {
        /// The directory of all cases.
        directory: PathBuf,
        /// The filter.
        filter: String,
    },
}

/// All cases in and below a directory whose name contains `filter`, sorted by name.
///
/// # Errors
/// No case was found, or a directory cannot be read.
pub fn find_cases(directory: &Path, filter: Option<&str>) -> Result<Vec<TestCase>, FindCasesError> {
    let mut cases = Vec::new();
    find_below(directory, directory, &mut Vec::new(), &mut cases)?;
    if cases.is_empty() {
        return Err(FindCasesError::NoCase(directory.to_owned()));
    }
    if let Some(filter) = filter {
        cases.retain(|case| case.name.contains(filter));
        if cases.is_empty() {
            return Err(FindCasesError::NoMatch { directory: directory.to_owned(), filter: filter.to_owned() });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// `above`: the canonical paths of the enclosing directories, to detect symlink cycles.
fn find_below(
    root: &Path,
    directory: &Path,
    above: &mut Vec<PathBuf>,
    cases: &mut Vec<TestCase>,
) -> Result<(), FindCasesError> {
    let failed = |source| FindCasesError::Read { path: directory.to_owned(), source };
    let real = fs::canonicalize(directory).map_err(failed)?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // An expected file may have the name of a fixture.
        if path.is_dir() && !path.ends_with("expected") {
            find_below(root, &path, above, cases)?;
        }
    }
    above.pop();
    let fixtures: Vec<_> =
        FIXTURE_NAMES.iter().map(|name| directory.join(name)).filter(|path| path.is_file()).collect();
    if !fixtures.is_empty() {
        let name = directory.strip_prefix(root).unwrap_or(directory);
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name }.display().to_string();
        cases.push(TestCase { name, directory: directory.to_owned(), fixtures });
    }
    Ok(())
}

impl TestCase {
    pub(super) fn fixture(&self) -> Result<Fixture, String> {
        match &self.fixtures[..] {
            [one] => Fixture::read(one).map_err(|error| crate::core::condition::error_chain(&error)),
            many => {
                let names: Vec<_> = many.iter().map(|path| path.display().to_string()).collect();
                Err(format!("a case has one fixture, not {}: {}", many.len(), names.join(", ")))
            }
        }
    }

    pub(super) fn case_file(&self) -> Result<CaseFile, String> {
        let path = self.directory.join("case.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CaseFile::default()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// The directory of the expected files.
    pub(super) fn expected_dir(&self) -> PathBuf {
        self.directory.join("expected")
    }
}

impl CaseFile {
    /// The settings, reduced to the targets and templates of the case.
    pub(super) fn select_targets(&self, settings: &Settings) -> Result<Settings, String> {
        let mut selected = settings.clone();
        if let Some(names) = &self.targets {
            if let Some(name) = names.iter().find(|name| !settings.targets.iter().any(|target| target.name == **name)) {
                let known: Vec<_> = settings.targets.iter().map(|target| target.name.as_str()).collect();
                return Err(format!("case.toml: there is no target {name:?} (known: {})", known.join(", ")));
            }
            selected.targets.retain(|target| names.contains(&target.name));
        }
        if let Some(ends) = &self.templates {
            let all = || selected.targets.iter().flat_map(|target| &target.templates);
            if let Some(end) = ends.iter().find(|end| !all().any(|template| template.source.ends_with(end))) {
                return Err(format!("case.toml: there is no template {}", end.display()));
            }
            for target in &mut selected.targets {
                target.templates.retain(|template| ends.iter().any(|end| template.source.ends_with(end)));
            }
            selected.targets.retain(|target| !target.templates.is_empty());
        }
        Ok(selected)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlink_loop_repeats_no_case() {
        let top = tempfile::tempdir().expect("a directory");
        let case = top.path().join("a/b");
        fs::create_dir_all(&case).expect("a directory");
        fs::write(case.join("fixture.json"), "{}").expect("a file");
        symlink(top.path(), case.join("ring")).expect("a link");
        symlink("b", top.path().join("a/other")).expect("a link");
        let names: Vec<_> = find_cases(top.path(), None).expect("cases").into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["a/b", "a/other"]);
    }
}
