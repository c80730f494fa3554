//! What has to be done so that the registry holds what it should. Pure.

use std::{collections::BTreeMap, fmt};

use super::desired::Desired;
use crate::registry::{Entries, Entry, Instance, OUT_PREFIX};

/// One write. Plain data: printed by `--dry-run`, compared by tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Create or replace an entry; it is in traffic afterwards.
    Put(Instance),
    /// Take an entry out of traffic.
    TakeOut {
        /// The entry's id.
        id: String,
        /// What users of the registry read.
        reason: String,
    },
    /// Put an entry back into traffic.
    BringBack {
        /// The entry's id.
        id: String,
    },
    /// Remove an entry.
    Remove {
        /// The entry's id.
        id: String,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(i) => write!(f, "register {} as {} at {}:{}", i.id, i.name, i.address, i.port),
            Self::TakeOut { id, reason } => write!(f, "take {id} out of traffic: {reason}"),
            Self::BringBack { id } => write!(f, "bring {id} back into traffic"),
            Self::Remove { id } => write!(f, "deregister {id}"),
        }
    }
}

/// Steps that belong to one entry, in their order. Entries do not depend on each other.
pub type Plan = BTreeMap<String, Vec<Step>>;

/// Compares. Nothing that is not ours is touched: an id that somebody else holds is left to them.
pub fn plan(desired: &Desired, actual: &Entries) -> Plan {
    let wanted = desired.instances.values().filter(|instance| !actual.foreign.contains(&instance.id));
    let kept = wanted.map(|instance| (instance.id.clone(), keep(instance, actual.owned.get(&instance.id))));
    let gone = actual.owned.values().filter(|entry| {
        !desired.instances.contains_key(&entry.id) && !desired.unreadable.contains(&entry.owner.container)
    });
    let gone = gone.map(|entry| (entry.id.clone(), vec![Step::Remove { id: entry.id.clone() }]));
    kept.chain(gone).filter(|(_, steps)| !steps.is_empty()).collect()
}

/// Removals first: a dead address is worse than a missing one.
pub fn by_urgency(plan: Plan) -> Vec<Vec<Step>> {
    let mut chains: Vec<_> = plan.into_values().collect();
    chains.sort_by_key(|steps| matches!(steps[..], [Step::Put(_), ..] | [Step::BringBack { .. }, ..]));
    chains
}

fn keep(instance: &Instance, entry: Option<&Entry>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut out = entry.and_then(|entry| entry.out.as_deref());
    // What an operator set stays, and is set again where a registration would wipe it.
    let theirs = out.filter(|reason| !reason.starts_with(OUT_PREFIX));
    if !entry.is_some_and(|entry| entry.matches(instance)) {
        steps.push(Step::Put(instance.clone()));
        out = None;
    }
    let id = instance.id.clone();
    match theirs.map(str::to_owned).or_else(|| instance.out.map(|reason| reason.to_string())) {
        // Whatever the reason is: Consul does not replace one by another.
        Some(reason) if out.is_none() => steps.push(Step::TakeOut { id, reason }),
        None if out.is_some() => steps.push(Step::BringBack { id }),
        _ => {}
    }
    steps
}

/// What the registry holds after a step has succeeded.
pub fn fold(step: &Step, actual: &mut Entries) {
    match step {
        Step::Put(instance) => {
            actual.owned.insert(instance.id.clone(), Entry::registered(instance));
        }
        Step::TakeOut { id, reason } => set_out(actual, id, Some(reason.clone())),
        Step::BringBack { id } => set_out(actual, id, None),
        Step::Remove { id } => drop(actual.owned.remove(id)),
    }
}

