//! Values that `register` cannot use, and checks that are hardly meant so.

use std::collections::BTreeSet;

use super::RuleFinding;
use crate::{
    lint::evaluated_service::EvaluatedService,
    register::{known_keys, meta::SECRET_NOTE, metadata::is_truthy},
};

/// What `register` itself would note: Meta beyond the limits, bad numbers and durations, scripts that cannot be split.
pub(super) fn values_without_effect(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let noted = subjects.iter().flat_map(|subject| {
        let notes = subject.port_outcomes.iter().flat_map(|verdict| &verdict.notes);
        notes.filter_map(move |note| {
            // A note begins with the name of the variable or label.
            let said = subject.declared_keys().filter(|said| {
                note.strip_prefix(said.variable.name.as_str()).is_some_and(|rest| rest.starts_with(' '))
            });
            let entry = said.map(|said| said.variable).last().filter(|entry| entry.value.is_known())?;
            // It does become Meta.
            let found = if note.ends_with(SECRET_NOTE) { RuleFinding::warning } else { RuleFinding::error };
            Some(found(subject, entry.position, note.clone()))
        })
    });
    let swallowed = subjects.iter().flat_map(|subject| {
        let scripts = subject
            .declared_keys()
            .filter(|said| known_keys::parse_check_key(said.key).is_some_and(|(_, name)| name == "script"));
        scripts.filter_map(move |said| {
            let bare = ["IP", "PORT"].into_iter().find(|what| {
                let raw = said.variable.value.raw.replace("$$", "");
                raw.contains(&format!("$SERVICE_{what}")) || raw.contains(&format!("${{SERVICE_{what}}}"))
            })?;
            let message = format!("{}: Compose itself replaces $SERVICE_{bare}, by nothing", said.variable.name);
            Some(RuleFinding::error(subject, said.variable.position, message).help(format!("write $$SERVICE_{bare}")))
        })
    });
    noted.chain(swallowed).collect()
}

/// Values that are no text to YAML, and so reach the container written otherwise.
pub(super) fn coerced_values(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let of_service = |subject: &EvaluatedService<'_>| {
        let found = subject.declared_keys().filter_map(|said| {
            let (name, changed) = (&said.variable.name, said.variable.coerced.as_ref()?);
            let message = format!("{name} is {} to YAML: the container gets {:?}", changed.kind, changed.text);
            Some(RuleFinding::warning(subject, said.variable.position, message).help("put the value in quotes"))
        });
        found.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// Checks of which only one is made, that cannot be switched off like this, or that nobody asked for.
pub(super) fn questionable_checks(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    subjects.iter().flat_map(service_checks).collect()
}

fn service_checks(subject: &EvaluatedService<'_>) -> Vec<RuleFinding> {
    let mut found = Vec::new();
    let settings = || subject.declared_keys().filter_map(|said| Some((known_keys::parse_check_key(said.key)?, said)));
    let asked = || {
        settings()
            .filter(|((_, name), said)| known_keys::CHECK_KINDS.contains(name) && !said.variable.value.value.is_empty())
    };
    let mut groups = BTreeSet::new();
    for ((number, name), said) in asked() {
        let group = || asked().filter(|((other, _), of)| *other == number && of.scope == said.scope);
        let first = known_keys::CHECK_KINDS.into_iter().find(|kind| group().any(|((_, name), _)| name == *kind));
        if let Some(first) = first.filter(|first| *first != name) {
            let message = format!("{} is ignored: {first} is set too and has precedence", said.variable.name);
            let help = "number them: SERVICE_CHECK_1_HTTP, SERVICE_CHECK_2_TCP";
            found.push(RuleFinding::warning(subject, said.variable.position, message).help(help));
        } else if !is_truthy(&said.variable.value.value) {
            let message = format!("{} asks for a check all the same: any value does", said.variable.name);
            found.push(RuleFinding::warning(subject, said.variable.position, message).help("leave it out"));
        }
        groups.insert(number);
    }
    // An env_file may ask for what is set here.
    if subject.service.not_examined.is_empty() {
        let idle = settings().filter(|((number, name), said)| {
            let serves = if number.is_some() { groups.contains(number) } else { !groups.is_empty() };
            known_keys::is_known(said.key) && !known_keys::CHECK_KINDS.contains(name) && !serves
        });
        found.extend(idle.map(|(_, said)| {
            let message = format!("{} has no effect: no check is asked for", said.variable.name);
            RuleFinding::warning(subject, said.variable.position, message).help("SERVICE_CHECK_HTTP=/path asks for one")
        }));
    }
    found
}
