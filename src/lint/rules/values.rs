//! Values that `register` cannot use, and questionable checks.

use std::collections::BTreeSet;

use super::RuleFinding;
use crate::{
    lint::evaluated_service::EvaluatedService,
    register::{known_keys, meta::SECRET_NOTE, metadata::is_truthy},
};

/// Reports the notes of `register`: Meta beyond the limits, invalid numbers and durations, scripts that cannot be
/// split.
pub(super) fn values_without_effect(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let noted = subjects.iter().flat_map(|subject| {
        let notes = subject.port_outcomes.iter().flat_map(|outcome| &outcome.notes);
        notes.filter_map(move |note| {
            // A note starts with the name of the variable or label.
            let declared = subject.declared_keys().filter(|declared| {
                note.strip_prefix(declared.variable.name.as_str()).is_some_and(|rest| rest.starts_with(' '))
            });
            let entry = declared.map(|declared| declared.variable).last().filter(|entry| entry.value.is_known())?;
            // It still becomes Meta.
            let found = if note.ends_with(SECRET_NOTE) { RuleFinding::warning } else { RuleFinding::error };
            Some(found(subject, entry.position, note.clone()))
        })
    });
    let replaced_by_compose = subjects.iter().flat_map(|subject| {
        let scripts = subject
            .declared_keys()
            .filter(|declared| known_keys::parse_check_key(declared.key).is_some_and(|(_, name)| name == "script"));
        scripts.filter_map(move |declared| {
            let bare = ["IP", "PORT"].into_iter().find(|what| {
                let raw = declared.variable.value.raw.replace("$$", "");
                raw.contains(&format!("$SERVICE_{what}")) || raw.contains(&format!("${{SERVICE_{what}}}"))
            })?;
            let message =
                format!("{}: Compose itself replaces $SERVICE_{bare} by an empty text", declared.variable.name);
            Some(
                RuleFinding::error(subject, declared.variable.position, message)
                    .help(format!("write $$SERVICE_{bare}")),
            )
        })
    });
    noted.chain(replaced_by_compose).collect()
}

/// Finds values that YAML converts, so that the container gets another text.
pub(super) fn coerced_values(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let found = subject.declared_keys().filter_map(|declared| {
            let (name, coerced) = (&declared.variable.name, declared.variable.coerced.as_ref()?);
            let message = format!("{name} is {} in YAML: the container gets {:?}", coerced.kind, coerced.text);
            Some(RuleFinding::warning(subject, declared.variable.position, message).help("put the value in quotes"))
        });
        found.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// Finds checks that are overridden by another kind, cannot be switched off like this, or have settings but no kind.
pub(super) fn questionable_checks(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    subjects.iter().flat_map(service_checks).collect()
}

fn service_checks(subject: &EvaluatedService<'_>) -> Vec<RuleFinding> {
    let mut found = Vec::new();
    let settings =
        || subject.declared_keys().filter_map(|declared| Some((known_keys::parse_check_key(declared.key)?, declared)));
    let kinds = || {
        settings().filter(|((_, name), declared)| {
            known_keys::CHECK_KINDS.contains(name) && !declared.variable.value.value.is_empty()
        })
    };
    let mut groups = BTreeSet::new();
    for ((number, name), declared) in kinds() {
        let group = || kinds().filter(|((other, _), of)| *other == number && of.scope == declared.scope);
        let first = known_keys::CHECK_KINDS.into_iter().find(|kind| group().any(|((_, name), _)| name == *kind));
        if let Some(first) = first.filter(|first| *first != name) {
            let message = format!("{} is ignored: {first} is set too and has precedence", declared.variable.name);
            let help = "number them: SERVICE_CHECK_1_HTTP, SERVICE_CHECK_2_TCP";
            found.push(RuleFinding::warning(subject, declared.variable.position, message).help(help));
        } else if !is_truthy(&declared.variable.value.value) {
            let message = format!("{} defines a check anyway: any value does", declared.variable.name);
            found.push(RuleFinding::warning(subject, declared.variable.position, message).help("leave it out"));
        }
        groups.insert(number);
    }
    // An env_file may define the check.
    if subject.service.not_examined.is_empty() {
        let unused = settings().filter(|((number, name), declared)| {
            let has_check = if number.is_some() { groups.contains(number) } else { !groups.is_empty() };
            known_keys::is_known(declared.key) && !known_keys::CHECK_KINDS.contains(name) && !has_check
        });
        found.extend(unused.map(|(_, declared)| {
            let message = format!("{} has no effect: no check is defined", declared.variable.name);
            RuleFinding::warning(subject, declared.variable.position, message)
                .help("SERVICE_CHECK_HTTP=/path defines one")
        }));
    }
    found
}
