//! From Consul's JSON to what a template sees.

mod key;
mod mesh;
mod node;
mod record;

use std::collections::BTreeMap;

pub(super) use key::pairs;
pub(super) use mesh::{leaf, roots};
pub(super) use node::{node, nodes};
pub(super) use record::records;

/// The names of services, with sorted tags.
pub(super) fn services(mut services: BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    services.values_mut().for_each(|tags| tags.sort());
    services
}

/// Sorted.
pub(super) fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

/// Whose order a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortOrder {
    /// Ours, the same for the same data.
    Stable,
    /// As the agent sorted it: by distance.
    AsReceived,
}

impl SortOrder {
    pub(super) fn of(near: Option<&String>) -> Self {
        if near.is_some() { Self::AsReceived } else { Self::Stable }
    }
}

/// A port that can be one; 0 for none.
fn port(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(0)
}

/// `own`, or what stands for it where it is empty.
fn or_default(own: String, other: &str) -> String {
    if own.is_empty() { other.to_owned() } else { own }
}
