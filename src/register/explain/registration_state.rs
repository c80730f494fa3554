//! What the registry has of a container, compared with what it should have. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    consul::check::status_text,
    docker::Container,
    register::desired::DesiredInstances,
    registry::{Entries, Entry, Instance, MAINTENANCE_PREFIX},
};

/// What the registry has of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RegistrationState {
    /// What it should have.
    InLine,
    /// What it should have, out of traffic.
    OutOfTraffic {
        /// As the registry shows it.
        reason: String,
    },
    /// Something else.
    Differs {
        /// Each difference.
        differences: Vec<String>,
    },
    /// Nothing.
    Missing {
        /// What has to answer before the first registration.
        waits_for: Option<String>,
    },
    /// Somebody else's entry of that id.
    Foreign {
        /// It carries nobody's mark, as registrator writes them.
        unmarked: bool,
        /// `--adopt` is given, and it will be taken over.
        adopted: bool,
    },
    /// Nobody knows.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Several ports claim the id, and another one has it, or none.
    Refused {
        /// Those ports.
        claims: Vec<String>,
    },
}

/// An entry that should not be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftoverEntry {
    /// The entry's id.
    pub id: String,
    /// What `register` does about it.
    pub then: String,
}

impl RegistrationState {
    /// Whether `register` would have nothing to do.
    pub(super) fn is_in_sync(&self) -> bool {
        matches!(self, Self::InLine | Self::OutOfTraffic { .. })
    }
}

/// Looks an instance up.
pub(super) fn registration_state(
    instance: &Instance,
    desired: &DesiredInstances,
    entries: &Entries,
) -> RegistrationState {
    let given = desired.instances.get(&instance.id);
    if let Some(claims) =
        desired.contended_ids.get(&instance.id).filter(|_| given.is_none_or(|given| **given != *instance))
    {
        return RegistrationState::Refused { claims: claims.clone() };
    }
    if let Some(owner) = entries.foreign.get(&instance.id) {
        return RegistrationState::Foreign { unmarked: owner.is_none(), adopted: entries.is_writable(&instance.id) };
    }
    let Some(entry) = entries.owned.get(&instance.id) else {
        let waits_for = desired
            .gates
            .iter()
            .find(|(id, gate)| *id == instance.id && gate.run.container == instance.owner.container);
        let waits_for = waits_for.map(|(_, gate)| gate.probe.to_string());
        return RegistrationState::Missing { waits_for };
    };
    let differences = differences(instance, entry);
    match (&entry.out_of_traffic, differences.is_empty()) {
        (_, false) => RegistrationState::Differs { differences },
        (Some(reason), true) => RegistrationState::OutOfTraffic { reason: reason.clone() },
        (None, true) => RegistrationState::InLine,
    }
}

/// Everything that `register` would write, in words.
fn differences(instance: &Instance, entry: &Entry) -> Vec<String> {
    let wanted = Entry::expected(instance);
    let tags = if instance.tag_override { &entry.tags } else { &wanted.tags };
    let place = |entry: &Entry| format!("{}:{}", entry.address, entry.port);
    let pairs = [
        ("name", entry.name.clone(), wanted.name.clone()),
        ("address", place(entry), place(&wanted)),
        ("tags", entry.tags.join(","), tags.join(",")),
        ("container", entry.owner.container.clone(), wanted.owner.container.clone()),
        ("start of the container", entry.owner.started.clone(), wanted.owner.started.clone()),
    ];
    let differ = |there: &str, wanted: &str| format!("{there:?} there, {wanted:?} wanted");
    let plain = pairs.iter().filter(|(_, there, wanted)| there != wanted);
    let mut all: Vec<_> = plain.map(|(what, there, wanted)| format!("{what}: {}", differ(there, wanted))).collect();
    let keys: BTreeSet<_> = entry.meta.keys().chain(wanted.meta.keys()).collect();
    for key in keys {
        match (entry.meta.get(key), wanted.meta.get(key)) {
            (there, wanted) if there == wanted => {}
            (Some(there), Some(wanted)) => all.push(format!("Meta {key}: {}", differ(there, wanted))),
            (None, _) => all.push(format!("Meta {key}: not there")),
            (_, None) => all.push(format!("Meta {key}: there, not wanted")),
        }
    }
    if all.is_empty() && !entry.matches(instance) {
        all.push("what an agent does not show: checks, weights, or tagged addresses".to_owned());
    }
    all.extend(traffic_difference(instance, entry));
    for (key, report) in &instance.reports {
        let there = entry.reported_statuses.get(key).map_or("unknown", |status| status_text(*status));
        let wanted = status_text(report.status);
        if there != wanted {
            all.push(format!("status of check {key}: {there} there, {wanted} wanted"));
        }
    }
    all
}

