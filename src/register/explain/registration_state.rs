//! Compares the entries of a container with its instances. Pure.

use serde::Serialize;

use crate::{
    consul::check::status_text,
    docker::Container,
    register::{
        desired::DesiredInstances,
        differences::{self, Difference},
    },
    registry::{Entries, Entry, Instance, MAINTENANCE_PREFIX},
};

/// The state of an instance in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RegistrationState {
    /// The entry is up to date.
    InLine,
    /// The entry is up to date and out of traffic.
    OutOfTraffic {
        /// The reason that the registry shows.
        reason: String,
    },
    /// The entry differs from the instance.
    Differs {
        /// Each difference.
        differences: Vec<String>,
    },
    /// There is no entry.
    Missing {
        /// The readiness probe that must succeed before the first registration.
        waits_for: Option<String>,
    },
    /// The id has a foreign entry.
    Foreign {
        /// The entry has no owner in its Meta, as registrator writes it.
        unmarked: bool,
        /// Whether `--adopt` takes the entry over.
        adopted: bool,
    },
    /// The state is unknown.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Several ports claim the id, and another one or none has it.
    Refused {
        /// A description of each port.
        claims: Vec<String>,
    },
}

/// An entry that no port needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftoverEntry {
    /// The entry's id.
    pub id: String,
    /// What `register` does with it.
    pub then: String,
}

impl RegistrationState {
    /// Whether `register` would write nothing.
    pub(super) fn is_in_sync(&self) -> bool {
        matches!(self, Self::InLine | Self::OutOfTraffic { .. })
    }
}

/// The state of an instance in the registry.
pub(super) fn registration_state(
    instance: &Instance,
    desired: &DesiredInstances,
    entries: &Entries,
) -> RegistrationState {
    let winner = desired.instances.get(&instance.id);
    if let Some(claims) =
        desired.contended_ids.get(&instance.id).filter(|_| winner.is_none_or(|winner| **winner != *instance))
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

/// Describes everything that `register` would change.
fn differences(instance: &Instance, entry: &Entry) -> Vec<String> {
    // A check that differs is reported below, and only if no field differs.
    let visible = differences::differences(entry, instance).into_iter().filter(|found| *found != Difference::Checks);
    let (actual, expected) = (&entry.owner, &instance.owner);
    let owner = [
        ("container", actual.container.clone(), expected.container.clone()),
        ("start of the container", actual.started.clone(), expected.started.clone()),
    ];
    let owner = owner.into_iter().filter(|(_, actual, expected)| actual != expected);
    let owner = owner.map(|(name, actual, expected)| Difference::Field(name, actual, expected));
    let mut all: Vec<_> = visible.chain(owner).map(|difference| difference.detail()).collect();
    if all.is_empty() && !entry.matches(instance) {
        all.push("what the agent does not report: checks, weights, or tagged addresses".to_owned());
    }
    all.extend(traffic_difference(instance, entry));
    for (key, report) in &instance.reports {
        let actual = entry.reported_statuses.get(key).map_or("unknown", |status| status_text(*status));
        let expected = status_text(report.status);
        if actual != expected {
            all.push(format!("status of check {key}: the entry has {actual}, expected {expected}"));
        }
    }
    all
}

/// The difference in traffic. An operator's maintenance is not one, since it stays.
fn traffic_difference(instance: &Instance, entry: &Entry) -> Option<String> {
    match (&entry.out_of_traffic, instance.out_of_traffic) {
        (None, Some(reason)) => Some(format!(
            "traffic: the entry is in traffic, but {}",
            reason.to_string().trim_start_matches(MAINTENANCE_PREFIX)
        )),
        (Some(actual), None) if actual.starts_with(MAINTENANCE_PREFIX) => {
            Some(format!("traffic: the entry is out of traffic ({actual}), but the reason no longer applies"))
        }
        (Some(actual), Some(reason)) if actual.starts_with(MAINTENANCE_PREFIX) && *actual != reason.to_string() => {
            Some(format!("traffic: the entry has the reason {actual:?}, expected {:?}", reason.to_string()))
        }
        _ => None,
    }
}

/// Entries of the container that none of its ports needs.
pub(super) fn leftover_entries(
    container: &Container,
    desired: &DesiredInstances,
    entries: &Entries,
) -> Vec<LeftoverEntry> {
    let owned = entries.owned.values().filter(|entry| entry.owner.container == container.id);
    let leftover = owned.filter(|entry| !desired.instances.contains_key(&entry.id)).filter_map(|entry| {
        let then = match (desired.failed.contains(&container.id), &entry.out_of_traffic) {
            (true, Some(_)) => return None,
            (true, None) => "it is taken out of traffic",
            (false, _) => "it is removed",
        };
        Some(LeftoverEntry { id: entry.id.clone(), then: then.to_owned() })
    });
    leftover.collect()
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

    /// The state of an instance whose entry has been changed, and whether `register` would write.
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
    fn an_entry_is_in_sync_if_register_would_write_nothing() {
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
            let (state, writes) = state_after(instance, entry);
            assert_eq!(state.is_in_sync(), !writes, "change {number}: {state:?}");
        }
    }
}
