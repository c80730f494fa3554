//! What has to be done so that the registry holds what it should. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::desired::DesiredInstances;
use crate::registry::{DigestedInstance, Entries, Entry, Instance, MAINTENANCE_PREFIX, OutOfTraffic, StatusReport};

/// One write. Plain data: printed by `--dry-run`, compared by tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create or replace an entry. It is in traffic afterwards, or out of traffic for this reason.
    Put(Box<Instance>, Option<String>),
    /// Tell the status of a check that waits for reports.
    Report {
        /// The entry's id.
        id: String,
        /// The check's key.
        key: String,
        /// What is told.
        report: StatusReport,
    },
    /// Take an entry out of traffic.
    EnableMaintenance {
        /// The entry's id.
        id: String,
        /// What users of the registry read.
        reason: String,
    },
    /// Put an entry back into traffic.
    DisableMaintenance {
        /// The entry's id.
        id: String,
    },
    /// Remove an entry.
    Remove {
        /// The entry's id.
        id: String,
        /// Why it is not wanted any more.
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

/// What a plan takes into account beside the two states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanContext {
    /// Entries that are not wanted any more, but stay for now.
    pub deferred: BTreeSet<String>,
    /// Reports (entry and check) that have to be repeated although nothing has changed.
    pub due_reports: BTreeSet<(String, String)>,
    /// Why entries are not wanted any more, by id.
    pub removal_reasons: BTreeMap<String, String>,
    /// What an operator had taken out of traffic when it was removed, by id, each with the reason: so is what comes next.
    pub operator_maintenance: BTreeMap<String, String>,
}

/// Steps that belong to one entry, in their order. Entries do not depend on each other.
pub type Plan = BTreeMap<String, Vec<Step>>;

/// Compares. Nothing that is not ours is touched: an id that somebody else holds is left to them.
pub fn plan(desired: &DesiredInstances, actual: &Entries, conditions: &PlanContext) -> Plan {
    let unwanted = actual.owned.values().filter(|entry| !desired.instances.contains_key(&entry.id));
    let unwanted: Vec<_> = unwanted.filter(|entry| !desired.unreadable.contains(&entry.owner.container)).collect();
    let renamed: Vec<_> = unwanted.iter().filter(|entry| operator_reason(entry).is_some()).collect();
    let wanted = desired.instances.values().filter(|instance| actual.is_writable(&instance.id));
    let kept = wanted.filter_map(|instance| {
        let entry = actual.owned.get(&instance.id);
        // What an operator set stays, whatever becomes of the container.
        let theirs = match entry {
            Some(entry) => operator_reason(entry),
            None => {
                let former = renamed.iter().find(|entry| entry.has_same_address_as(instance));
                former
                    .and_then(|former| operator_reason(former))
                    .or_else(|| conditions.operator_maintenance.get(&instance.id))
            }
        };
        let steps = steps_for_instance(instance, entry, theirs, &conditions.due_reports);
        (!steps.is_empty()).then(|| (instance.id.clone(), steps))
    });
    let gone = unwanted.iter().map(|entry| {
        let id = entry.id.clone();
        let steps = if desired.failed.contains(&entry.owner.container) {
            let reason = OutOfTraffic::Failed.to_string();
            entry
                .out_of_traffic
                .is_none()
                .then(|| Step::EnableMaintenance { id: id.clone(), reason })
                .into_iter()
                .collect()
        } else if conditions.deferred.contains(&id) {
            Vec::new()
        } else {
            let reason = conditions.removal_reasons.get(&id).cloned().unwrap_or_default();
            vec![Step::Remove { id: id.clone(), reason }]
        };
        (id, steps)
    });
    let mut plan: Plan = kept.chain(gone).filter(|(_, steps)| !steps.is_empty()).collect();
    remove_after_successor(&mut plan, actual);
    plan
}

/// The reason with which an operator took it out of traffic.
fn operator_reason(entry: &Entry) -> Option<&String> {
    entry.out_of_traffic.as_ref().filter(|reason| !reason.starts_with(MAINTENANCE_PREFIX))
}

