//! Plans the writes that turn the actual entries into the desired instances. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::desired::DesiredInstances;
use crate::registry::{DigestedInstance, Entries, Entry, Instance, MAINTENANCE_PREFIX, OutOfTraffic, StatusReport};

/// One write, as plain data: `--dry-run` prints it, and tests compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Creates or replaces an entry. Afterwards it is in traffic, or out of traffic for this reason.
    Put(Box<Instance>, Option<String>),
    /// Reports the status of a check that waits for reports.
    Report {
        /// The entry's id.
        id: String,
        /// The check's key.
        key: String,
        /// The status to report.
        report: StatusReport,
    },
    /// Takes an entry out of traffic.
    EnableMaintenance {
        /// The entry's id.
        id: String,
        /// The reason that the registry shows.
        reason: String,
    },
    /// Brings an entry back into traffic.
    DisableMaintenance {
        /// The entry's id.
        id: String,
    },
    /// Removes an entry.
    Remove {
        /// The entry's id.
        id: String,
        /// Why it is no longer desired.
        reason: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(i, out) => {
                write!(f, "register {} as {} at {}:{}", i.id, i.name, i.address, i.port)?;
                out.iter().try_for_each(|reason| write!(f, ", out of traffic: {reason}"))
            }
            Self::Report { id, key, report } => write!(f, "report {id} {key}: {:?}", report.status),
            Self::EnableMaintenance { id, reason } => write!(f, "take {id} out of traffic: {reason}"),
            Self::DisableMaintenance { id } => write!(f, "bring {id} back into traffic"),
            Self::Remove { id, reason: why } => write!(f, "deregister {id} ({why})"),
        }
    }
}

/// What a plan takes into account besides the desired and the actual state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanContext {
    /// Entries that are no longer desired but stay for now.
    pub deferred: BTreeSet<String>,
    /// Reports, by entry and check, that must be repeated although the status has not changed.
    pub due_reports: BTreeSet<(String, String)>,
    /// Why entries are no longer desired, by id.
    pub removal_reasons: BTreeMap<String, String>,
    /// By id, the operator's reason of each entry that was removed while an operator kept it out of traffic. A new
    /// entry with that id is out of traffic for the same reason.
    pub operator_maintenance: BTreeMap<String, String>,
}

/// The steps of each entry in their order, by id. Entries do not depend on each other.
pub type Plan = BTreeMap<String, Vec<Step>>;

/// Compares the desired with the actual state. A foreign entry is never touched, unless it may be adopted.
pub fn plan(desired: &DesiredInstances, actual: &Entries, context: &PlanContext) -> Plan {
    let unwanted = actual.owned.values().filter(|entry| !desired.instances.contains_key(&entry.id));
    let unwanted: Vec<_> = unwanted.filter(|entry| !desired.unreadable.contains(&entry.owner.container)).collect();
    let renamed: Vec<_> = unwanted.iter().filter(|entry| operator_reason(entry).is_some()).collect();
    let wanted = desired.instances.values().filter(|instance| actual.is_writable(&instance.id));
    let changed = wanted.filter_map(|instance| {
        let entry = actual.owned.get(&instance.id);
        // An operator's maintenance stays, whatever happens to the container.
        let reason_of_operator = match entry {
            Some(entry) => operator_reason(entry),
            None => {
                let former = renamed.iter().find(|entry| entry.has_same_address_as(instance));
                former
                    .and_then(|former| operator_reason(former))
                    .or_else(|| context.operator_maintenance.get(&instance.id))
            }
        };
        let steps = steps_for_instance(instance, entry, reason_of_operator, &context.due_reports);
        (!steps.is_empty()).then(|| (instance.id.clone(), steps))
    });
    let removals = unwanted.iter().map(|entry| {
        let id = entry.id.clone();
        let steps = if desired.failed.contains(&entry.owner.container) {
            let reason = OutOfTraffic::Failed.to_string();
            entry
                .out_of_traffic
                .is_none()
                .then(|| Step::EnableMaintenance { id: id.clone(), reason })
                .into_iter()
                .collect()
        } else if context.deferred.contains(&id) {
            Vec::new()
        } else {
            let reason = context.removal_reasons.get(&id).cloned().unwrap_or_default();
            vec![Step::Remove { id: id.clone(), reason }]
        };
        (id, steps)
    });
    let mut plan: Plan = changed.chain(removals).filter(|(_, steps)| !steps.is_empty()).collect();
    remove_after_successor(&mut plan, actual);
    plan
}

