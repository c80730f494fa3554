//! One case after the other.

use std::path::PathBuf;

use super::{
    CaseOutcome, CaseProblem, CaseVerdict, TestCase, TestReport,
    compare::{self, FilesByPath},
};
use crate::{
    core::condition::error_chain,
    render::{OfflineRender, Settings, Setup, render_offline},
    target::CheckPreview,
};

/// What is done beside comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestOptions {
    /// The directory of the configuration file.
    pub directory: PathBuf,
    /// What is rendered becomes what is expected.
    pub update: bool,
    /// Each target's check looks at what is rendered.
    pub check: bool,
}

/// Runs the cases with these settings.
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
        // Problems of files that are left are updated ones.
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

/// What is wrong; the error is a case that cannot be run.
async fn case_problems(
    case: &TestCase,
    settings: &Settings,
    options: &TestOptions,
) -> Result<Vec<CaseProblem>, String> {
    let (fixture, terms) = (case.fixture()?, case.case_file()?);
    let mut env = fixture.env.clone();
    env.extend(terms.env.clone());
    let mut setup = Setup::open_read_only(terms.select_targets(settings)?).map_err(|error| error_chain(&error))?;
    let mut reasons = Vec::new();
    let rendered = render_offline(&mut setup, env, |query| {
        let answer = fixture.answer(query);
        answer.map_err(|reason| reasons.push(format!("{query}: {reason}"))).ok()
    });
    reasons.extend(rendered.unrendered.iter().map(ToString::to_string));

    let mut problems = Vec::new();
    match &terms.error {
        Some(expected) if reasons.is_empty() => problems.push(CaseProblem::NoError { expected: expected.clone() }),
        Some(expected) if reasons.iter().any(|reason| reason.contains(expected)) => {}
        _ => problems.extend(reasons.into_iter().map(|message| CaseProblem::Reason { message })),
    }
    // What waits for something else than expected tells nothing of the files.
    if problems.is_empty() {
        problems.extend(file_problems(case, &rendered, options)?);
    }
    if options.check {
        for target in &mut setup.targets {
            let (name, diff) = (target.name().to_owned(), target.diff().await);
            let refused = match diff.map(|diff| diff.check) {
                Ok(Some(CheckPreview::Rejected { output, .. })) => Some(output),
                Ok(_) => None,
                Err(error) => Some(error_chain(&error)),
            };
            problems.extend(refused.map(|output| CaseProblem::Refused { target: name, output }));
        }
    }
    Ok(problems)
}

/// What differs; with `update`, it does so no more.
fn file_problems(case: &TestCase, rendered: &OfflineRender, options: &TestOptions) -> Result<Vec<CaseProblem>, String> {
    let products = rendered.targets.values().flatten().flatten();
    let rendered: FilesByPath = products
        .map(|(path, product)| (compare::expected_path(path, &options.directory), product.content.bytes().to_vec()))
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