/// An entry that only gets another id (a renamed container) goes after the new one has come: the service is never without.
fn remove_after_successor(plan: &mut Plan, actual: &Entries) {
    let place = |container: &str, address: &str, port: u16| (container.to_owned(), address.to_owned(), port);
    let successor = |(id, steps): (&String, &Vec<Step>)| match &steps[..] {
        [Step::Put(new, _), ..] => Some((place(&new.owner.container, &new.address, new.port), id.clone())),
        _ => None,
    };
    let successors: BTreeMap<_, _> = plan.iter().filter_map(successor).collect();
    for entry in actual.owned.values() {
        let at = place(&entry.owner.container, &entry.address, entry.port);
        let successor = successors.get(&at).filter(|successor| **successor != entry.id);
        if let Some(successor) = successor
            && plan.get(&entry.id).is_some_and(|steps| matches!(steps[..], [Step::Remove { .. }]))
        {
            let removal = plan.remove(&entry.id);
            plan.entry(successor.clone()).or_default().extend(removal.into_iter().flatten());
        }
    }
}

/// Removals first: a dead address is worse than a missing one.
pub fn by_urgency(plan: Plan) -> Vec<(String, Vec<Step>)> {
    let mut chains: Vec<_> = plan.into_iter().collect();
    chains.sort_by_key(|(_, steps)| {
        matches!(steps[..], [Step::Put(_, None), ..] | [Step::DisableMaintenance { .. }, ..])
    });
    chains
}

/// All steps of a plan, the urgent ones first.
pub fn steps_by_urgency(plan: Plan) -> Vec<Step> {
    by_urgency(plan).into_iter().flat_map(|(_, steps)| steps).collect()
}

/// `theirs` is an operator's reason to keep it out of traffic.
fn steps_for_instance(
    wanted: &DigestedInstance,
    entry: Option<&Entry>,
    theirs: Option<&String>,
    stale: &BTreeSet<(String, String)>,
) -> Vec<Step> {
    let instance: &Instance = wanted;
    let id = || instance.id.clone();
    let reason = theirs.cloned().or_else(|| instance.out_of_traffic.map(|reason| reason.to_string()));
    let entry = entry.filter(|entry| entry.matches_digest(instance, wanted.digest()));
    let mut steps = match (entry.map(|entry| &entry.out_of_traffic), reason) {
        (Some(out), reason) if *out == reason => Vec::new(),
        (Some(None), Some(reason)) => vec![Step::EnableMaintenance { id: id(), reason }],
        (Some(_), None) => vec![Step::DisableMaintenance { id: id() }],
        // In or out of traffic from the first moment on. An entry that is out already only gets another reason this way.
        (_, reason) => vec![Step::Put(Box::new(instance.clone()), reason)],
    };
    let registered = matches!(steps[..], [Step::Put(..)]);
    let known = |key: &String| entry.filter(|_| !registered).and_then(|entry| entry.reported_statuses.get(key));
    for (key, report) in &instance.reports {
        if known(key) != Some(&report.status) || stale.contains(&(id(), key.clone())) {
            steps.push(Step::Report { id: id(), key: key.clone(), report: report.clone() });
        }
    }
    steps
}