fn set_out(actual: &mut Entries, id: &str, out: Option<String>) {
    if let Some(entry) = actual.owned.get_mut(id) {
        entry.out = out;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::registry::{OutReason, Owner};

    const ENGINE: &str = "E";

    fn instance(id: u8, port: u16, container: u8, out: Option<OutReason>) -> Instance {
        Instance {
            id: id.to_string(),
            name: "web".into(),
            address: "10.0.0.1".into(),
            port,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            checks: Vec::new(),
            owner: Owner { engine: ENGINE.into(), container: container.to_string(), started: "now".into() },
            out,
        }
    }

    fn wanted(instances: impl IntoIterator<Item = Instance>) -> Desired {
        let instances = instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect();
        Desired { instances, ..Desired::default() }
    }

    fn held(instances: impl IntoIterator<Item = Instance>) -> Entries {
        let entry = |instance: Instance| {
            let out = instance.out.map(|reason| reason.to_string());
            (instance.id.clone(), Entry { out, ..Entry::registered(&instance) })
        };
        Entries { owned: instances.into_iter().map(entry).collect(), foreign: BTreeSet::new() }
    }

    fn steps(desired: &Desired, actual: &Entries) -> Vec<Step> {
        by_urgency(plan(desired, actual)).concat()
    }

    #[test]
    fn what_is_missing_is_put_and_what_is_too_much_is_removed_first() {
        let (new, old) = (instance(1, 80, 1, None), instance(2, 80, 2, None));
        let actual = held([old]);
        assert_eq!(steps(&wanted([new.clone()]), &actual), [Step::Remove { id: "2".into() }, Step::Put(new)]);
    }

    #[test]
    fn a_moved_port_is_one_put() {
        let moved = instance(1, 81, 1, None);
        assert_eq!(steps(&wanted([moved.clone()]), &held([instance(1, 80, 1, None)])), [Step::Put(moved)]);
    }

    #[test]
    fn traffic_is_a_step_of_its_own() {
        let calm = instance(1, 80, 1, None);
        let draining = instance(1, 80, 1, Some(OutReason::Draining));
        let take_out = Step::TakeOut { id: "1".into(), reason: OutReason::Draining.to_string() };
        assert_eq!(steps(&wanted([draining.clone()]), &held([calm.clone()])), std::slice::from_ref(&take_out));
        assert_eq!(steps(&wanted([calm]), &held([draining.clone()])), [Step::BringBack { id: "1".into() }]);
        let moved = instance(1, 81, 1, Some(OutReason::Draining));
        assert_eq!(steps(&wanted([moved.clone()]), &held([draining])), [Step::Put(moved), take_out]);
    }

    #[test]
    fn what_an_operator_took_out_stays_out() {
        let calm = instance(1, 80, 1, None);
        let mut actual = held([calm.clone()]);
        set_out(&mut actual, "1", Some("disk swap".into()));
        assert_eq!(steps(&wanted([calm]), &actual), []);
        let moved = instance(1, 81, 1, None);
        let again = Step::TakeOut { id: "1".into(), reason: "disk swap".into() };
        assert_eq!(steps(&wanted([moved.clone()]), &actual), [Step::Put(moved), again]);
    }

    #[test]
    fn entries_of_a_container_that_cannot_be_looked_at_stay() {
        let desired = Desired { unreadable: ["7".to_owned()].into(), ..Desired::default() };
        let actual = held([instance(1, 80, 7, None), instance(2, 80, 8, None)]);
        assert_eq!(steps(&desired, &actual), [Step::Remove { id: "2".into() }]);
    }

    fn any_instances() -> impl Strategy<Value = BTreeMap<u8, Instance>> {
        let out = prop_oneof![Just(None), Just(Some(OutReason::Draining)), Just(Some(OutReason::Paused))];
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
            let desired = wanted(wants.into_values());
            let mut actual = held(has.into_values().filter(|instance| !foreign.contains(&instance.id.parse().expect("a number"))));
            actual.foreign = foreign.iter().map(u8::to_string).collect();
            let before = actual.foreign.clone();
            for step in steps(&desired, &actual) {
                let id = match &step {
                    Step::Put(instance) => &instance.id,
                    Step::TakeOut { id, .. } | Step::BringBack { id } | Step::Remove { id } => id,
                };
                prop_assert!(!before.contains(id), "{step:?} touches what is not ours");
                fold(&step, &mut actual);
            }
            prop_assert_eq!(steps(&desired, &actual), []);
            let wanted = desired.instances.into_values().filter(|instance| !before.contains(&instance.id));
            let in_traffic = |entry: &Entry| (entry.port, entry.out.is_none());
            let (actual, expected) = (actual.owned, held(wanted).owned);
            prop_assert_eq!(actual.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            prop_assert_eq!(actual.values().map(in_traffic).collect::<Vec<_>>(), expected.values().map(in_traffic).collect::<Vec<_>>());
        }

        #[test]
        fn equal_states_plan_nothing(has in any_instances()) {
            prop_assert_eq!(steps(&wanted(has.values().cloned()), &held(has.into_values())), []);
        }
    }
}
