//! What only this run of `register` knows: which containers it has seen, and when it repeated its reports. Pure.

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

/// Feeds the planner with what neither Docker nor the registry can show.
#[derive(Debug, Default)]
pub(super) struct PlannerState {
    removal_guard: RemovalGuard,
    /// Containers that have been in the store, with their names if they were inspected. If such a container is gone, an
    /// event or a second list has reported that.
    known_containers: HashMap<String, Option<String>>,
    /// Containers of `seen` that were gone, and owned no entry, at the last full list.
    gone_containers: BTreeSet<String>,
    /// The number of that list.
    last_list: u64,
    /// Entries of ours that are not wanted any more, by id.
    removed_entries: BTreeMap<String, Entry>,
    /// Entries of ours, by id, that this run did not write: another engine's or host's marks, or a container that was never
    /// seen here.
    unfamiliar_owners: BTreeMap<String, Owner>,
    /// Those of them that were removed or replaced: if one comes back, somebody else writes it.
    rivals: BTreeMap<String, Owner>,
    /// See [`Conditions::maintained`].
    operator_maintenance: BTreeMap<String, String>,
    /// When each report (entry and check) was made for the last time.
    last_reports: BTreeMap<(String, String), Instant>,
}

impl PlannerState {
    /// What a plan has to take into account, and when a report has to be repeated next.
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
            Some(sight) => *sight == Observation::Missing,
            None => !self.known_containers.contains_key(container),
        };
        let unwanted = actual.owned.values().filter(|entry| !kept(entry));
        self.removed_entries = unwanted.map(|entry| (entry.id.clone(), entry.clone())).collect();
        let is_strange = |Owner { engine, host: mark, container, .. }: &Owner| {
            *engine != host.engine || *mark != host.owner_host() || !self.known_containers.contains_key(container)
        };
        let strange = actual.owned.values().filter(|entry| is_strange(&entry.owner));
        self.unfamiliar_owners = strange.map(|entry| (entry.id.clone(), entry.owner.clone())).collect();
        let reasons = self.removed_entries.iter().map(|(id, entry)| {
            let container = &entry.owner.container;
            let name = self.known_containers.get(container).and_then(Option::as_ref);
            (id.clone(), removal::removal_reason(entry, containers.entries.get(container), name, desired, host))
        });
        let reasons = reasons.collect();
        let gone = self.removed_entries.values().filter(|entry| unannounced(&entry.owner.container));
        let gone = gone.map(|entry| entry.id.clone()).collect();
        let held = self.removal_guard.defer(&gone, actual.owned.len(), settings.max_removal, containers.complete_count);
        self.forget_gone(containers, actual);
        let (stale, due) = self.due_reports(desired, settings, now);
        (
            PlanContext {
                deferred: held,
                due_reports: stale,
                removal_reasons: reasons,
                operator_maintenance: self.operator_maintenance.clone(),
            },
            due,
        )
    }

    /// Forgets containers that were gone and owned no entry at the last two lists. Not earlier, since the write of an
    /// entry may still be in progress.
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

    /// Takes note of the containers and their names.
    fn record_containers(&mut self, containers: &Snapshot<String, Observation>) {
        for (id, sight) in containers.entries.iter() {
            let name = match sight {
                Observation::Inspected(container) => Some(&container.name),
                Observation::Unreadable | Observation::Missing => None,
            };
            let known = self.known_containers.get(id);
            if known.is_none_or(|known| name.is_some() && known.as_ref() != name) {
                self.known_containers.insert(id.clone(), name.cloned());
            }
        }
    }

    /// Entries that somebody else writes, although they carry marks like ours. An entry with our own marks for a container
    /// that is here is none of them: the container was only not listed for a while, and the entry came back because this
    /// run registered it again.
    pub(super) fn rivals(
        &mut self,
        containers: &BTreeMap<String, Observation>,
        host: &Host,
    ) -> &BTreeMap<String, Owner> {
        let is_ours = |Owner { engine, host: mark, container, .. }: &Owner| {
            *engine == host.engine && *mark == host.owner_host() && containers.contains_key(container)
        };
        self.rivals.retain(|_, owner| !is_ours(owner));
        &self.rivals
    }

    /// Notes that a step was carried out.
    pub(super) fn record_step(&mut self, step: &Step, now: Instant) {
        match step {
            Step::Report { id, key, .. } => drop(self.last_reports.insert((id.clone(), key.clone()), now)),
            Step::Put(instance, _) => {
                self.operator_maintenance.remove(&instance.id);
                self.rivals.extend(self.unfamiliar_owners.remove_entry(&instance.id));
            }
            Step::Remove { id, .. } => {
                let theirs = self.removed_entries.remove(id).and_then(|entry| entry.out_of_traffic);
                let theirs = theirs.filter(|reason| !reason.starts_with(MAINTENANCE_PREFIX));
                self.operator_maintenance.extend(theirs.map(|reason| (id.clone(), reason)));
                self.rivals.extend(self.unfamiliar_owners.remove_entry(id));
            }
            Step::EnableMaintenance { .. } | Step::DisableMaintenance { .. } => {}
        }
    }

    /// Notes what an operator had set on an entry that was removed.
    pub(super) fn record_maintenance(&mut self, id: &str, reason: Option<String>) {
        self.operator_maintenance.extend(reason.map(|reason| (id.to_owned(), reason)));
    }

    /// The reports that have to be repeated now, and when the next one has to.
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
        let (mut stale, mut due) = (BTreeSet::new(), None);
        let mut reported = BTreeMap::new();
        for report in reports {
            let Some(every) = health::report_interval(&report.1, settings) else { continue };
            let age = self.last_reports.get(&report).map(|at| now.saturating_duration_since(*at));
            match age.and_then(|age| every.checked_sub(age)).filter(|rest| !rest.is_zero()) {
                Some(rest) => due = due.into_iter().chain([rest]).min(),
                None => drop(stale.insert(report.clone())),
            }
            reported.extend(self.last_reports.remove_entry(&report));
        }
        self.last_reports = reported;
        // What is repeated now is due again one period later.
        let again = stale.iter().filter_map(|(_, key)| health::report_interval(key, settings)).min();
        (stale, due.into_iter().chain(again).min())
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

    /// Four entries of containers that the store may know.
    fn entries() -> Entries {
        let owned = (1..=8).map(|n| instance(&n.to_string(), &n.to_string()));
        Entries { owned: owned.map(|i| (i.id.clone(), Entry::expected(&i))).collect(), ..Entries::default() }
    }

    fn deferred(memory: &mut PlannerState, containers: &Store<String, Observation>) -> usize {
        plan_context(memory, containers).deferred.len()
    }

    fn plan_context(memory: &mut PlannerState, containers: &Store<String, Observation>) -> PlanContext {
        memory.plan_context(&DesiredInstances::default(), &entries(), &containers.snapshot(), &host(), Instant::now()).0
    }

    #[test]
    fn an_operators_maintenance_is_remembered_until_the_next_entry() {
        let (mut memory, containers) = (PlannerState::default(), Store::default());
        containers.put("1".to_owned(), Observation::Inspected(Arc::new(container("x"))));
        containers.mark_complete();
        let mut actual = entries();
        actual.owned.retain(|id, _| id == "1");
        actual.owned.entry("1".into()).and_modify(|entry| entry.out_of_traffic = Some("disk swap".into()));
        memory.plan_context(&DesiredInstances::default(), &actual, &containers.snapshot(), &host(), Instant::now());
        memory.record_step(&Step::Remove { id: "1".into(), reason: String::new() }, Instant::now());
        assert_eq!(plan_context(&mut memory, &containers).operator_maintenance["1"], "disk swap");
        memory.record_step(&Step::Put(Box::new(instance("1", "2")), Some("disk swap".into())), Instant::now());
        assert!(plan_context(&mut memory, &containers).operator_maintenance.is_empty());
    }

    #[test]
    fn a_container_that_ends_while_its_registration_is_open_is_remembered() {
        let (mut memory, containers) = (PlannerState::default(), Store::default());
        let mut conditions = |actual: &Entries, containers: &Store<String, Observation>| {
            memory
                .plan_context(&DesiredInstances::default(), actual, &containers.snapshot(), &host(), Instant::now())
                .0
                .deferred
                .len()
        };
        entries().owned.keys().for_each(|id| containers.put(id.clone(), Observation::Unreadable));
        containers.mark_complete();
        conditions(&Entries::default(), &containers);
        entries().owned.keys().for_each(|id| containers.remove(id));
        containers.mark_complete();
        conditions(&Entries::default(), &containers);
        assert_eq!(conditions(&entries(), &containers), 0, "an event told of their end");
    }

    #[test]
    fn who_writes_an_entry_again_that_was_not_ours_beyond_doubt_is_a_rival() {
        let (mut memory, containers) = (PlannerState::default(), Store::default());
        for id in ["1", "2"] {
            containers.put(id.to_owned(), Observation::Inspected(Arc::new(container("x"))));
        }
        containers.mark_complete();
        let mut actual = entries();
        actual.owned.entry("2".into()).and_modify(|entry| entry.owner.host = "other".into());
        memory.plan_context(&DesiredInstances::default(), &actual, &containers.snapshot(), &host(), Instant::now());
        memory.record_step(&Step::Put(Box::new(instance("2", "2")), None), Instant::now());
        for id in ["1", "3"] {
            memory.record_step(&Step::Remove { id: id.into(), reason: String::new() }, Instant::now());
        }
        let mut rivals = || memory.rivals(&containers.snapshot().entries, &host()).keys().cloned().collect::<Vec<_>>();
        assert_eq!(rivals(), ["2", "3"]);
        containers.put("3".to_owned(), Observation::Unreadable);
        assert_eq!(rivals(), ["2"], "its container is here again, so this run has written it");
        containers.remove(&"3".to_owned());
        assert_eq!(rivals(), ["2"], "what is left of it is ours to remove");
    }

    #[test]
    fn at_the_start_a_list_that_lacks_most_of_our_entries_is_not_believed_at_once() {
        let (mut memory, containers) = (PlannerState::default(), Store::default());
        containers.mark_complete();
        assert_eq!(deferred(&mut memory, &containers), 8);
        assert_eq!(deferred(&mut memory, &containers), 8);
        containers.mark_complete();
        assert_eq!(deferred(&mut memory, &containers), 0);
    }

    #[test]
    fn what_an_event_announced_goes_at_once_and_what_only_a_list_lacks_waits() {
        let (mut memory, containers) = (PlannerState::default(), Store::default());
        for n in 1..=8 {
            containers.put(n.to_string(), Observation::Inspected(Arc::new(container("x"))));
        }
        containers.mark_complete();
        deferred(&mut memory, &containers);
        (1..=8).for_each(|n| containers.put(n.to_string(), Observation::Missing));
        assert_eq!(deferred(&mut memory, &containers), 8);
        (1..=8).for_each(|n| containers.remove(&n.to_string()));
        assert_eq!(deferred(&mut memory, &containers), 0, "announced, or confirmed");
    }

    #[test]
    fn reports_are_repeated_at_their_time() {
        let seconds = Duration::from_secs;
        let settings = Settings { ttl: Some(seconds(30)), ttl_refresh: Some(seconds(10)), ..Settings::default() };
        let mut web = instance("1", "1");
        let report = StatusReport { status: Status::Passing, output: String::new() };
        web.reports.insert("ttl".into(), report.clone());
        let desired =
            DesiredInstances { instances: [("1".to_owned(), web.into())].into(), ..DesiredInstances::default() };
        let (mut memory, begin) = (PlannerState::default(), Instant::now());
        let step = Step::Report { id: "1".into(), key: "ttl".into(), report };
        let one: BTreeSet<_> = [("1".to_owned(), "ttl".to_owned())].into();
        assert_eq!(memory.due_reports(&desired, &settings, begin), (one.clone(), Some(seconds(10))));
        memory.record_step(&step, begin);
        assert_eq!(memory.due_reports(&desired, &settings, begin + seconds(4)), (BTreeSet::new(), Some(seconds(6))));
        assert_eq!(memory.due_reports(&desired, &settings, begin + seconds(10)).0, one);
    }
}
