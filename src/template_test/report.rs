//! The results of test cases, and their text. Pure.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::ui::colour::{Colours, TextRole};

/// The results of all cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// Sorted by name.
    pub cases: Vec<CaseOutcome>,
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// The result in one word.
    pub verdict: CaseVerdict,
    /// Why it failed.
    pub problems: Vec<CaseProblem>,
}

/// The result of a case in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseVerdict {
    /// The result is as expected.
    Passed,
    /// The result differs.
    Failed,
    /// The result differed, and the expected files were updated.
    Updated,
}

/// One difference from the expected result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CaseProblem {
    /// A file differs from the expected one.
    Differs {
        /// Relative to `expected`.
        file: PathBuf,
        /// A unified diff.
        diff: String,
    },
    /// A rendered file has no expected file.
    NotExpected {
        /// Relative to `expected`.
        file: PathBuf,
        /// A unified diff.
        diff: String,
    },
    /// No template renders an expected file.
    NotRendered {
        /// Relative to `expected`.
        file: PathBuf,
        /// A unified diff.
        diff: String,
    },
    /// Something cannot be rendered.
    Reason {
        /// The reason.
        message: String,
    },
    /// The expected error did not occur.
    NoError {
        /// The expected text.
        expected: String,
    },
    /// The case cannot be run.
    Case {
        /// The reason.
        message: String,
    },
    /// The check of a target rejects the rendered files.
    Refused {
        /// The target.
        target: String,
        /// The output of the check.
        output: String,
    },
}

impl TestReport {
    /// The number of failed cases.
    pub fn failed_count(&self) -> usize {
        self.count(CaseVerdict::Failed)
    }

    fn count(&self, verdict: CaseVerdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// The report for people: a line for each case with its problems, and a line with the counts.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        for CaseOutcome { name, verdict, problems } in &self.cases {
            let (role, word) = match verdict {
                CaseVerdict::Passed => (TextRole::Success, "passed "),
                CaseVerdict::Failed => (TextRole::Error, "failed "),
                CaseVerdict::Updated => (TextRole::Warning, "updated"),
            };
            text.push_str(&format!("{} {name}\n", colours.paint(role, word)));
            problems.iter().for_each(|problem| text.push_str(&problem.text(colours)));
        }
        let counts =
            [CaseVerdict::Passed, CaseVerdict::Failed, CaseVerdict::Updated].map(|verdict| self.count(verdict));
        let [passed, failed, updated] = counts;
        let updated = if updated > 0 { format!(", updated {updated}") } else { String::new() };
        text + &format!("cases {}: passed {passed}, failed {failed}{updated}\n", self.cases.len())
    }
}

impl CaseProblem {
    fn text(&self, colours: Colours) -> String {
        let indent = |text: &str| format!("  {}\n", text.trim_end().replace('\n', "\n  "));
        let file = |file: &PathBuf, what: &str, diff: &str| {
            indent(&format!("{}: {what}", file.display())) + &colours.diff(diff)
        };
        match self {
            Self::Differs { file: path, diff } => file(path, "is not as expected", diff),
            Self::NotExpected { file: path, diff } => file(path, "is rendered, but there is no expected file", diff),
            Self::NotRendered { file: path, diff } => file(path, "is expected, but no template renders it", diff),
            Self::Reason { message } | Self::Case { message } => indent(message),
            Self::NoError { expected } => {
                indent(&format!("everything renders, but an error with {expected:?} is expected"))
            }
            Self::Refused { target, output } => indent(&format!("target {target}: the check refuses this:\n{output}")),
        }
    }
}
