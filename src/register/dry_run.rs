//! What `--dry-run` prints. Pure.

use super::{
    desired::DesiredInstances,
    differences::{differences, differences_on_one_line},
    plan::{self, Plan, Step},
};
use crate::registry::{Entries, Entry, Instance};

/// The steps in their order, and what is waited for.
pub(super) fn plan_lines(desired: &DesiredInstances, plan: Plan) -> Vec<String> {
    let steps = plan::steps_by_urgency(plan).into_iter().map(|step| step.to_string());
    steps.chain(gate_lines(desired)).collect()
}

/// The same beside entries that may be taken over: each is taken over or left alone, and what differs is told.
pub(super) fn comparison_lines(desired: &DesiredInstances, plan: Plan, actual: &Entries) -> Vec<String> {
    let left = actual.foreign.iter().filter(|(id, _)| !plan.contains_key(*id)).filter_map(|(id, owner)| {
        let why = match (desired.instances.contains_key(id), owner) {
            (true, _) => "it is not ours, though a container asks for this id",
            (false, None) => "it has nobody's mark, and no container asks for this id",
            // Another Portreeve's, and of no interest here.
            (false, Some(_)) => return None,
        };
        let place = actual
            .foreign_entries
            .get(id)
            .map(|Entry { name, address, port, .. }| format!(", {name} at {address}:{port}"));
        Some(format!("leave alone: {id}{}: {why}", place.unwrap_or_default()))
    });
    let left: Vec<_> = left.collect();
    let steps = plan::steps_by_urgency(plan).into_iter().map(|step| match &step {
        Step::Put(instance, _) => comparison_line(instance, actual),
        _ => step.to_string(),
    });
    steps.chain(left).chain(gate_lines(desired)).collect()
}

fn comparison_line(new: &Instance, actual: &Entries) -> String {
    let Instance { id, name, address, port, .. } = new;
    if let Some(old) = actual.foreign_entries.get(id) {
        let differs = differences(old, new);
        let differs = if differs.is_empty() { "only our marks are new".to_owned() } else { differs.join(", ") };
        format!("take over: {id}: {differs}")
    } else if let Some(old) = actual.owned.get(id) {
        format!("update: {id}: {}", differences_on_one_line(old, new))
    } else {
        format!("new: {id} as {name} at {address}:{port}")
    }
}

fn gate_lines(desired: &DesiredInstances) -> impl Iterator<Item = String> {
    desired.gates.iter().map(|(id, gate)| format!("wait for {} before {id} is registered", gate.probe))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{fixture::instance, plan::PlanContext};

    #[test]
    fn what_is_taken_over_is_told_apart_from_what_is_new_and_what_stays() {
        let wanted = [instance("same", "1"), Instance { port: 81, ..instance("moved", "2") }, instance("new", "3")];
        let theirs = [instance("same", ""), instance("moved", ""), instance("stays", "")].map(|mut theirs| {
            theirs.owner.started.clear();
            (theirs.id.clone(), Entry::expected(&theirs))
        });
        let actual = Entries {
            foreign: ["same", "moved", "stays"].map(|id| (id.to_owned(), None)).into(),
            adoptable: ["same", "moved", "stays"].map(str::to_owned).into(),
            foreign_entries: theirs.into(),
            ..Entries::default()
        };
        let instances = wanted.into_iter().map(|instance| (instance.id.clone(), instance.into())).collect();
        let desired = DesiredInstances { instances, ..DesiredInstances::default() };
        let plan = plan::plan(&desired, &actual, &PlanContext::default());
        let lines = comparison_lines(&desired, plan, &actual);
        let expected = [
            "take over: moved: address 10.0.0.1:80 -> 10.0.0.1:81",
            "new: new as web at 10.0.0.1:80",
            "take over: same: only our marks are new",
            "leave alone: stays, web at 10.0.0.1:80: it has nobody's mark, and no container asks for this id",
        ];
        assert_eq!(lines, expected);
    }
}
