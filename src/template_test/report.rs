//! What came of the cases, and how it is shown. Pure.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::ui::colour::{Colours, TextRole};

/// What came of all cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// In the order of their names.
    pub cases: Vec<CaseOutcome>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseOutcome {
    /// Its name.
    pub name: String,
    /// In one word.
    pub verdict: CaseVerdict,
    /// Why it has failed.
    pub problems: Vec<CaseProblem>,
}

/// A case in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseVerdict {
    /// All is as expected.
    Passed,
    /// It is not.
    Failed,
    /// It was not, and what is expected was changed.
    Updated,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CaseProblem {
    /// A file has another content.
    Differs {
        /// Below `expected`.
        file: PathBuf,
        /// Unified.
        diff: String,
    },
    /// A file is rendered that has no expected file.
    NotExpected {
        /// Below `expected`.
        file: PathBuf,
        /// Unified.
        diff: String,
    },
    /// There is an expected file that no template renders.
    NotRendered {
        /// Below `expected`.
        file: PathBuf,
        /// Unified.
        diff: String,
    },
    /// Something cannot be rendered.
    Reason {
        /// Why not.
        message: String,
    },
    /// An error is expected, and there is none.
    NoError {
        /// The expected text.
        expected: String,
    },
    /// The case itself is wrong.
    Case {
        /// What is wrong.
        message: String,
    },
    /// A target's check does not take what is rendered.
    Refused {
        /// The target.
        target: String,
        /// What the check said.
        output: String,
    },
}

impl TestReport {
    /// How many cases have failed.
    pub fn failed_count(&self) -> usize {
        self.count(CaseVerdict::Failed)
    }

    fn count(&self, verdict: CaseVerdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// For people: a line for each case, what is wrong with it, and a last line that counts.
    pub fn text(&self, colours: Colours) -> impl fmt::Display {
        let mut text = String::new();
        for CaseOutcome { name, verdict, problems } in &self.cases {
            let (meaning, word) = match verdict {
                CaseVerdict::Passed => (TextRole::Success, "passed "),
                CaseVerdict::Failed => (TextRole::Error, "failed "),
                CaseVerdict::Updated => (TextRole::Warning, "updated"),
            };
            text.push_str(&format!("{} {name}\n", colours.paint(meaning, word)));
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
            Self::NotRendered { file: path, diff } => file(path, "is expected, but nothing renders it", diff),
            Self::Reason { message } | Self::Case { message } => indent(message),
            Self::NoError { expected } => {
                indent(&format!("everything renders, but an error with {expected:?} is expected"))
            }
            Self::Refused { target, output } => indent(&format!("target {target}: the check refuses this:\n{output}")),
        }
    }
}
