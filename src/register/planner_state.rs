//! What only the running `register` knows, such as the containers that it has seen and when it last sent its reports.
//! Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use super::{
    desired::DesiredInstances,
    health,
    host::Host,
    plan::{PlanContext, Step},
    removal,
    removal_guard::RemovalGuard,
    settings::Settings,
};
use crate::{
    core::store::Snapshot,
    docker::Observation,
    registry::{Entries, Entry, MAINTENANCE_PREFIX, Owner},
};

/// Gives the planner what neither Docker nor the registry can report.
#[derive(Debug, Default)]
pub(super) struct PlannerState {
    removal_guard: RemovalGuard,
    /// Containers that have been in the store, with their names if they were inspected. If one of them is gone, an
    /// event or a second list has reported it.
    known_containers: HashMap<String, Option<String>>,
    /// The known containers that were gone and owned no entry at the last full list.
    gone_containers: BTreeSet<String>,
    /// The number of that full list.
    last_list: u64,
    /// Our entries that are no longer desired, by id.
    removed_entries: BTreeMap<String, Entry>,
    /// Our entries, by id, that this process did not write: they name another engine or host, or a container that this
    /// process has never seen.
    unfamiliar_owners: BTreeMap<String, Owner>,
    /// Those of them that were removed or replaced. If one comes back, another writer restored it.
    rivals: BTreeMap<String, Owner>,
    /// See [`PlanContext::operator_maintenance`].
    operator_maintenance: BTreeMap<String, String>,
    /// When the status of each check (entry and check) was last reported.
    last_reports: BTreeMap<(String, String), Instant>,
}

impl PlannerState {
    /// The context of a plan, and when the next status report is due.
    pub(super) fn plan_context(
        &mut self,
        desired: &DesiredInstances,
        actual: &Entries,
        containers: &Snapshot<String, Observation>,
        host: &Host,
        now: Instant,
    ) -> (PlanContext, Option<Duration>) {
        let settings = &host.settings;
        self.record_containers(containers);
        let kept = |entry: &&Entry| {
            let container = &entry.owner.container;
            desired.instances.contains_key(&entry.id)
                || desired.failed.contains(container)
                || desired.unreadable.contains(container)
        };
        let unannounced = |container: &String| match containers.entries.get(container) {
            Some(observation) => *observation == Observation::Missing,
            None => !self.known_containers.contains_key(container),
        };
        let unwanted = actual.owned.values().filter(|entry| !kept(entry));
        self.removed_entries = unwanted.map(|entry| (entry.id.clone(), entry.clone())).collect();
        let is_unfamiliar = |Owner { engine, host: owner_host, container, .. }: &Owner| {
            *engine != host.engine || *owner_host != host.owner_host() || !self.known_containers.contains_key(container)
        };
        let unfamiliar = actual.owned.values().filter(|entry| is_unfamiliar(&entry.owner));
        self.unfamiliar_owners = unfamiliar.map(|entry| (entry.id.clone(), entry.owner.clone())).collect();
        let removal_reasons = self.removed_entries.iter().map(|(id, entry)| {
            let container = &entry.owner.container;
            let name = self.known_containers.get(container).and_then(Option::as_ref);
            (id.clone(), removal::removal_reason(entry, containers.entries.get(container), name, desired, host))
        });
        let removal_reasons = removal_reasons.collect();
        let gone = self.removed_entries.values().filter(|entry| unannounced(&entry.owner.container));
        let gone = gone.map(|entry| entry.id.clone()).collect();
        let deferred =
            self.removal_guard.defer(&gone, actual.owned.len(), settings.max_removal, containers.complete_count);
        self.forget_gone(containers, actual);
        let (due_reports, due) = self.due_reports(desired, settings, now);
        (
            PlanContext {
                deferred,
                due_reports,
                removal_reasons,
                operator_maintenance: self.operator_maintenance.clone(),
            },
            due,
        )
    }

    /// Forgets containers that were gone and owned no entry at the last two lists. Not earlier, since a write of their
    /// entry may still be in flight.
    fn forget_gone(&mut self, containers: &Snapshot<String, Observation>, actual: &Entries) {
        if self.last_list == containers.complete_count {
            return;
        }
        self.last_list = containers.complete_count;
        let owners: BTreeSet<_> = actual.owned.values().map(|entry| &entry.owner.container).collect();
        let is_gone = |id: &String| !containers.entries.contains_key(id) && !owners.contains(id);
        self.known_containers.retain(|id, _| !(is_gone(id) && self.gone_containers.contains(id)));
        self.gone_containers = self.known_containers.keys().filter(|id| is_gone(id)).cloned().collect();
    }

