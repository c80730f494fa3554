//! Values that `register` cannot use, and checks that are hardly meant so.

use std::collections::BTreeSet;

use super::Found;
use crate::{
    lint::subject::Subject,
    register::{known, meta::SECRET, metadata::is_yes},
};

/// What `register` itself would note: Meta beyond the limits, bad numbers and durations, scripts that cannot be split.
pub(super) fn without_effect(subjects: &[Subject<'_>]) -> Vec<Found> {
    let noted = subjects.iter().flat_map(|subject| {
        let notes = subject.verdicts.iter().flat_map(|verdict| &verdict.notes);
        notes.filter_map(move |note| {
            // A note begins with the name of the variable or label.
            let said = subject
                .said()
                .filter(|said| note.strip_prefix(said.entry.name.as_str()).is_some_and(|rest| rest.starts_with(' ')));
            let entry = said.map(|said| said.entry).last().filter(|entry| entry.value.is_known())?;
            // It does become Meta.
            let found = if note.ends_with(SECRET) { Found::warning } else { Found::error };
            Some(found(subject, entry.place, note.clone()))
        })
    });
    let swallowed = subjects.iter().flat_map(|subject| {
        let scripts = subject.said().filter(|said| known::check(said.key).is_some_and(|(_, name)| name == "script"));
        scripts.filter_map(move |said| {
            let bare = ["IP", "PORT"].into_iter().find(|what| {
                let raw = said.entry.value.raw.replace("$$", "");
                raw.contains(&format!("$SERVICE_{what}")) || raw.contains(&format!("${{SERVICE_{what}}}"))
            })?;
            let message = format!("{}: Compose itself replaces $SERVICE_{bare}, by nothing", said.entry.name);
            Some(Found::error(subject, said.entry.place, message).help(format!("write $$SERVICE_{bare}")))
        })
    });
    noted.chain(swallowed).collect()
}

/// Values that are no text to YAML, and so reach the container written otherwise.
pub(super) fn changed(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let found = subject.said().filter_map(|said| {
            let (name, changed) = (&said.entry.name, said.entry.changed.as_ref()?);
            let message = format!("{name} is {} to YAML: the container gets {:?}", changed.kind, changed.text);
            Some(Found::warning(subject, said.entry.place, message).help("put the value in quotes"))
        });
        found.collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// Checks of which only one is made, that cannot be switched off like this, or that nobody asked for.
pub(super) fn checks(subjects: &[Subject<'_>]) -> Vec<Found> {
    subjects.iter().flat_map(of_service).collect()
}

fn of_service(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    let settings = || subject.said().filter_map(|said| Some((known::check(said.key)?, said)));
    let asked =
        || settings().filter(|((_, name), said)| known::KINDS.contains(name) && !said.entry.value.value.is_empty());
    let mut groups = BTreeSet::new();
    for ((number, name), said) in asked() {
        let group = || asked().filter(|((other, _), of)| *other == number && of.scope == said.scope);
        let first = known::KINDS.into_iter().find(|kind| group().any(|((_, name), _)| name == *kind));
        if let Some(first) = first.filter(|first| *first != name) {
            let message =
                format!("{} is not carried out: {first} is asked for as well, and goes first", said.entry.name);
            let help = "number them: SERVICE_CHECK_1_HTTP, SERVICE_CHECK_2_TCP";
            found.push(Found::warning(subject, said.entry.place, message).help(help));
        } else if !is_yes(&said.entry.value.value) {
            let message = format!("{} asks for a check all the same: any value does", said.entry.name);
            found.push(Found::warning(subject, said.entry.place, message).help("leave it out"));
        }
        groups.insert(number);
    }
    // An env_file may ask for what is set here.
    if subject.service.unseen.is_empty() {
        let idle = settings().filter(|((number, name), said)| {
            let serves = if number.is_some() { groups.contains(number) } else { !groups.is_empty() };
            known::is_known(said.key) && !known::KINDS.contains(name) && !serves
        });
        found.extend(idle.map(|(_, said)| {
            let message = format!("{} has no effect: no check is asked for", said.entry.name);
            Found::warning(subject, said.entry.place, message).help("SERVICE_CHECK_HTTP=/path asks for one")
        }));
    }
    found
}
