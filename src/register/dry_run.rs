//! The output of `--dry-run`. Pure.

use super::{
    desired::DesiredInstances,
    differences::{summary, update_summary},
    plan::{self, Plan, Step},
};
use crate::registry::{Entries, Entry, Instance};

/// The steps in their order, and the readiness gates.
pub(super) fn plan_lines(desired: &DesiredInstances, plan: Plan) -> Vec<String> {
    let steps = plan::steps_by_urgency(plan).into_iter().map(|step| step.to_string());
    steps.chain(gate_lines(desired)).collect()
}

/// Like [`plan_lines`], with `--adopt`: whether each foreign entry is taken over or left alone, and what differs.
pub(super) fn comparison_lines(desired: &DesiredInstances, plan: Plan, actual: &Entries) -> Vec<String> {
    let left = actual.foreign.iter().filter(|(id, _)| !plan.contains_key(*id)).filter_map(|(id, owner)| {
        let reason = match (desired.instances.contains_key(id), owner) {
            (true, _) => "it is foreign, although a container has this id",
            (false, None) => "it has no owner in its Meta, and no container has this id",
            // An entry of another Portreeve that no container needs.
            (false, Some(_)) => return None,
        };
        let content = actual
            .foreign_entries
            .get(id)
            .map(|Entry { name, address, port, .. }| format!(", {name} at {address}:{port}"));
        Some(format!("leave alone: {id}{}: {reason}", content.unwrap_or_default()))
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
        let differs = summary(old, new);
        let differs = if differs.is_empty() { "only the owner is new".to_owned() } else { differs };
        format!("take over: {id}: {differs}")
    } else if let Some(old) = actual.owned.get(id) {
        format!("update: {id}: {}", update_summary(old, new))
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
    fn entries_are_taken_over_new_or_left_alone() {
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
            "take over: same: only the owner is new",
            "leave alone: stays, web at 10.0.0.1:80: it has no owner in its Meta, and no container has this id",
        ];
        assert_eq!(lines, expected);
    }
}
