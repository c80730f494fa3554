//! What the registry has of a container that Docker does not describe. Pure.

use serde::Serialize;

use super::traffic::{self, Traffic};
use crate::registry::{Entries, Entry};

/// The half of a report that needs no Docker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryReport {
    /// The container, as far as it is known: its name or id.
    pub container: String,
    /// Why Docker says nothing of it.
    pub trouble: String,
    /// Why the registry could not be asked either, if it could not.
    pub registry_trouble: Option<String>,
    /// What the registry has of it.
    pub entries: Vec<RegistryEntry>,
}

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryEntry {
    /// Its id.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Where others are sent.
    pub address: String,
    /// The port there.
    pub port: u16,
    /// The container that its marks name, if it has any.
    pub container: Option<String>,
    /// Whether it gets traffic.
    pub traffic: Traffic,
    /// What `register` will do with it, where that is known.
    pub then: Option<String>,
}

/// What a container is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContainerIdentity<'a> {
    /// As it was asked for: a name, an id, or the beginning of one.
    pub(super) wanted: &'a str,
    /// Its id, if Docker has told it.
    pub(super) id: Option<&'a str>,
}

impl ContainerIdentity<'_> {
    /// Whether an entry is of the container, by its marks, or by its id `host:name:port`.
    fn has_entry(&self, entry: &Entry) -> bool {
        let owner = entry.owner.container.as_str();
        let wanted = self.wanted.trim_start_matches('/');
        let is_owner = match self.id {
            Some(id) => owner == id,
            None => !wanted.is_empty() && owner.starts_with(wanted),
        };
        let named = || entry.id.split(':').nth(1) == Some(wanted);
        is_owner || (self.id.is_none() || owner.is_empty()) && named()
    }
}

/// The entries of a container, ours and others'. `then` is said of each that carries our marks.
pub(super) fn entries_of(names: ContainerIdentity<'_>, entries: &Entries, then: Option<&str>) -> Vec<RegistryEntry> {
    let all = entries.owned.values().chain(entries.foreign_entries.values());
    let of_it = all.filter(|entry| names.has_entry(entry)).map(|entry| {
        let container = Some(entry.owner.container.clone()).filter(|container| !container.is_empty());
        RegistryEntry {
            id: entry.id.clone(),
            name: entry.name.clone(),
            address: entry.address.clone(),
            port: entry.port,
            traffic: traffic::entry_traffic(entry, &entries.failing_host_checks),
            then: then.filter(|_| container.is_some()).map(str::to_owned),
            container,
        }
    });
    of_it.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::instance;

    #[test]
    fn entries_are_found_by_their_marks_and_by_their_ids() {
        let ours = |id: &str, container: &str| (id.to_owned(), Entry::expected(&instance(id, container)));
        let held = Entries {
            owned: [ours("h:web:80", "abc1"), ours("mine", "abc1"), ours("h:web:81", "ffff")].into(),
            foreign_entries: [ours("old:web:80", "")].into(),
            ..Entries::default()
        };
        let found = |wanted, id| {
            let found = entries_of(ContainerIdentity { wanted, id }, &held, None);
            found.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        assert_eq!(found("web", None), ["h:web:80", "h:web:81", "old:web:80"]);
        assert_eq!(found("/web", Some("abc1")), ["h:web:80", "mine", "old:web:80"]);
        assert_eq!(found("abc", None), ["h:web:80", "mine"]);
        assert_eq!(found("", None), [""; 0]);
        assert_eq!(found("db", None), [""; 0]);
    }
}
