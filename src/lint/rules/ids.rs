//! Ids that several containers or ports claim; `register` refuses all claims but one.

use std::collections::{BTreeMap, BTreeSet};

use super::RuleFinding;
use crate::lint::{
    compose::{ComposeService, VariableOrLabel},
    evaluated_service::EvaluatedService,
};

/// The number of claims that a message names.
const MAX_NAMED: usize = 4;

/// A claim on an id: the service, the variable or label, and a description.
type IdClaim<'a> = (&'a EvaluatedService<'a>, &'a VariableOrLabel, String);

/// Finds ports and replicas with the same `SERVICE_ID`.
pub(super) fn duplicate_ids(subjects: &[EvaluatedService<'_>]) -> Vec<RuleFinding> {
    let mut claims = BTreeMap::<String, Vec<IdClaim<'_>>>::new();
    for subject in subjects {
        let registered =
            subject.port_outcomes.iter().filter_map(|outcome| Some((outcome.port, outcome.instance.as_ref().ok()?)));
        for (port, instance) in registered {
            // A port without `SERVICE_ID` has a unique id, which contains the name of the container.
            if let Some(entry) = subject.winning_variable(port, "id") {
                let claim = format!("{port} of {}", subject.service.name);
                claims.entry(format!("{} {}", instance.id, entry.value.raw)).or_default().push((subject, entry, claim));
            }
        }
    }
    claims.values().flat_map(|claims| conflicts(claims)).collect()
}

/// The conflicts of the claims on one id, one for each position.
fn conflicts(claims: &[IdClaim<'_>]) -> Vec<RuleFinding> {
    let mut positions = BTreeSet::new();
    let mut firsts = claims.to_vec();
    firsts.retain(|(subject, entry, _)| positions.insert((entry.position, &subject.service.name)));
    firsts.iter().filter_map(|(subject, entry, _)| conflict(subject, entry, claims)).collect()
}

fn conflict(subject: &EvaluatedService<'_>, entry: &VariableOrLabel, claims: &[IdClaim<'_>]) -> Option<RuleFinding> {
    let own = subject.service;
    let meets = |service: &ComposeService| std::ptr::eq(service, own) || service.can_run_beside(own);
    let competing: Vec<_> = claims.iter().filter(|(other, ..)| meets(other.service)).collect();
    let replicas = own.replicas.filter(|replicas| *replicas > 1);
    let who = match (competing.len(), replicas) {
        (0 | 1, None) => return None,
        (0 | 1, Some(replicas)) => format!("{replicas} containers"),
        _ => first_names(competing.iter().map(|(.., claim)| claim.as_str()).collect()),
    };
    let message = format!("{}: {who} claim one id: at most one of them is registered", entry.name);
    let found = RuleFinding::error(subject, entry.position, message);
    Some(found.help("leave it out: every container then has its own id"))
}

/// The first few claims.
fn first_names(all: Vec<&str>) -> String {
    match all.len().checked_sub(MAX_NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", all[..MAX_NAMED].join(", ")),
        _ => all.join(" and "),
    }
}
