//! Keys: those that mean nothing, that nobody reads, that are given twice.

use std::collections::BTreeMap;

use super::RuleFinding;
use crate::{
    lint::{
        compose::VariableOrLabel,
        evaluated_service::{DeclaredKey, EvaluatedService},
    },
    register::key_problems,
};

/// A check's setting that does not exist, and keys of Meta that are next to one of ours.
pub(super) fn unknown_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let unknown = |subject, said: DeclaredKey<'_>| {
        let problem = key_problems::unknown_key(&said.variable.name, said.key)?;
        Some(RuleFinding::from_key_problem(subject, said.variable.position, problem))
    };
    subjects.iter().flat_map(|subject| subject.declared_keys().filter_map(move |said| unknown(subject, said))).collect()
}

/// What looks like a key of ours, and is read by nobody.
pub(super) fn ineffective_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let entries = subject.service.variables.iter();
        let read: Vec<_> =
            subject.declared_keys().map(|said| (said.variable.is_label, said.variable.name.as_str())).collect();
        let dead = entries.filter(|entry| !read.contains(&(entry.is_label, entry.name.as_str())));
        let dead = dead.filter_map(|entry| {
            let problem = key_problems::unread_key(&entry.name, entry.is_label)?;
            Some(RuleFinding::from_key_problem(subject, entry.position, problem))
        });
        let swarm =
            subject.service.deploy_labels.iter().filter(|entry| key_problems::is_prefixed(&entry.name)).map(|entry| {
                let message =
                    format!("{} is a label of the swarm service, not of its containers: nobody reads it", entry.name);
                RuleFinding::error(subject, entry.position, message).help("put it under the service's own labels")
            });
        dead.chain(swarm).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// One key twice in one scope.
pub(super) fn duplicate_keys(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for said in subject.declared_keys() {
            keys.entry((said.scope, said.key.to_owned())).or_default().push(said);
        }
        let entries = &subject.service.variables;
        let replaced = entries.iter().enumerate().filter_map(|(at, lost)| {
            let won = entries[at + 1..].iter().rfind(|later| later.overrides(lost))?;
            let read = subject.declared_keys().any(|said| said.variable.overrides(lost));
            let message = format!("{} loses to line {}, which says it again", lost.name, won.position.line);
            read.then(|| RuleFinding::warning(subject, lost.position, message).help("keep one of them"))
        });
        let twice = keys.into_values().filter_map(|mut said| {
            let won = said.pop()?.variable;
            let lost = said.pop()?.variable;
            let kind = |entry: &VariableOrLabel| if entry.is_label { "label" } else { "variable" };
            let (won_kind, lost_kind) = (kind(won), kind(lost));
            let message = format!(
                "the {lost_kind} {} loses to the {won_kind} {} (line {}), which says the same key",
                lost.name, won.name, won.position.line
            );
            Some(RuleFinding::warning(subject, lost.position, message).help("keep one of them"))
        });
        replaced.chain(twice).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}
