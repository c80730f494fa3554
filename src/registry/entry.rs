//! The entries of a registry.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckProbe, Instance, Owner, RegisteredCheck, Status};

/// The actual state of a registry. As a [`Ledger`](super::Ledger) returns it, `owned` contains every entry with
/// ownership marks, for any engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Our entries, by id.
    pub owned: BTreeMap<String, Entry>,
    /// Foreign entries, by id, with their owner. They are never touched unless they are in `adoptable`. `None` if an
    /// entry has no owner in its Meta, as registrator writes it.
    pub foreign: BTreeMap<String, Option<Owner>>,
    /// The entries in `foreign` that are taken over if an instance has their id.
    pub adoptable: BTreeSet<String>,
    /// The content of the entries in `foreign`, for comparisons.
    pub foreign_entries: BTreeMap<String, Entry>,
    /// The failing checks of the host itself, which keep traffic from every entry.
    pub failing_host_checks: Vec<FailingCheck>,
}

impl Entries {
    /// Whether an entry with this id may be written.
    pub fn is_writable(&self, id: &str) -> bool {
        !self.foreign.contains_key(id) || self.adoptable.contains(id)
    }
}

/// The actual state of one registry entry.
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
    /// See [`Instance::meta`]; without the ownership marks.
    pub meta: BTreeMap<String, String>,
    /// See [`Instance::owner`]; all fields are empty if the entry has no owner.
    pub owner: Owner,
    /// The value of [`Instance::digest`] when the entry was sent; empty if it is missing.
    pub digest: String,
    /// Its checks, by [`Check::key`](super::Check::key).
    pub checks: BTreeMap<String, RegisteredCheck>,
    /// The status of each check that waits for reports, by [`Check::key`](super::Check::key).
    pub reported_statuses: BTreeMap<String, Status>,
    /// The reason for which it is out of traffic, ours or an operator's; `None` if it is in traffic.
    pub out_of_traffic: Option<String>,
    /// All its failing checks, including those that others registered.
    pub failing_checks: Vec<FailingCheck>,
}

/// A check that does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingCheck {
    /// The name of the check.
    pub name: String,
    /// Never [`Status::Passing`].
    pub status: Status,
    /// The output of the last probe or report, or the reason of maintenance mode.
    pub output: String,
}

impl Entry {
    /// The entry after a successful registration of `instance`.
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

    /// Whether it has the container, address and port of `instance`. The ids may differ.
    pub fn has_same_address_as(&self, instance: &Instance) -> bool {
        let key = (&self.owner.container, &self.address, self.port);
        key == (&instance.owner.container, &instance.address, instance.port)
    }

    /// Whether the entry is up to date with `instance`, apart from traffic.
    ///
    /// The visible fields are compared in addition to the digest, to detect changes by others.
    pub fn matches(&self, instance: &Instance) -> bool {
        self.matches_digest(instance, &instance.digest())
    }

    /// Like [`matches`](Self::matches), with the known digest of `instance`.
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
            // The engine's id may have changed: that alone does not require a write.
            && (meta, &owner.host) == (&instance.meta, &instance.owner.host)
            && owner.is_same_run(&instance.owner)
            && self.has_checks(instance)
    }

    /// Whether none of its checks was removed or replaced. Additional checks are ignored, and an HTTP/2 check may be
    /// missing, since old agents do not support it.
    pub fn has_checks(&self, instance: &Instance) -> bool {
        instance.checks.iter().all(|check| match self.checks.get(&check.key) {
            Some(registered) => registered.matches(check),
            None => matches!(check.probe, CheckProbe::H2ping { .. }),
        })
    }
}
