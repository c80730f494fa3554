//! Keys: those that mean nothing, that nobody reads, that are given twice.

use std::collections::BTreeMap;

use super::Found;
use crate::lint::{
    compose::Entry,
    known,
    subject::{Said, Subject},
};

/// A check's setting that does not exist, and keys of Meta that are next to one of ours.
pub(super) fn unknown(subjects: &[Subject<'_>]) -> Vec<Found> {
    let unknown = |subject, said: Said<'_>| {
        let name = &said.entry.name;
        let (place, check) = (said.entry.place, known::check(said.key));
        if known::is_known(said.key) || super::ports::looks_like_a_port(said.key).is_some() {
            return None;
        }
        let meant = known::meant(said.key).map(|meant| respelled(said.entry, said.key, &meant));
        match (check, meant) {
            (Some((Some(number), rest)), _) if known::is_known(&format!("check_{rest}")) => {
                let found =
                    Found::error(subject, place, format!("{name} means nothing: {number:?} is no number of a check"));
                Some(found.help("checks are numbered 1, 2, 3"))
            }
            (Some(_), meant) => {
                let found = Found::error(subject, place, format!("{name} means nothing: checks have no such setting"));
                Some(match meant {
                    Some(meant) => found.help(format!("did you mean {meant}?")),
                    None => found,
                })
            }
            (None, Some(meant)) => {
                let message = format!("{name} only becomes the Meta key {:?}", said.key);
                Some(Found::warning(subject, place, message).help(format!("did you mean {meant}?")))
            }
            (None, None) => None,
        }
    };
    subjects.iter().flat_map(|subject| subject.said().filter_map(move |said| unknown(subject, said))).collect()
}

/// What looks like a key of ours, and is read by nobody.
pub(super) fn dead(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let entries = subject.service.entries.iter();
        let read: Vec<_> = subject.said().map(|said| (said.entry.label, said.entry.name.as_str())).collect();
        let dead = entries.filter(|entry| !read.contains(&(entry.label, entry.name.as_str())));
        let dead = dead.filter_map(|entry| unread(subject, entry));
        let swarm = subject.service.deploy_labels.iter().filter(|entry| is_prefixed(&entry.name)).map(|entry| {
            let message =
                format!("{} is a label of the swarm service, not of its containers: nobody reads it", entry.name);
            Found::error(subject, entry.place, message).help("put it under the service's own labels")
        });
        dead.chain(swarm).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

/// Why nobody reads an entry, if it looks like one of ours.
fn unread(subject: &Subject<'_>, entry: &Entry) -> Option<Found> {
    let name = &entry.name;
    if !entry.label && name.starts_with("portreeve.") {
        let found = Found::error(subject, entry.place, format!("{name} is read from labels only"));
        return Some(found.help(format!("make it a label, or write {}", service_spelling(name))));
    }
    if is_prefixed(name) {
        let message = format!("{name} is not read: there is no such port, or no key");
        return Some(
            Found::error(subject, entry.place, message).help("ports go from 1 to 65535, without leading zeros"),
        );
    }
    let spelled = if name.to_ascii_lowercase().starts_with("service_") {
        service_spelling(name)
    } else if entry.label && name.to_ascii_lowercase().starts_with("portreeve.") {
        name.to_lowercase()
    } else {
        return None;
    };
    // Other programs have variables that begin like this; only what would be one of our keys is a slip.
    let key = spelled.split_once(['_', '.']).map(|(_, key)| key.to_lowercase().replace('.', "_"))?;
    let key = key.split_once('_').filter(|(port, _)| port.parse::<u16>().is_ok()).map_or(key.as_str(), |(_, key)| key);
    let found = Found::warning(subject, entry.place, format!("{name} is not read: the case of its beginning counts"));
    known::is_known(key).then(|| found.help(format!("write {spelled}")))
}

/// One key twice in one scope.
pub(super) fn twice(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for said in subject.said() {
            keys.entry((said.scope, said.key.to_owned())).or_default().push(said);
        }
        let entries = &subject.service.entries;
        let replaced = entries.iter().enumerate().filter_map(|(at, lost)| {
            let won = entries[at + 1..].iter().rfind(|later| later.replaces(lost))?;
            let read = subject.said().any(|said| said.entry.replaces(lost));
            let message = format!("{} loses to line {}, which says it again", lost.name, won.place.line);
            read.then(|| Found::warning(subject, lost.place, message).help("keep one of them"))
        });
        let twice = keys.into_values().filter_map(|mut said| {
            let won = said.pop()?.entry;
            let lost = said.pop()?.entry;
            let kind = |entry: &Entry| if entry.label { "label" } else { "variable" };
            let (won_kind, lost_kind) = (kind(won), kind(lost));
            let message = format!(
                "the {lost_kind} {} loses to the {won_kind} {} (line {}), which says the same key",
                lost.name, won.name, won.place.line
            );
            Some(Found::warning(subject, lost.place, message).help("keep one of them"))
        });
        replaced.chain(twice).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
}

fn is_prefixed(name: &str) -> bool {
    name.starts_with("SERVICE_") || name.starts_with("portreeve.")
}

/// `portreeve.80.check.http` and `service_80_check_http` as `SERVICE_80_CHECK_HTTP`.
fn service_spelling(name: &str) -> String {
    let key = name.get("service_".len()..).filter(|_| !name.starts_with("portreeve."));
    let key = key.or_else(|| name.strip_prefix("portreeve.")).unwrap_or(name);
    format!("SERVICE_{}", key.replace('.', "_").to_uppercase())
}

/// The entry's own name with another key, in its own style.
pub(super) fn respelled(entry: &Entry, key: &str, meant: &str) -> String {
    let before = entry.name.len().saturating_sub(key.len());
    let before = entry.name.get(..before).unwrap_or_default();
    if before.starts_with("portreeve.") {
        // What is one word in a key has no dots inside: check.initial_status.
        let meant = meant.strip_prefix("check_").map_or_else(|| meant.to_owned(), |rest| format!("check.{rest}"));
        format!("{before}{meant}")
    } else {
        format!("{before}{}", meant.to_uppercase())
    }
}