/// The reason with which an operator took an entry out of traffic; `None` if no operator did.
fn operator_reason(entry: &Entry) -> Option<&String> {
    entry.out_of_traffic.as_ref().filter(|reason| !reason.starts_with(MAINTENANCE_PREFIX))
}

/// Orders the removal of an entry that only gets another id (a renamed container) after its successor, so that the
/// service always has an entry.
fn remove_after_successor(plan: &mut Plan, actual: &Entries) {
    let address_key = |container: &str, address: &str, port: u16| (container.to_owned(), address.to_owned(), port);
    let successor = |(id, steps): (&String, &Vec<Step>)| match &steps[..] {
        [Step::Put(new, _), ..] => Some((address_key(&new.owner.container, &new.address, new.port), id.clone())),
        _ => None,
    };
    let successors: BTreeMap<_, _> = plan.iter().filter_map(successor).collect();
    for entry in actual.owned.values() {
        let key = address_key(&entry.owner.container, &entry.address, entry.port);
        let successor = successors.get(&key).filter(|successor| **successor != entry.id);
        if let Some(successor) = successor
            && plan.get(&entry.id).is_some_and(|steps| matches!(steps[..], [Step::Remove { .. }]))
        {
            let removal = plan.remove(&entry.id);
            plan.entry(successor.clone()).or_default().extend(removal.into_iter().flatten());
        }
    }
}

/// The steps of each entry, those that begin by bringing an entry into traffic last: an address that no longer answers
/// is worse than a missing one.
pub fn by_urgency(plan: Plan) -> Vec<(String, Vec<Step>)> {
    let mut entries: Vec<_> = plan.into_iter().collect();
    entries.sort_by_key(|(_, steps)| {
        matches!(steps[..], [Step::Put(_, None), ..] | [Step::DisableMaintenance { .. }, ..])
    });
    entries
}

/// All steps of a plan, in the order of [`by_urgency`].
pub fn steps_by_urgency(plan: Plan) -> Vec<Step> {
    by_urgency(plan).into_iter().flat_map(|(_, steps)| steps).collect()
}

/// The steps for one instance. `reason_of_operator` is the reason with which an operator keeps its entry out of
/// traffic.
fn steps_for_instance(
    wanted: &DigestedInstance,
    entry: Option<&Entry>,
    reason_of_operator: Option<&String>,
    due_reports: &BTreeSet<(String, String)>,
) -> Vec<Step> {
    let instance: &Instance = wanted;
    let id = || instance.id.clone();
    let reason = reason_of_operator.cloned().or_else(|| instance.out_of_traffic.map(|reason| reason.to_string()));
    let entry = entry.filter(|entry| entry.matches_digest(instance, wanted.digest()));
    let mut steps = match (entry.map(|entry| &entry.out_of_traffic), reason) {
        (Some(out), reason) if *out == reason => Vec::new(),
        (Some(None), Some(reason)) => vec![Step::EnableMaintenance { id: id(), reason }],
        (Some(_), None) => vec![Step::DisableMaintenance { id: id() }],
        // The entry is in or out of traffic from the start. An entry that is out of traffic gets another reason only
        // this way.
        (_, reason) => vec![Step::Put(Box::new(instance.clone()), reason)],
    };
    let registered = matches!(steps[..], [Step::Put(..)]);
    let known = |key: &String| entry.filter(|_| !registered).and_then(|entry| entry.reported_statuses.get(key));
    for (key, report) in &instance.reports {
        if known(key) != Some(&report.status) || due_reports.contains(&(id(), key.clone())) {
            steps.push(Step::Report { id: id(), key: key.clone(), report: report.clone() });
        }
    }
    steps
}