/// In or out of traffic. What an operator took out stays out.
fn traffic_difference(instance: &Instance, entry: &Entry) -> Option<String> {
    match (&entry.out_of_traffic, instance.out_of_traffic) {
        (None, Some(reason)) => Some(format!(
            "traffic: in traffic there, but {}",
            reason.to_string().trim_start_matches(MAINTENANCE_PREFIX)
        )),
        (Some(there), None) if there.starts_with(MAINTENANCE_PREFIX) => {
            Some(format!("traffic: out of traffic there ({there}), and there is no reason any more"))
        }
        (Some(there), Some(reason)) if there.starts_with(MAINTENANCE_PREFIX) && *there != reason.to_string() => {
            Some(format!("traffic: the reason there is {there:?}, {:?} is wanted", reason.to_string()))
        }
        _ => None,
    }
}

/// Entries of the container that none of its ports asks for.
pub(super) fn leftover_entries(
    container: &Container,
    desired: &DesiredInstances,
    entries: &Entries,
) -> Vec<LeftoverEntry> {
    let owned = entries.owned.values().filter(|entry| entry.owner.container == container.id);
    let left = owned.filter(|entry| !desired.instances.contains_key(&entry.id)).filter_map(|entry| {
        let then = match (desired.failed.contains(&container.id), &entry.out_of_traffic) {
            (true, Some(_)) => return None,
            (true, None) => "it is taken out of traffic",
            (false, _) => "it is removed",
        };
        Some(LeftoverEntry { id: entry.id.clone(), then: then.to_owned() })
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        register::{
            fixture,
            plan::{PlanContext, plan},
        },
        registry::{OutOfTraffic, Status::Critical, StatusReport as Status, Weights},
    };

    type ValueChange<T> = fn(&mut T);

    /// What is said of an instance whose entry has been changed, and whether `register` would write.
    fn state_after(
        change_instance: ValueChange<Instance>,
        change_entry: ValueChange<Entry>,
    ) -> (RegistrationState, bool) {
        let mut entry = Entry::expected(&fixture::instance("1", "1"));
        change_entry(&mut entry);
        let mut instance = fixture::instance("1", "1");
        change_instance(&mut instance);
        let entries = Entries { owned: [("1".to_owned(), entry)].into(), ..Entries::default() };
        let desired = DesiredInstances {
            instances: [("1".to_owned(), instance.clone().into())].into(),
            ..DesiredInstances::default()
        };
        let writes = !plan(&desired, &entries, &PlanContext::default()).is_empty();
        (registration_state(&instance, &desired, &entries), writes)
    }

    #[test]
    fn it_says_in_line_when_register_would_write_nothing() {
        let changes: [(ValueChange<Instance>, ValueChange<Entry>); 15] = [
            (|_| {}, |_| {}),
            (|instance| instance.port = 81, |_| {}),
            (|instance| instance.name = "other".into(), |_| {}),
            (|instance| instance.tags.push("a".into()), |_| {}),
            (|instance| instance.tag_override = true, |entry| entry.tags.push("theirs".into())),
            (|instance| drop(instance.meta.insert("a".into(), "b".into())), |_| {}),
            (|_| {}, |entry| drop(entry.meta.insert("a".into(), "b".into()))),
            (|instance| instance.weights = Some(Weights { passing: 2, warning: 1 }), |_| {}),
            (|instance| instance.owner.started = "later".into(), |_| {}),
            (|_| {}, |entry| entry.digest.clear()),
            (|instance| instance.out_of_traffic = Some(OutOfTraffic::Paused), |_| {}),
            (
                |instance| instance.out_of_traffic = Some(OutOfTraffic::Paused),
                |entry| entry.out_of_traffic = Some(OutOfTraffic::CrashLoop.to_string()),
            ),
            (|_| {}, |entry| entry.out_of_traffic = Some("disk swap".into())),
            (|_| {}, |entry| entry.out_of_traffic = Some(OutOfTraffic::Paused.to_string())),
            (
                |instance| {
                    let critical = Status { status: Critical, output: String::new() };
                    instance.reports.insert("docker".into(), critical);
                },
                |_| {},
            ),
        ];
        for (number, (instance, entry)) in changes.into_iter().enumerate() {
            let (held, writes) = state_after(instance, entry);
            assert_eq!(held.is_in_sync(), !writes, "change {number}: {held:?}");
        }
    }
}