/// What the registry holds after a step has succeeded.
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
    fn what_is_missing_is_put_and_what_is_too_much_is_removed_first() {
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
    fn an_entry_that_only_gets_another_id_goes_after_the_new_one_has_come() {
        let (old, new) = (instance(1, 80, 1, None), instance(2, 80, 1, None));
        let elsewhere = instance(3, 80, 2, None);
        let steps = steps(&desired_instances([new.clone()]), &entries_of([old, elsewhere]));
        assert_eq!(steps, [remove("3"), put(&new), remove("1")]);
    }

    #[test]
    fn traffic_is_a_step_of_its_own() {
        let calm = instance(1, 80, 1, None);
        let draining_one = instance(1, 80, 1, Some(draining()));
        let take_out = Step::EnableMaintenance { id: "1".into(), reason: draining().to_string() };
        assert_eq!(
            steps(&desired_instances([draining_one.clone()]), &entries_of([calm.clone()])),
            std::slice::from_ref(&take_out)
        );
        assert_eq!(
            steps(&desired_instances([calm]), &entries_of([draining_one.clone()])),
            [Step::DisableMaintenance { id: "1".into() }]
        );
        let moved = instance(1, 81, 1, Some(draining()));
        // Whatever else changes, it is out of traffic at once and stays so.
        let aside = Step::Put(Box::new(moved.clone()), Some(draining().to_string()));
        for actual in [entries_of([]), entries_of([instance(1, 80, 1, None)]), entries_of([draining_one])] {
            assert_eq!(steps(&desired_instances([moved.clone()]), &actual), std::slice::from_ref(&aside));
        }
        let paused = instance(1, 81, 1, Some(OutOfTraffic::Paused));
        let another_reason = Step::Put(Box::new(paused.clone()), Some(OutOfTraffic::Paused.to_string()));
        assert_eq!(steps(&desired_instances([paused]), &entries_of([moved])), [another_reason]);
    }

    #[test]
    fn what_an_operator_took_out_stays_out() {
        let calm = instance(1, 80, 1, None);
        let mut actual = entries_of([calm.clone()]);
        set_out_of_traffic(&mut actual, "1", Some("disk swap".into()));
        assert_eq!(steps(&desired_instances([calm]), &actual), []);
        let aside = |instance: &Instance| Step::Put(Box::new(instance.clone()), Some("disk swap".into()));
        let moved = instance(1, 81, 1, None);
        assert_eq!(steps(&desired_instances([moved.clone()]), &actual), [aside(&moved)]);
        let recreated = instance(1, 81, 2, None);
        assert_eq!(steps(&desired_instances([recreated.clone()]), &actual), [aside(&recreated)]);
        let renamed = instance(2, 80, 1, None);
        assert_eq!(steps(&desired_instances([renamed.clone()]), &actual), [aside(&renamed), remove("1")]);
        let maintained = [("1".to_owned(), "disk swap".to_owned())].into();
        let conditions = PlanContext { operator_maintenance: maintained, ..PlanContext::default() };
        let again = plan(&desired_instances([moved.clone()]), &entries_of([]), &conditions);
        assert_eq!(steps_by_urgency(again), [aside(&moved)], "removed in between");
        assert_eq!(
            steps_by_urgency(plan(&desired_instances([moved.clone()]), &entries_of([moved]), &conditions)),
            [],
            "ended since then"
        );
    }

    #[test]
    fn entries_of_a_container_that_cannot_be_looked_at_stay() {
        let desired = DesiredInstances { unreadable: ["7".to_owned()].into(), ..DesiredInstances::default() };
        let actual = entries_of([instance(1, 80, 7, None), instance(2, 80, 8, None)]);
        assert_eq!(steps(&desired, &actual), [remove("2")]);
    }

    #[test]
    fn a_failed_container_keeps_its_entry_out_of_traffic() {
        let desired = DesiredInstances { failed: ["1".to_owned()].into(), ..DesiredInstances::default() };
        let mut actual = entries_of([instance(1, 80, 1, None)]);
        let take_out = Step::EnableMaintenance { id: "1".into(), reason: OutOfTraffic::Failed.to_string() };
        assert_eq!(steps(&desired, &actual), std::slice::from_ref(&take_out));
        apply_to_entries(&take_out, &mut actual);
        assert_eq!(steps(&desired, &actual), []);
        assert_eq!(
            steps(&desired_instances([instance(1, 80, 1, None)]), &actual),
            [Step::DisableMaintenance { id: "1".into() }]
        );
    }

    #[test]
    fn what_is_held_stays() {
        let conditions = PlanContext { deferred: ["1".to_owned()].into(), ..PlanContext::default() };
        let actual = entries_of([instance(1, 80, 1, None), instance(2, 80, 2, None)]);
        let plan = plan(&DesiredInstances::default(), &actual, &conditions);
        assert_eq!(steps_by_urgency(plan), [remove("2")]);
    }

    #[test]
    fn somebody_elses_entry_is_taken_over_only_if_that_is_asked_for() {
        let web = instance(1, 80, 1, None);
        let mut actual = Entries { foreign: [("1".to_owned(), None)].into(), ..Entries::default() };
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), []);
        actual.adoptable.insert("1".into());
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), [put(&web)]);
        assert_eq!(steps(&desired_instances([]), &actual), [], "not wanted");
    }

    #[test]
    fn a_report_is_made_on_a_change_after_a_registration_and_when_it_is_stale() {
        let report = StatusReport { status: Status::Critical, output: "no".into() };
        let mut web = instance(1, 80, 1, None);
        web.reports.insert("docker".into(), report.clone());
        let step = Step::Report { id: "1".into(), key: "docker".into(), report };
        let mut actual = entries_of([]);
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), [put(&web), step.clone()]);
        [put(&web), step.clone()].iter().for_each(|step| apply_to_entries(step, &mut actual));
        assert_eq!(steps(&desired_instances([web.clone()]), &actual), []);
        let stale =
            PlanContext { due_reports: [("1".to_owned(), "docker".to_owned())].into(), ..PlanContext::default() };
        assert_eq!(steps_by_urgency(plan(&desired_instances([web]), &actual, &stale)), [step]);
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
        fn a_plan_carried_out_gives_what_is_wanted_and_then_there_is_nothing_to_do(
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
        fn equal_states_plan_nothing(has in any_instances()) {
            prop_assert_eq!(steps(&desired_instances(has.values().cloned()), &entries_of(has.into_values())), []);
        }
    }
}
