//! The rules, each a function of all services of a file. Pure.

mod ids;
mod keys;
mod names;
mod not_examined;
mod ports;
mod shapes;
mod values;

use std::collections::BTreeSet;

use super::{
    evaluated_service::EvaluatedService,
    finding::{Finding, Severity, SourcePosition},
};
use crate::register::key_problems::KeyProblem;

/// A finding of a rule, without the rule's name.
struct RuleFinding {
    service: String,
    position: SourcePosition,
    severity: Severity,
    message: String,
    help: Option<String>,
}

type Rule = fn(&[EvaluatedService<'_>]) -> Vec<RuleFinding>;

/// Every rule with its name.
const RULES: [(&str, Rule); 13] = [
    ("shape", shapes::wrong_shapes),
    ("yaml-value", values::coerced_values),
    ("unknown-key", keys::unknown_keys),
    ("dead-key", keys::ineffective_keys),
    ("key-twice", keys::duplicate_keys),
    ("port-of-key", ports::wrong_port_keys),
    ("not-published", ports::unpublished_services),
    ("host-port", ports::host_port_conflicts),
    ("id", ids::duplicate_ids),
    ("name", names::invalid_dns_names),
    ("no-effect", values::values_without_effect),
    ("check", values::questionable_checks),
    ("not-looked-into", not_examined::not_examined),
];

/// The findings of all rules, in the order of their positions; at most one of each rule for a position.
pub(super) fn findings(subjects: &[EvaluatedService<'_>]) -> Vec<Finding> {
    let all =
        RULES.iter().flat_map(|(name, rule)| rule(subjects).into_iter().map(|finding| finding.into_finding(name)));
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|finding| (finding.position, finding.severity, finding.rule));
    let mut seen = BTreeSet::new();
    all.retain(|finding| seen.insert((finding.position, finding.rule, finding.service.clone())));
    all
}

impl RuleFinding {
    fn error(subject: &EvaluatedService<'_>, position: SourcePosition, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, subject, position, message.into())
    }

    fn warning(subject: &EvaluatedService<'_>, position: SourcePosition, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject, position, message.into())
    }

    fn from_key_problem(subject: &EvaluatedService<'_>, position: SourcePosition, problem: KeyProblem) -> Self {
        let KeyProblem { message, help, has_no_effect } = problem;
        let severity = if has_no_effect { Severity::Error } else { Severity::Warning };
        Self { help, ..Self::new(severity, subject, position, message) }
    }

    fn note(subject: &EvaluatedService<'_>, position: SourcePosition, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, subject, position, message.into())
    }

    fn new(severity: Severity, subject: &EvaluatedService<'_>, position: SourcePosition, message: String) -> Self {
        Self { service: subject.service.name.clone(), position, severity, message, help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn into_finding(self, rule: &'static str) -> Finding {
        let Self { service, position, severity, message, help } = self;
        Finding { position, severity, rule, service, message, help }
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
