//! One case after the other.

use super::{
    Case, Outcome, Problem, Report, Verdict,
    compare::{self, Files},
};
use crate::{
    core::condition::chain,
    render::{Offline, Settings, Setup, offline},
    target::Opinion,
};

/// What is done beside comparing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is rendered becomes what is expected.
    pub update: bool,
    /// Each target's check looks at what is rendered.
    pub check: bool,
}

/// Runs the cases with these settings.
pub async fn run(cases: &[Case], settings: &Settings, options: Options) -> Report {
    let mut outcomes = Vec::new();
    for case in cases {
        let problems = match problems(case, settings, options).await {
            Ok(problems) => problems,
            Err(message) => vec![Problem::Case { message }],
        };
        let of_files = |problem: &Problem| {
            matches!(problem, Problem::Differs { .. } | Problem::NotExpected { .. } | Problem::NotRendered { .. })
        };
        // Problems of files that are left are updated ones.
        let verdict = match () {
            () if problems.is_empty() => Verdict::Passed,
            () if options.update && problems.iter().all(of_files) => Verdict::Updated,
            () => Verdict::Failed,
        };
        let problems = if verdict == Verdict::Updated { Vec::new() } else { problems };
        outcomes.push(Outcome { name: case.name.clone(), verdict, problems });
    }
    Report { cases: outcomes }
}

/// What is wrong; the error is a case that cannot be run.
async fn problems(case: &Case, settings: &Settings, options: Options) -> Result<Vec<Problem>, String> {
    let (fixture, terms) = (case.fixture()?, case.terms()?);
    let mut env = fixture.env.clone();
    env.extend(terms.env.clone());
    let mut setup = Setup::peek(terms.select(settings)?).map_err(|error| chain(&error))?;
    let mut reasons = Vec::new();
    let rendered = offline(&mut setup, env, |query| {
        let answer = fixture.answer(query);
        answer.map_err(|reason| reasons.push(format!("{query}: {reason}"))).ok()
    });
    reasons.extend(rendered.open.iter().map(ToString::to_string));

    let mut problems = Vec::new();
    match &terms.error {
        Some(expected) if reasons.is_empty() => problems.push(Problem::NoError { expected: expected.clone() }),
        Some(expected) if reasons.iter().any(|reason| reason.contains(expected)) => {}
        _ => problems.extend(reasons.into_iter().map(|message| Problem::Reason { message })),
    }
    // What waits for something else than expected tells nothing of the files.
    if problems.is_empty() {
        problems.extend(files(case, &rendered, options.update)?);
    }
    if options.check {
        for target in &mut setup.targets {
            let (name, diff) = (target.name().to_owned(), target.diff().await);
            let refused = match diff.map(|diff| diff.opinion) {
                Ok(Some(Opinion::Refused { output, .. })) => Some(output),
                Ok(_) => None,
                Err(error) => Some(chain(&error)),
            };
            problems.extend(refused.map(|output| Problem::Refused { target: name, output }));
        }
    }
    Ok(problems)
}

/// What differs; with `update`, it does so no more.
fn files(case: &Case, rendered: &Offline, update: bool) -> Result<Vec<Problem>, String> {
    let products = rendered.targets.values().flatten().flatten();
    let rendered: Files =
        products.map(|(path, product)| (compare::place(path), product.text.bytes().to_vec())).collect();
    let directory = case.expected();
    let expected = compare::read(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let problems = compare::compare(&expected, &rendered);
    if update {
        let updated = compare::update(&directory, &expected, &rendered);
        updated.map_err(|error| format!("{}: cannot be updated: {error}", directory.display()))?;
    }
    Ok(problems)
}
