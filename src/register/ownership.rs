//! Decides which entries are ours, by their ownership marks. Pure.
//!
//! An entry is ours if its container exists on this engine, or if it was written for an engine with the same host name
//! and the same data directory on the same agent. The engine's id decides only for entries without a host.

use std::collections::BTreeMap;

use super::{host::Host, settings::Adopt};
use crate::{
    docker::Observation,
    registry::{Entries, Owner},
};

/// Separates our entries from foreign ones. `rivals` are the owners, by id, of entries that this register has removed
/// or replaced: if one comes back with the same owner, another writer has restored it.
pub(super) fn classify(
    read: Entries,
    host: &Host,
    containers: &BTreeMap<String, Observation>,
    rivals: &BTreeMap<String, Owner>,
) -> Entries {
    let adopt = host.settings.adopt;
    let is_ours = |id: &String, owner: &Owner| {
        let for_this_engine =
            is_for_this_engine(owner, host) || adopt == Some(Adopt::Portreeve) && owner.engine == host.engine;
        (for_this_engine || containers.contains_key(&owner.container))
            && !rivals.get(id).is_some_and(|rival| is_same_writer(rival, owner))
    };
    let (owned, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        read.owned.into_iter().partition(|(id, entry)| is_ours(id, &entry.owner));
    let mut foreign = read.foreign;
    let mut foreign_entries = read.foreign_entries;
    for (id, entry) in others {
        foreign.insert(id.clone(), Some(entry.owner.clone()));
        foreign_entries.insert(id, entry);
    }
    let is_adoptable = |owner: &Option<Owner>| match adopt {
        Some(Adopt::Registrator) => owner.is_none(),
        Some(Adopt::Portreeve) => owner.is_some(),
        None => false,
    };
    let adoptable = foreign.iter().filter(|(_, owner)| is_adoptable(owner)).map(|(id, _)| id.clone()).collect();
    Entries { owned, foreign, adoptable, foreign_entries, failing_host_checks: read.failing_host_checks }
}

/// Why an entry is left alone, and how it can be taken over.
pub(super) fn foreign_entry_reason(id: &str, owner: Option<&Owner>, host: &Host) -> String {
    let why = match owner {
        None => "it has no owner in its Meta; --adopt registrator takes it over".to_owned(),
        Some(owner) if is_for_this_engine(owner, host) => reappeared_reason(),
        Some(owner) => format!(
            "Portreeve wrote it for engine {}, this engine is {} on {}; --adopt portreeve takes it over",
            engine_and_host(owner),
            host.engine,
            host.owner_host()
        ),
    };
    format!("the registry has an entry {id:?} that is not ours, which is left alone: {why}")
}

/// Notes about entries that look like ours but are not, with their writers.
pub(super) fn foreign_entry_notes(entries: &Entries, host: &Host) -> impl Iterator<Item = (String, String)> {
    let mut similar = BTreeMap::<_, Vec<&String>>::new();
    for (id, owner) in &entries.foreign {
        if let Some(owner) = owner
            && (owner.engine == host.engine || is_for_this_engine(owner, host))
        {
            similar.entry((is_for_this_engine(owner, host), engine_and_host(owner))).or_default().push(id);
        }
    }
    similar.into_iter().map(|((for_this_engine, writer), ids)| {
        let entries = format!("left alone: {} entries, such as {:?}", ids.len(), ids[0]);
        let note = if for_this_engine {
            format!("{entries}: {}", reappeared_reason())
        } else {
            format!(
                "{entries}, which carry this engine's id: if this host had that name before, --adopt portreeve takes \
                 them over; if it is a copy of that machine, let Docker make a new id"
            )
        };
        (format!("engine {writer}"), note)
    })
}

fn reappeared_reason() -> String {
    "it came back after its removal, so another Portreeve writes it, with the same host name: give each its own --hostname"
        .to_owned()
}

/// Whether an entry was written for an engine with this host name and data directory.
fn is_for_this_engine(owner: &Owner, host: &Host) -> bool {
    if owner.host.is_empty() { owner.engine == host.engine } else { owner.host == host.owner_host() }
}

/// Whether both name the same engine, host and container.
fn is_same_writer(one: &Owner, other: &Owner) -> bool {
    (&one.engine, &one.host, &one.container) == (&other.engine, &other.host, &other.container)
}

fn engine_and_host(Owner { engine, host, .. }: &Owner) -> String {
    if host.is_empty() { engine.clone() } else { format!("{engine} on {host}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        register::{Settings, fixture::instance},
        registry::Entry,
    };

    fn host(adopt: Option<Adopt>) -> Host {
        let settings = Settings { adopt, ..Settings::default() };
        Host {
            engine: "E".into(),
            hostname: "h".into(),
            data_dir: "/d".into(),
            advertised: "10.0.0.1".into(),
            settings,
        }
    }

    /// One entry, as the registry returns it.
    fn entries_written_by(engine: &str, host: &str, container: &str) -> Entries {
        let mut entry = Entry::expected(&instance("web", container));
        (entry.owner.engine, entry.owner.host) = (engine.into(), host.into());
        Entries { owned: [("web".to_owned(), entry)].into(), ..Entries::default() }
    }

    #[test]
    fn the_owner_decides() {
        let containers = [("ours".to_owned(), Observation::Unreadable)].into();
        // Engine, host and container of the entry; whether it is ours, without and with `--adopt portreeve`.
        let cases = [
            ("as we write it", ("E", "h:/d", "gone"), true, true),
            ("a former engine", ("OLD", "h:/d", "gone"), true, true),
            ("a former engine's container lives", ("OLD", "h:/d", "ours"), true, true),
            ("the host was renamed", ("E", "old:/d", "ours"), true, true),
            ("renamed, and the container is gone: or a copy", ("E", "old:/d", "gone"), false, true),
            ("another engine on this host", ("X", "h:/home/u/docker", "gone"), false, false),
            ("another host", ("X", "x:/d", "gone"), false, false),
            ("the version before", ("E", "", "gone"), true, true),
            ("the version before, a former engine", ("OLD", "", "gone"), false, false),
            ("the version before, a former engine's container lives", ("OLD", "", "ours"), true, true),
        ];
        for (case, (engine, writer, container), ours, adopted) in cases {
            let classified = |adopt| {
                classify(entries_written_by(engine, writer, container), &host(adopt), &containers, &BTreeMap::new())
            };
            let entries = classified(None);
            assert_eq!((entries.owned.len() == 1, entries.is_writable("web")), (ours, ours), "{case}");
            let entries = classified(Some(Adopt::Portreeve));
            assert_eq!((entries.owned.len() == 1, entries.is_writable("web")), (adopted, true), "{case}");
        }
    }

    #[test]
    fn an_entry_that_came_back_after_its_removal_is_foreign() {
        let read = entries_written_by("E", "h:/d", "gone");
        let rivals = [("web".to_owned(), read.owned["web"].owner.clone())].into();
        let entries = classify(read, &host(None), &BTreeMap::new(), &rivals);
        assert!(entries.owned.is_empty() && !entries.is_writable("web"));
        let (who, note) = foreign_entry_notes(&entries, &host(None)).next().expect("a note");
        assert!(who == "engine E on h:/d" && note.contains("give each its own --hostname"), "{note}");
    }

    #[test]
    fn the_reason_names_the_writer() {
        let reason = |engine: &str, writer: &str| {
            let owner = entries_written_by(engine, writer, "gone").owned["web"].owner.clone();
            foreign_entry_reason("web", Some(&owner), &host(None))
        };
        let expected = "the registry has an entry \"web\" that is not ours, which is left alone: Portreeve wrote it for engine X \
                    on host-7:/d, this engine is E on h:/d; --adopt portreeve takes it over";
        assert_eq!(reason("X", "host-7:/d"), expected);
        assert!(foreign_entry_reason("web", None, &host(None)).contains("--adopt registrator"));
    }
}
