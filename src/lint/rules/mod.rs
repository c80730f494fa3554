//! The rules, each a function over all services of a file. Pure.

mod ids;
mod keys;
mod names;
mod ports;
mod shapes;
mod unseen;
mod values;

use std::collections::BTreeSet;

use super::{
    finding::{Finding, Place, Severity},
    subject::Subject,
};
use crate::register::key_problems::KeyProblem;

/// What a rule has found; its name and the service's are added in one place.
struct Found {
    service: String,
    place: Place,
    severity: Severity,
    message: String,
    help: Option<String>,
}

type Rule = fn(&[Subject<'_>]) -> Vec<Found>;

/// Every rule, by the name that users see.
const RULES: [(&str, Rule); 13] = [
    ("shape", shapes::misshapen),
    ("yaml-value", values::changed),
    ("unknown-key", keys::unknown),
    ("dead-key", keys::dead),
    ("key-twice", keys::twice),
    ("port-of-key", ports::of_key),
    ("not-published", ports::not_published),
    ("host-port", ports::with_replicas),
    ("id", ids::collide),
    ("name", names::carried),
    ("no-effect", values::without_effect),
    ("check", values::checks),
    ("not-looked-into", unseen::notes),
];

/// What all rules find, from the top of the file to its end; of one rule one finding for a place.
pub(super) fn findings(subjects: &[Subject<'_>]) -> Vec<Finding> {
    let all = RULES.iter().flat_map(|(name, rule)| rule(subjects).into_iter().map(|found| found.of(name)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|finding| (finding.place, finding.severity, finding.rule));
    let mut seen = BTreeSet::new();
    all.retain(|finding| seen.insert((finding.place, finding.rule, finding.service.clone())));
    all
}

impl Found {
    fn error(subject: &Subject<'_>, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, subject, place, message.into())
    }

    fn warning(subject: &Subject<'_>, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject, place, message.into())
    }

    fn key(subject: &Subject<'_>, place: Place, problem: KeyProblem) -> Self {
        let KeyProblem { message, help, is_dead } = problem;
        let severity = if is_dead { Severity::Error } else { Severity::Warning };
        Self { help, ..Self::new(severity, subject, place, message) }
    }

    fn note(subject: &Subject<'_>, place: Place, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, subject, place, message.into())
    }

    fn new(severity: Severity, subject: &Subject<'_>, place: Place, message: String) -> Self {
        Self { service: subject.service.name.clone(), place, severity, message, help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn of(self, rule: &'static str) -> Finding {
        let Self { service, place, severity, message, help } = self;
        Finding { place, severity, rule, service, message, help }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_rule_is_described_and_has_an_example() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let described = fs::read_to_string(root.join("docs/reference/lint.md")).expect("the page");
        let examples = fs::read_dir(root.join("tests/lint")).expect("the examples").map(|entry| entry.expect("a file"));
        let examples = examples.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "txt"));
        let examples: String = examples.map(|entry| fs::read_to_string(entry.path()).expect("text")).collect();
        for (name, _) in RULES {
            assert!(described.contains(&format!("| `{name}` |")), "{name} is not described");
            assert!(examples.contains(&format!("[{name}]")), "{name} has no example");
        }
    }
}
