//! Converts Consul's JSON into the values of [`crate::registry`] that templates use. Pure.

mod key;
mod mesh;
mod node;
mod record;

use std::collections::BTreeMap;

pub(super) use key::pairs;
pub(super) use mesh::{leaf, roots};
pub(super) use node::{node, nodes};
pub(super) use record::records;

/// The names of services, with their tags sorted.
pub(super) fn services(mut services: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    services.values_mut().for_each(|tags| tags.sort());
    services
}

/// The names, sorted.
pub(super) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortOrder {
    /// Sorted by name or id: the same for the same data.
    Stable,
    /// As received from the agent: sorted by the round-trip time.
    AsReceived,
}

impl SortOrder {
    pub(super) fn of(near: Option<&String>) -> Self {
        if near.is_some() { Self::AsReceived } else { Self::Stable }
    }
}

/// The port; 0 if the number is not a valid port.
fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

/// `own`, or `other` if `own` is empty.
fn or_default(own: String, other: &str) -> String {
    if own.is_empty() { other.to_owned() } else { own }
}
