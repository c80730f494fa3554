//! Runs test cases one after the other.

use std::path::PathBuf;

use super::{
    CaseOutcome, CaseProblem, CaseVerdict, TestCase, TestReport,
    compare::{self, FilesByPath},
};
use crate::{
    core::condition::error_chain,
    render::{OfflineRender, Settings, Setup, render_offline},
    target::CheckVerdict,
};

/// The options of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestOptions {
    /// The directory of the configuration file.
    pub directory: PathBuf,
    /// Replace the expected files with the rendered ones.
    pub update: bool,
    /// Run the check of each target on the rendered files.
    pub check: bool,
}

/// Runs all cases with these settings.
pub async fn run_cases(cases: &[TestCase], settings: &Settings, options: &TestOptions) -> TestReport {
    let mut outcomes = Vec::new();
    for case in cases {
        let problems = match case_problems(case, settings, options).await {
            Ok(problems) => problems,
            Err(message) => vec![CaseProblem::Case { message }],
        };
        let of_files = |problem: &CaseProblem| {
            matches!(
                problem,
                CaseProblem::Differs { .. } | CaseProblem::NotExpected { .. } | CaseProblem::NotRendered { .. }
            )
        };
        // With `update`, files that differ are updated, so they are not a failure.
        let verdict = match () {
            () if problems.is_empty() => CaseVerdict::Passed,
            () if options.update && problems.iter().all(of_files) => CaseVerdict::Updated,
            () => CaseVerdict::Failed,
        };
        let problems = if verdict == CaseVerdict::Updated { Vec::new() } else { problems };
        outcomes.push(CaseOutcome { name: case.name.clone(), verdict, problems });
    }
    TestReport { cases: outcomes }
}

/// The problems of a case; `Err` if it cannot be run.
async fn case_problems(
    case: &TestCase,
    settings: &Settings,
    options: &TestOptions,
) -> Result<Vec<CaseProblem>, String> {
    let (fixture, case_file) = (case.fixture()?, case.case_file()?);
    let mut env = fixture.env.clone();
    env.extend(case_file.env.clone());
    let mut setup = Setup::open_read_only(case_file.select_targets(settings)?).map_err(|error| error_chain(&error))?;
    let mut reasons = Vec::new();
    let rendered = render_offline(&mut setup, env, |query| {
        let answer = fixture.answer(query);
        answer.map_err(|reason| reasons.push(format!("{query}: {reason}"))).ok()
    });
    reasons.extend(rendered.unrendered.iter().map(ToString::to_string));

    let mut problems = Vec::new();
    match &case_file.error {
        Some(expected) if reasons.is_empty() => problems.push(CaseProblem::NoError { expected: expected.clone() }),
        Some(expected) if reasons.iter().any(|reason| reason.contains(expected)) => {}
        _ => problems.extend(reasons.into_iter().map(|message| CaseProblem::Reason { message })),
    }
    // After an unexpected error, the files are incomplete.
    if problems.is_empty() {
        problems.extend(file_problems(case, &rendered, options)?);
    }
    if options.check {
        for target in &mut setup.targets {
            let (name, diff) = (target.name().to_owned(), target.diff().await);
            let refused = match diff.map(|diff| diff.check) {
                Ok(Some(CheckVerdict::Rejected { output, .. })) => Some(output),
                Ok(_) => None,
                Err(error) => Some(error_chain(&error)),
            };
            problems.extend(refused.map(|output| CaseProblem::Refused { target: name, output }));
        }
    }
    Ok(problems)
}

/// The files that differ. With `update`, the expected files are replaced.
fn file_problems(case: &TestCase, rendered: &OfflineRender, options: &TestOptions) -> Result<Vec<CaseProblem>, String> {
    let files = rendered.targets.values().flatten().flatten();
    let rendered: FilesByPath = files
        .map(|(path, file)| (compare::expected_path(path, &options.directory), file.content.bytes().to_vec()))
        .collect();
    let directory = case.expected_dir();
    let expected = compare::read_files(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let problems = compare::compare_files(&expected, &rendered);
    if options.update {
        let updated = compare::update_expected(&directory, &expected, &rendered);
        updated.map_err(|error| format!("{}: cannot be updated: {error}", directory.display()))?;
    }
    Ok(problems)
}
