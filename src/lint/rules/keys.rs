//! Keys: those that mean nothing, that nobody reads, that are given twice.

use std::collections::BTreeMap;

use super::Found;
use crate::{
    lint::{
        compose::Entry,
        subject::{Said, Subject},
    },
    register::key_problems,
};

/// A check's setting that does not exist, and keys of Meta that are next to one of ours.
pub(super) fn unknown(subjects: &[Subject<'_>]) -> Vec<Found> {
    let unknown = |subject, said: Said<'_>| {
        let problem = key_problems::unknown(&said.entry.name, said.key)?;
        Some(Found::key(subject, said.entry.place, problem))
    };
    subjects.iter().flat_map(|subject| subject.said().filter_map(move |said| unknown(subject, said))).collect()
}

/// What looks like a key of ours, and is read by nobody.
pub(super) fn dead(subjects: &[Subject<'_>]) -> Vec<Found> {
    let of_service = |subject: &Subject<'_>| {
        let entries = subject.service.entries.iter();
        let read: Vec<_> = subject.said().map(|said| (said.entry.label, said.entry.name.as_str())).collect();
        let dead = entries.filter(|entry| !read.contains(&(entry.label, entry.name.as_str())));
        let dead = dead.filter_map(|entry| {
            let problem = key_problems::unread(&entry.name, entry.label)?;
            Some(Found::key(subject, entry.place, problem))
        });
        let swarm =
            subject.service.deploy_labels.iter().filter(|entry| key_problems::is_prefixed(&entry.name)).map(|entry| {
                let message =
                    format!("{} is a label of the swarm service, not of its containers: nobody reads it", entry.name);
                Found::error(subject, entry.place, message).help("put it under the service's own labels")
            });
        dead.chain(swarm).collect::<Vec<_>>()
    };
    subjects.iter().flat_map(of_service).collect()
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
