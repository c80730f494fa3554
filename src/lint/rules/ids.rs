//! Ids that several containers or ports claim: `register` refuses all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use crate::lint::{compose::Entry, subject::Subject};

/// How many claims a message names.
const NAMED: usize = 4;

/// Ports and replicas with one `SERVICE_ID`.
pub(super) fn collide(subjects: &[Subject<'_>]) -> Vec<Found> {
    let mut claims = BTreeMap::<String, Vec<(&Subject<'_>, &Entry, String)>>::new();
    for subject in subjects {
        let registered =
            subject.verdicts.iter().filter_map(|verdict| Some((verdict.port, verdict.outcome.as_ref().ok()?)));
        for (port, instance) in registered {
            // Without an id of its own a port has one that nobody else has: it holds the container's name.
            if let Some(entry) = subject.winner(port, "id") {
                let claim = format!("{port} of {}", subject.service.name);
                claims.entry(format!("{} {}", instance.id, entry.value.raw)).or_default().push((subject, entry, claim));
            }
        }
    }
    let mut found = Vec::new();
    for claims in claims.into_values() {
        let several = (claims.len() > 1).then(|| names(claims.iter().map(|(_, _, claim)| claim.as_str()).collect()));
        let mut places = BTreeSet::new();
        for (subject, entry, _) in
            claims.iter().filter(|(subject, entry, _)| places.insert((entry.place, &subject.service.name)))
        {
            let replicas = subject.service.replicas.filter(|replicas| *replicas > 1);
            let who = several.clone().or_else(|| replicas.map(|replicas| format!("{replicas} containers")));
            found.extend(who.map(|who| {
                let message = format!("{}: {who} claim one id: none of them is registered", entry.name);
                let error = Found::error(subject, entry.place, message);
                error.help("leave it out: every container has an id of its own then")
            }));
        }
    }
    found
}

/// The first few of them.
fn names(all: Vec<&str>) -> String {
    match all.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", all[..NAMED].join(", ")),
        _ => all.join(" and "),
    }
}