/// Applies a step that has succeeded to the actual entries.
pub fn apply_to_entries(step: &Step, actual: &mut Entries) {
    match step {
        Step::Put(instance, out) => {
            actual.foreign.remove(&instance.id);
            actual
                .owned
                .insert(instance.id.clone(), Entry { out_of_traffic: out.clone(), ..Entry::expected(instance) });
        }
        Step::Report { id, key, report } => {
            if let Some(entry) = actual.owned.get_mut(id) {
                entry.reported_statuses.insert(key.clone(), report.status);
            }
        }
        Step::EnableMaintenance { id, reason } => set_out_of_traffic(actual, id, Some(reason.clone())),
        Step::DisableMaintenance { id } => set_out_of_traffic(actual, id, None),
        Step::Remove { id, .. } => drop(actual.owned.remove(id)),
    }
}

fn set_out_of_traffic(actual: &mut Entries, id: &str, out: Option<String>) {
    if let Some(entry) = actual.owned.get_mut(id) {
        entry.out_of_traffic = out;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{register::fixture, registry::Status};

    fn instance(id: u8, port: u16, container: u8, out: Option<OutOfTraffic>) -> Instance {
        Instance { port, out_of_traffic: out, ..fixture::instance(&id.to_string(), &container.to_string()) }
    }

    fn desired_instances(instances: impl IntoIterator<Item = Instance>) -> DesiredInstances {
        let instances = instances.into_iter().map(|instance| (instance.id.clone(), instance.into())).collect();
        DesiredInstances { instances, ..DesiredInstances::default() }
    }

    fn entries_of(instances: impl IntoIterator<Item = Instance>) -> Entries {
        let entry = |instance: Instance| {
            let out = instance.out_of_traffic.map(|reason| reason.to_string());
            (instance.id.clone(), Entry { out_of_traffic: out, ..Entry::expected(&instance) })
        };
        Entries { owned: instances.into_iter().map(entry).collect(), ..Entries::default() }
    }

    fn steps(desired: &DesiredInstances, actual: &Entries) -> Vec<Step> {
        steps_by_urgency(plan(desired, actual, &PlanContext::default()))
    }

    fn remove(id: &str) -> Step {
        Step::Remove { id: id.into(), reason: String::new() }
    }

    fn put(instance: &Instance) -> Step {
        Step::Put(Box::new(instance.clone()), None)
    }

    fn draining() -> OutOfTraffic {
        OutOfTraffic::Draining { since: jiff::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_missing_entry_is_put_and_a_surplus_one_is_removed_first() {
        let (new, old) = (instance(1, 80, 1, None), instance(2, 80, 2, None));
        let actual = entries_of([old]);
        assert_eq!(steps(&desired_instances([new.clone()]), &actual), [remove("2"), put(&new)]);
    }

    #[test]
    fn a_moved_port_is_one_put() {
        let moved = instance(1, 81, 1, None);
        assert_eq!(steps(&desired_instances([moved.clone()]), &entries_of([instance(1, 80, 1, None)])), [put(&moved)]);
    }

    #[test]
    fn an_entry_that_only_gets_another_id_is_removed_after_its_successor_is_put() {
        let (old, new) = (instance(1, 80, 1, None), instance(2, 80, 1, None));
        let elsewhere = instance(3, 80, 2, None);
        let steps = steps(&desired_instances([new.clone()]), &entries_of([old, elsewhere]));
        assert_eq!(steps, [remove("3"), put(&new), remove("1")]);
    }

    #[test]
    fn maintenance_is_a_separate_step() {
        let serving = instance(1, 80, 1, None);
        let draining_one = instance(1, 80, 1, Some(draining()));
        let enable_maintenance = Step::EnableMaintenance { id: "1".into(), reason: draining().to_string() };
        assert_eq!(
            steps(&desired_instances([draining_one.clone()]), &entries_of([serving.clone()])),
            std::slice::from_ref(&enable_maintenance)
        );
        assert_eq!(
            steps(&desired_instances([serving]), &entries_of([draining_one.clone()])),
            [Step::DisableMaintenance { id: "1".into() }]
        );
        let moved = instance(1, 81, 1, Some(draining()));
        // Whatever else changes, it is out of traffic from the start and stays so.
        let put_in_maintenance = Step::Put(Box::new(moved.clone()), Some(draining().to_string()));
        for actual in [entries_of([]), entries_of([instance(1, 80, 1, None)]), entries_of([draining_one])] {
            assert_eq!(steps(&desired_instances([moved.clone()]), &actual), std::slice::from_ref(&put_in_maintenance));
        }
        let paused = instance(1, 81, 1, Some(OutOfTraffic::Paused));
        let another_reason = Step::Put(Box::new(paused.clone()), Some(OutOfTraffic::Paused.to_string()));
        assert_eq!(steps(&desired_instances([paused]), &entries_of([moved])), [another_reason]);
    }

    #[test]
    fn maintenance_by_an_operator_stays() {
        let serving = instance(1, 80, 1, None);
        let mut actual = entries_of([serving.clone()]);
        set_out_of_traffic(&mut actual, "1", Some("disk swap".into()));
        assert_eq!(steps(&desired_instances([serving]), &actual), []);
        let put_in_maintenance = |instance: &Instance| Step::Put(Box::new(instance.clone()), Some("disk swap".into()));
        let moved = instance(1, 81, 1, None);
        assert_eq!(steps(&desired_instances([moved.clone()]), &actual), [put_in_maintenance(&moved)]);
        let recreated = instance(1, 81, 2, None);
        assert_eq!(steps(&desired_instances([recreated.clone()]), &actual), [put_in_maintenance(&recreated)]);
        let renamed = instance(2, 80, 1, None);
        assert_eq!(steps(&desired_instances([renamed.clone()]), &actual), [put_in_maintenance(&renamed), remove("1")]);
        let maintained = [("1".to_owned(), "disk swap".to_owned())].into();
        let context = PlanContext { operator_maintenance: maintained, ..PlanContext::default() };
        let again = plan(&desired_instances([moved.clone()]), &entries_of([]), &context);
        assert_eq!(steps_by_urgency(again), [put_in_maintenance(&moved)], "removed in between");
        assert_eq!(
            steps_by_urgency(plan(&desired_instances([moved.clone()]), &entries_of([moved]), &context)),
            [],
            "ended since then"
        );
    }

    #[test]
    fn entries_of_an_unreadable_container_stay() {
        let desired = DesiredInstances { unreadable: ["7".to_owned()].into(), ..DesiredInstances::default() };
        let actual = entries_of([instance(1, 80, 7, None), instance(2, 80, 8, None)]);
        assert_eq!(steps(&desired, &actual), [remove("2")]);
    }

    #[test]
    fn a_failed_container_keeps_its_entry_out_of_traffic() {
        let desired = DesiredInstances { failed: ["1".to_owned()].into(), ..DesiredInstances::default() };
        let mut actual = entries_of([instance(1, 80, 1, None)]);
        let enable_maintenance = Step::EnableMaintenance { id: "1".into(), reason: OutOfTraffic::Failed.to_string() };
        assert_eq!(steps(&desired, &actual), std::slice::from_ref(&enable_maintenance));
        apply_to_entries(&enable_maintenance, &mut actual);
        assert_eq!(steps(&desired, &actual), []);
        assert_eq!(
            steps(&desired_instances([instance(1, 80, 1, None)]), &actual),
            [Step::DisableMaintenance { id: "1".into() }]
        );
    }

    #[test]
    fn a_deferred_entry_stays() {
        let context = PlanContext { deferred: ["1".to_owned()].into(), ..PlanContext::default() };
        let actual = entries_of([instance(1, 80, 1, None), instance(2, 80, 2, None)]);
        let plan = plan(&DesiredInstances::default(), &actual, &context);
        assert_eq!(steps_by_urgency(plan), [remove("2")]);
    }

    #[test]
    fn a_foreign_entry_is_taken_over_only_if_it_is_adoptable() {
        let web = instance(1, 80, 1, None);
        let mut actual = Entries { foreign: [("1".to_owned(), None)].into(), ..Entries::default() };
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), []);
        actual.adoptable.insert("1".into());
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), [put(&web)]);
        assert_eq!(steps(&desired_instances([]), &actual), [], "not wanted");
    }

    #[test]
    fn a_status_is_reported_on_a_change_after_a_registration_and_when_it_is_due() {
        let report = StatusReport { status: Status::Critical, output: "no".into() };
        let mut web = instance(1, 80, 1, None);
        web.reports.insert("docker".into(), report.clone());
        let step = Step::Report { id: "1".into(), key: "docker".into(), report };
        let mut actual = entries_of([]);
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), [put(&web), step.clone()]);
        [put(&web), step.clone()].iter().for_each(|step| apply_to_entries(step, &mut actual));
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), []);
        let due_reports =
            PlanContext { due_reports: [("1".to_owned(), "docker".to_owned())].into(), ..PlanContext::default() };
        assert_eq!(steps_by_urgency(plan(&desired_instances([web]), &actual, &due_reports)), [step]);
    }

    fn any_instances() -> impl Strategy<Value = BTreeMap<u8, Instance>> {
        let out = prop_oneof![Just(None), Just(Some(draining())), Just(Some(OutOfTraffic::Paused))];
        let one = (0..6_u8, 1..3_u16, 0..3_u8, out);
        let many = prop::collection::vec(one, 0..6);
        many.prop_map(|all| {
            all.into_iter().map(|(id, port, container, out)| (id, instance(id, port, container, out))).collect()
        })
    }

    proptest! {
        #[test]
        fn an_applied_plan_gives_the_desired_state_and_an_empty_plan(
            wants in any_instances(), has in any_instances(), foreign in prop::collection::btree_set(0..6_u8, 0..3),
        ) {
            let desired = desired_instances(wants.into_values());
            let mut actual = entries_of(has.into_values().filter(|instance| !foreign.contains(&instance.id.parse().expect("a number"))));
            actual.foreign = foreign.iter().map(|id| (id.to_string(), None)).collect();
            let before = actual.foreign.clone();
            for step in steps(&desired, &actual) {
                let id = match &step {
                    Step::Put(instance, _) => &instance.id,
                    Step::Report { id, .. }
                    | Step::EnableMaintenance { id, .. }
                    | Step::DisableMaintenance { id }
                    | Step::Remove { id, .. } => id,
                };
                prop_assert!(!before.contains_key(id), "{step:?} touches what is not ours");
                apply_to_entries(&step, &mut actual);
            }
            prop_assert_eq!(steps(&desired, &actual), []);
            let wanted = desired.instances.into_values().map(|wanted| Instance::clone(&wanted)).filter(|instance| !before.contains_key(&instance.id));
            let in_traffic = |entry: &Entry| (entry.port, entry.out_of_traffic.is_none());
            let (actual, expected) = (actual.owned, entries_of(wanted).owned);
            prop_assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            prop_assert_eq!(actual.values().map(in_traffic).collect::<Vec<_>>(), expected.values().map(in_traffic).collect::<Vec<_>>());
        }

        #[test]
        fn equal_states_give_an_empty_plan(has in any_instances()) {
            prop_assert_eq!(steps(&desired_instances(has.values().cloned()), &entries_of(has.into_values())), []);
        }
    }
}
