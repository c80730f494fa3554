//! Decides which of several ports gets an id that all of them claim. Pure.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::gate::ReadinessGate;
use crate::{
    docker::{Container, Port},
    registry::{DigestedInstance, Entry},
};

/// A port that is to be registered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) container: &'a Container,
    pub(super) port: Port,
    pub(super) instance: &'a DigestedInstance,
    /// Set while the instance is not ready.
    pub(super) gate: Option<&'a ReadinessGate>,
}

impl Claim<'_> {
    /// A description for log lines.
    pub(super) fn description(&self) -> String {
        format!("{} of container {:?}", self.port, self.container.name)
    }

    /// Why the claim is refused, for the log. `competitor` is the claim that wins, or any other one if none does.
    pub(super) fn refusal(&self, competitor: &Self) -> String {
        let (port, id) = (self.port, &self.instance.id);
        if competitor.container.id == self.container.id {
            let (one, other) = (port.number, competitor.port.number);
            format!(
                "{port} is not registered: {} claims the id {id:?} as well; set SERVICE_{one}_ID and SERVICE_{other}_ID",
                competitor.port
            )
        } else {
            format!(
                "{port} is not registered: container {:?} has the id {id:?}; give one of the two another SERVICE_ID",
                competitor.container.name
            )
        }
    }

    /// Whether `other` is a newer container of the same name. Docker gives a name to one container at a time, so the
    /// older one was removed or renamed, and what is known of it is out of date.
    fn is_outdated_by(&self, other: &Self) -> bool {
        other.container.name == self.container.name
            && other.container.id != self.container.id
            && other.started() > self.started()
    }

    fn started(&self) -> Option<Timestamp> {
        self.container.started_at.parse().ok()
    }

    fn is_incumbent(&self, entry: Option<&Entry>) -> bool {
        entry.is_some_and(|entry| entry.owner.container == self.container.id)
    }

    /// Whether the container makes no other claim, or has the entry and this claim fits it best: the same address and
    /// port, otherwise the lowest port.
    fn is_unambiguous(&self, claims: &[Self], entry: Option<&Entry>) -> bool {
        let address_and_port = |claim: &Self| (claim.instance.address.clone(), claim.instance.port);
        let has_entry =
            |claim: &Self| entry.is_some_and(|entry| (entry.address.clone(), entry.port) == address_and_port(claim));
        let rank = |claim: &Self| (Reverse(has_entry(claim)), claim.port);
        let mut others =
            claims.iter().filter(|other| other.container.id == self.container.id && other.port != self.port);
        others.all(|other| self.is_incumbent(entry) && rank(self) < rank(other))
    }
}

/// The claims that are not out of date.
pub(super) fn without_outdated<'a>(claims: &[Claim<'a>]) -> Vec<Claim<'a>> {
    claims.iter().filter(|claim| !claims.iter().any(|other| claim.is_outdated_by(other))).copied().collect()
}

/// The claim that wins. A claim that can serve precedes one that cannot, then the one that has the entry, then the
/// container that started first: a conflict never removes an entry that serves. Two claims of one container are both
/// refused, since either choice would be wrong.
pub(super) fn winner<'a, 'b>(claims: &'b [Claim<'a>], entry: Option<&Entry>) -> Option<&'b Claim<'a>> {
    claims.iter().filter(|claim| claim.is_unambiguous(claims, entry)).min_by_key(|claim| {
        let cannot_serve = (claim.gate.is_some(), claim.instance.out_of_traffic.is_some());
        (cannot_serve, !claim.is_incumbent(entry), claim.started(), claim.container.id.clone())
    })
}
