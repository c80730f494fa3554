//! Keys that have no effect, are not read, or are declared twice.

use std::collections::BTreeMap;

use super::RuleFinding;
use crate::{
    lint::{
        compose::VariableOrLabel,
        evaluated_service::{DeclaredKey, EvaluatedService},
    },
    register::key_problems,
};

/// Finds unknown settings of checks, and Meta keys that are very similar to a known key.
pub(super) fn unknown_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let unknown = |subject, declared: DeclaredKey<'_>| {
        let problem = key_problems::unknown_key(&declared.variable.name, declared.key)?;
        Some(RuleFinding::from_key_problem(subject, declared.variable.position, problem))
    };
    subjects
        .iter()
        .flat_map(|subject| subject.declared_keys().filter_map(move |declared| unknown(subject, declared)))
        .collect()
}

/// Finds variables and labels that look like our keys but are not read.
pub(super) fn ineffective_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let entries = subject.service.variables.iter();
        let read: Vec<_> = subject
            .declared_keys()
            .map(|declared| (declared.variable.is_label, declared.variable.name.as_str()))
            .collect();
        let unread = entries.filter(|entry| !read.contains(&(entry.is_label, entry.name.as_str())));
        let unread = unread.filter_map(|entry| {
            let problem = key_problems::unread_key(&entry.name, entry.is_label)?;
            Some(RuleFinding::from_key_problem(subject, entry.position, problem))
        });
        let swarm =
            subject.service.deploy_labels.iter().filter(|entry| key_problems::is_prefixed(&entry.name)).map(|entry| {
                let message =
                    format!("{} is a label of the swarm service, not of its containers, so it is not read", entry.name);
                RuleFinding::error(subject, entry.position, message).help("put it under the service's own labels")
            });
        unread.chain(swarm).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// Finds keys that are declared twice in one scope.
pub(super) fn duplicate_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for declared in subject.declared_keys() {
            keys.entry((declared.scope, declared.key.to_owned())).or_default().push(declared);
        }
        let entries = &subject.service.variables;
        let replaced = entries.iter().enumerate().filter_map(|(at, lost)| {
            let won = entries[at + 1..].iter().rfind(|later| later.overrides(lost))?;
            let read = subject.declared_keys().any(|declared| declared.variable.overrides(lost));
            let message = format!("{} is overridden by line {}", lost.name, won.position.line);
            read.then(|| RuleFinding::warning(subject, lost.position, message).help("keep one of them"))
        });
        let twice = keys.into_values().filter_map(|mut declared| {
            let won = declared.pop()?.variable;
            let lost = declared.pop()?.variable;
            let kind = |entry: &VariableOrLabel| if entry.is_label { "label" } else { "variable" };
            let (won_kind, lost_kind) = (kind(won), kind(lost));
            let message = format!(
                "the {lost_kind} {} is overridden by the {won_kind} {} (line {}), which sets the same key",
                lost.name, won.name, won.position.line
            );
            Some(RuleFinding::warning(subject, lost.position, message).help("keep one of them"))
        });
        replaced.chain(twice).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
