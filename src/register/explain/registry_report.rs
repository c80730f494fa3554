//! Reports the entries of a container that Docker cannot inspect. Pure.

use serde::Serialize;

use super::traffic::{self, Traffic};
use crate::registry::{Entries, Entry};

/// A report without Docker: what the registry knows of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryReport {
    /// The name or id of the container.
    pub container: String,
    /// Why Docker has no information about it.
    pub trouble: String,
    /// Why the registry could not be read either, if it could not.
    pub registry_trouble: Option<String>,
    /// The entries of the container.
    pub entries: Vec<RegistryEntry>,
}

/// An entry of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistryEntry {
    /// Its id.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// The address in the entry.
    pub address: String,
    /// The port at that address.
    pub port: u16,
    /// The container that the entry's owner names, if it has one.
    pub container: Option<String>,
    /// Whether it gets traffic.
    pub traffic: Traffic,
    /// What `register` will do with it, if that is known.
    pub then: Option<String>,
}

/// The identity of a container.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContainerIdentity<'a> {
    /// The argument of the command: a name, an id, or a prefix of one.
    pub(super) wanted: &'a str,
    /// Its id, if Docker reported it.
    pub(super) id: Option<&'a str>,
}

impl ContainerIdentity<'_> {
    /// Whether an entry belongs to the container, by its owner or by an id `host:name:port`.
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

/// The entries of a container, ours and foreign ones. `then` is set for entries with an owner.
pub(super) fn entries_of(identity: ContainerIdentity<'_>, entries: &Entries, then: Option<&str>) -> Vec<RegistryEntry> {
    let all = entries.owned.values().chain(entries.foreign_entries.values());
    let matching = all.filter(|entry| identity.has_entry(entry)).map(|entry| {
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
    matching.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::instance;

    #[test]
    fn entries_are_found_by_owner_and_by_id() {
        let ours = |id: &str, container: &str| (id.to_owned(), Entry::expected(&instance(id, container)));
        let entries = Entries {
            owned: [ours("h:web:80", "abc1"), ours("mine", "abc1"), ours("h:web:81", "ffff")].into(),
            foreign_entries: [ours("old:web:80", "")].into(),
            ..Entries::default()
        };
        let found = |wanted, id| {
            let found = entries_of(ContainerIdentity { wanted, id }, &entries, None);
            found.into_iter().map(|entry| entry.id).collect::<Vec<_>>()
        };
        assert_eq!(found("web", None), ["h:web:80", "h:web:81", "old:web:80"]);
        assert_eq!(found("/web", Some("abc1")), ["h:web:80", "mine", "old:web:80"]);
        assert_eq!(found("abc", None), ["h:web:80", "mine"]);
        assert_eq!(found("", None), [""; 0]);
        assert_eq!(found("db", None), [""; 0]);
    }
}
