//! One entry of ours, as the registry holds it now.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckProbe, Instance, Owner, RegisteredCheck, Status};

/// The actual state of a registry. As a [`Ledger`](super::Ledger) returns it, every entry with our marks is in `owned`,
/// whichever engine it was written for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Ours, by id.
    pub owned: BTreeMap<String, Entry>,
    /// Everybody else's, by id: never to be touched, unless they are in `adoptable`. `None` if an entry carries nobody's
    /// mark, as registrator writes them; otherwise who wrote it.
    pub foreign: BTreeMap<String, Option<Owner>>,
    /// Those of `foreign` that are taken over if we want their id.
    pub adoptable: BTreeSet<String>,
    /// What those of `foreign` hold, for people to compare.
    pub foreign_entries: BTreeMap<String, Entry>,
    /// The checks of the host itself that do not pass: they keep every entry out of traffic.
    pub failing_host_checks: Vec<FailingCheck>,
}

impl Entries {
    /// Whether an id is ours to write.
    pub fn is_writable(&self, id: &str) -> bool {
        !self.foreign.contains_key(id) || self.adoptable.contains(id)
    }
}

/// The actual state of one registry entry that carries our ownership marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// See [`Instance::id`].
    pub id: String,
    /// See [`Instance::name`].
    pub name: String,
    /// See [`Instance::address`].
    pub address: String,
    /// See [`Instance::port`].
    pub port: u16,
    /// See [`Instance::tags`].
    pub tags: Vec<String>,
    /// See [`Instance::meta`]: without our own keys.
    pub meta: BTreeMap<String, String>,
    /// See [`Instance::owner`].
    pub owner: Owner,
    /// What [`Instance::digest`] was when it was sent; empty when the mark is missing.
    pub digest: String,
    /// Its checks, by [`Check::key`](super::Check::key).
    pub checks: BTreeMap<String, RegisteredCheck>,
    /// The status of each of its checks that waits for reports, by [`Check::key`](super::Check::key).
    pub reported_statuses: BTreeMap<String, Status>,
    /// Set while it is out of traffic: the reason that the registry shows, ours or an operator's.
    pub out_of_traffic: Option<String>,
    /// Its checks that do not pass, whoever made them.
    pub failing_checks: Vec<FailingCheck>,
}

/// A check that does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingCheck {
    /// For people.
    pub name: String,
    /// Never [`Status::Passing`].
    pub status: Status,
    /// What the last probe or report said; the reason of maintenance mode.
    pub output: String,
}

impl Entry {
    /// The entry that a successful registration of `instance` leaves behind.
    pub fn expected(instance: &Instance) -> Self {
        Self {
            id: instance.id.clone(),
            name: instance.name.clone(),
            address: instance.address.clone(),
            port: instance.port,
            tags: instance.tags.clone(),
            meta: instance.meta.clone(),
            owner: instance.owner.clone(),
            digest: instance.digest(),
            checks: instance.checks.iter().map(|check| (check.key.clone(), RegisteredCheck::expected(check))).collect(),
            reported_statuses: BTreeMap::new(),
            out_of_traffic: None,
            failing_checks: Vec::new(),
        }
    }

    /// Whether it is of the same container, address and port as `instance`, whatever the ids are.
    pub fn has_same_address_as(&self, instance: &Instance) -> bool {
        let place = (&self.owner.container, &self.address, self.port);
        place == (&instance.owner.container, &instance.address, instance.port)
    }

    /// Whether the registry holds what `instance` asks for, traffic aside.
    ///
    /// The visible fields are compared as well as the digest, so that a change by somebody else's hand is seen.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.matches_digest(instance, &instance.digest())
    }

    /// The same where the instance's digest is known.
    pub fn matches_digest(&self, instance: &Instance, wanted: &str) -> bool {
        let Self {
            id,
            name,
            address,
            port,
            tags,
            meta,
            owner,
            digest,
            checks: _,
            reported_statuses: _,
            out_of_traffic: _,
            failing_checks: _,
        } = self;
        digest == wanted
            && (id, name, address, port) == (&instance.id, &instance.name, &instance.address, &instance.port)
            && (tags == &instance.tags || instance.tag_override)
            // The engine may have another id by now: that alone is no reason to write.
            && (meta, &owner.host) == (&instance.meta, &instance.owner.host)
            && owner.is_same_run(&instance.owner)
            && self.has_checks(instance)
    }

    /// Whether none of its checks was removed or replaced by hand. Further ones are somebody else's business, and one for
    /// HTTP/2 is left out for agents that do not know it.
    pub fn has_checks(&self, instance: &Instance) -> bool {
        instance.checks.iter().all(|check| match self.checks.get(&check.key) {
            Some(seen) => seen.matches(check),
            None => matches!(check.probe, CheckProbe::H2ping { .. }),
        })
    }
}