    /// Records the containers and their names.
    fn record_containers(&mut self, containers: &Snapshot<String, Observation>) {
        for (id, observation) in containers.entries.iter() {
            let name = match observation {
                Observation::Inspected(container) => Some(&container.name),
                Observation::Unreadable | Observation::Missing => None,
            };
            let known = self.known_containers.get(id);
            if known.is_none_or(|known| name.is_some() && known.as_ref() != name) {
                self.known_containers.insert(id.clone(), name.cloned());
            }
        }
    }

    /// Entries that another writer restores although they look like ours. An entry with our own marks for a container
    /// that exists is not one: the container was only missing from a list, and this process registered it again.
    pub(super) fn rivals(
        &mut self,
        containers: &BTreeMap<String, Observation>,
        host: &Host,
    ) -> &BTreeMap<String, Owner> {
        let is_ours = |Owner { engine, host: owner_host, container, .. }: &Owner| {
            *engine == host.engine && *owner_host == host.owner_host() && containers.contains_key(container)
        };
        self.rivals.retain(|_, owner| !is_ours(owner));
        &self.rivals
    }

    /// Records that a step was carried out.
    pub(super) fn record_step(&mut self, step: &Step, now: Instant) {
        match step {
            Step::Report { id, key, .. } => drop(self.last_reports.insert((id.clone(), key.clone()), now)),
            Step::Put(instance, _) => {
                self.operator_maintenance.remove(&instance.id);
                self.rivals.extend(self.unfamiliar_owners.remove_entry(&instance.id));
            }
            Step::Remove { id, .. } => {
                let operator_reason = self.removed_entries.remove(id).and_then(|entry| entry.out_of_traffic);
                let operator_reason = operator_reason.filter(|reason| !reason.starts_with(MAINTENANCE_PREFIX));
                self.operator_maintenance.extend(operator_reason.map(|reason| (id.clone(), reason)));
                self.rivals.extend(self.unfamiliar_owners.remove_entry(id));
            }
            Step::EnableMaintenance { .. } | Step::DisableMaintenance { .. } => {}
        }
    }

    /// Records an operator's maintenance of an entry that was removed.
    pub(super) fn record_maintenance(&mut self, id: &str, reason: Option<String>) {
        self.operator_maintenance.extend(reason.map(|reason| (id.to_owned(), reason)));
    }

    /// The status reports that are due now, and when the next one is due.
    fn due_reports(
        &mut self,
        desired: &DesiredInstances,
        settings: &Settings,
        now: Instant,
    ) -> (BTreeSet<(String, String)>, Option<Duration>) {
        let reports = desired
            .instances
            .values()
            .flat_map(|instance| instance.reports.keys().map(|key| (instance.id.clone(), key.clone())));
        let (mut due_reports, mut due) = (BTreeSet::new(), None);
        let mut reported = BTreeMap::new();
        for report in reports {
            let Some(interval) = health::report_interval(&report.1, settings) else { continue };
            let age = self.last_reports.get(&report).map(|at| now.saturating_duration_since(*at));
            match age.and_then(|age| interval.checked_sub(age)).filter(|remaining| !remaining.is_zero()) {
                Some(remaining) => due = due.into_iter().chain([remaining]).min(),
                None => drop(due_reports.insert(report.clone())),
            }
            reported.extend(self.last_reports.remove_entry(&report));
        }
        self.last_reports = reported;
        // A report that is repeated now is due again after its interval.
        let next_interval = due_reports.iter().filter_map(|(_, key)| health::report_interval(key, settings)).min();
        (due_reports, due.into_iter().chain(next_interval).min())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        core::store::Store,
        register::fixture::{container, host, instance},
        registry::{Entry, Status, StatusReport},
    };

    /// Eight entries of containers that the store may know.
    fn entries() -> Entries {
        let owned = (1..=8).map(|n| instance(&n.to_string(), &n.to_string()));
        Entries { owned: owned.map(|i| (i.id.clone(), Entry::expected(&i))).collect(), ..Entries::default() }
    }

    fn deferred(state: &mut PlannerState, containers: &Store<String, Observation>) -> usize {
        plan_context(state, containers).deferred.len()
    }

    fn plan_context(state: &mut PlannerState, containers: &Store<String, Observation>) -> PlanContext {
        state.plan_context(&DesiredInstances::default(), &entries(), &containers.snapshot(), &host(), Instant::now()).0
    }

    #[test]
    fn maintenance_by_an_operator_is_kept_until_the_next_entry() {
        let (mut state, containers) = (PlannerState::default(), Store::default());
        containers.put("1".to_owned(), Observation::Inspected(Arc::new(container("x"))));
        containers.mark_complete();
        let mut actual = entries();
        actual.owned.retain(|id, _| id == "1");
        actual.owned.entry("1".into()).and_modify(|entry| entry.out_of_traffic = Some("disk swap".into()));
        state.plan_context(&DesiredInstances::default(), &actual, &containers.snapshot(), &host(), Instant::now());
        state.record_step(&Step::Remove { id: "1".into(), reason: String::new() }, Instant::now());
        assert_eq!(plan_context(&mut state, &containers).operator_maintenance["1"], "disk swap");
        state.record_step(&Step::Put(Box::new(instance("1", "2")), Some("disk swap".into())), Instant::now());
        assert!(plan_context(&mut state, &containers).operator_maintenance.is_empty());
    }

    #[test]
    fn a_container_that_ends_while_its_registration_is_in_flight_stays_known() {
        let (mut state, containers) = (PlannerState::default(), Store::default());
        let mut deferred_with = |actual: &Entries, containers: &Store<String, Observation>| {
            state
                .plan_context(&DesiredInstances::default(), actual, &containers.snapshot(), &host(), Instant::now())
                .0
                .deferred
                .len()
        };
        entries().owned.keys().for_each(|id| containers.put(id.clone(), Observation::Unreadable));
        containers.mark_complete();
        deferred_with(&Entries::default(), &containers);
        entries().owned.keys().for_each(|id| containers.remove(id));
        containers.mark_complete();
        deferred_with(&Entries::default(), &containers);
        assert_eq!(deferred_with(&entries(), &containers), 0, "an event reported their end");
    }

    #[test]
    fn a_writer_that_restores_an_unfamiliar_entry_is_a_rival() {
        let (mut state, containers) = (PlannerState::default(), Store::default());
        for id in ["1", "2"] {
            containers.put(id.to_owned(), Observation::Inspected(Arc::new(container("x"))));
        }
        containers.mark_complete();
        let mut actual = entries();
        actual.owned.entry("2".into()).and_modify(|entry| entry.owner.host = "other".into());
        state.plan_context(&DesiredInstances::default(), &actual, &containers.snapshot(), &host(), Instant::now());
        state.record_step(&Step::Put(Box::new(instance("2", "2")), None), Instant::now());
        for id in ["1", "3"] {
            state.record_step(&Step::Remove { id: id.into(), reason: String::new() }, Instant::now());
        }
        let mut rivals = || state.rivals(&containers.snapshot().entries, &host()).keys().cloned().collect::<Vec<_>>();
        assert_eq!(rivals(), ["2", "3"]);
        containers.put("3".to_owned(), Observation::Unreadable);
        assert_eq!(rivals(), ["2"], "its container is here again, so this run has written it");
        containers.remove(&"3".to_owned());
        assert_eq!(rivals(), ["2"], "what is left of it is ours to remove");
    }

    #[test]
    fn at_the_start_a_list_that_lacks_most_containers_must_be_confirmed() {
        let (mut state, containers) = (PlannerState::default(), Store::default());
        containers.mark_complete();
        assert_eq!(deferred(&mut state, &containers), 8);
        assert_eq!(deferred(&mut state, &containers), 8);
        containers.mark_complete();
        assert_eq!(deferred(&mut state, &containers), 0);
    }

    #[test]
    fn an_announced_removal_is_immediate_and_an_unannounced_one_deferred() {
        let (mut state, containers) = (PlannerState::default(), Store::default());
        for n in 1..=8 {
            containers.put(n.to_string(), Observation::Inspected(Arc::new(container("x"))));
        }
        containers.mark_complete();
        deferred(&mut state, &containers);
        (1..=8).for_each(|n| containers.put(n.to_string(), Observation::Missing));
        assert_eq!(deferred(&mut state, &containers), 8);
        (1..=8).for_each(|n| containers.remove(&n.to_string()));
        assert_eq!(deferred(&mut state, &containers), 0, "announced, or confirmed");
    }

    #[test]
    fn reports_are_repeated_after_their_interval() {
        let seconds = Duration::from_secs;
        let settings = Settings { ttl: Some(seconds(30)), ttl_refresh: Some(seconds(10)), ..Settings::default() };
        let mut web = instance("1", "1");
        let report = StatusReport { status: Status::Passing, output: String::new() };
        web.reports.insert("ttl".into(), report.clone());
        let desired =
            DesiredInstances { instances: [("1".to_owned(), web.into())].into(), ..DesiredInstances::default() };
        let (mut state, begin) = (PlannerState::default(), Instant::now());
        let step = Step::Report { id: "1".into(), key: "ttl".into(), report };
        let one: BTreeSet<_> = [("1".to_owned(), "ttl".to_owned())].into();
        assert_eq!(state.due_reports(&desired, &settings, begin), (one.clone(), Some(seconds(10))));
        state.record_step(&step, begin);
        assert_eq!(state.due_reports(&desired, &settings, begin + seconds(4)), (BTreeSet::new(), Some(seconds(6))));
        assert_eq!(state.due_reports(&desired, &settings, begin + seconds(10)).0, one);
    }
}
