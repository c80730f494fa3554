//! What only this run of `register` knows: which containers it has seen, and when it repeated its reports. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use super::{
    brake::Brake,
    desired::Desired,
    health,
    plan::{Conditions, Step},
    settings::{Adopt, Settings},
};
use crate::{docker::Sight, registry::Entries, store::Snapshot};

/// Feeds the planner with what neither Docker nor the registry can show.
#[derive(Debug, Default)]
pub(super) struct Memory {
    brake: Brake,
    /// Containers that have been in the store: if such a one is there no longer, an event or a second list said why.
    seen: HashSet<String>,
    /// When each report (entry and check) was made for the last time.
    reported: BTreeMap<(String, String), Instant>,
}

impl Memory {
    /// What a plan has to take into account, and when a report has to be repeated next.
    pub(super) fn conditions(
        &mut self,
        desired: &Desired,
        actual: &Entries,
        containers: &Snapshot<String, Sight>,
        settings: &Settings,
        now: Instant,
    ) -> (Conditions, Option<Duration>) {
        for container in containers.entries.keys() {
            if !self.seen.contains(container) {
                self.seen.insert(container.clone());
            }
        }
        let kept = |entry: &&crate::registry::Entry| {
            let container = &entry.owner.container;
            desired.instances.contains_key(&entry.id)
                || desired.failed.contains(container)
                || desired.unreadable.contains(container)
        };
        let unannounced = |container: &String| match containers.entries.get(container) {
            Some(sight) => *sight == Sight::Missing,
            None => !self.seen.contains(container),
        };
        let gone = actual.owned.values().filter(|entry| !kept(entry) && unannounced(&entry.owner.container));
        let gone = gone.map(|entry| entry.id.clone()).collect();
        let held = self.brake.hold(&gone, actual.owned.len(), settings.max_removal, containers.rounds);
        // With as many as there are containers, there is nothing to forget.
        if self.seen.len() > containers.entries.len() {
            let owners: BTreeSet<_> = actual.owned.values().map(|entry| &entry.owner.container).collect();
            self.seen.retain(|container| containers.entries.contains_key(container) || owners.contains(container));
        }
        let (stale, due) = self.stale(desired, settings, now);
        (Conditions { held, stale, adopt: settings.adopt == Some(Adopt::Registrator) }, due)
    }

    /// Notes that a step was carried out.
    pub(super) fn note(&mut self, step: &Step, now: Instant) {
        if let Step::Report { id, key, .. } = step {
            self.reported.insert((id.clone(), key.clone()), now);
        }
    }

    /// The reports that have to be repeated now, and when the next one has to.
    fn stale(
        &mut self,
        desired: &Desired,
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
            let Some(every) = health::repeat_every(&report.1, settings) else { continue };
            let age = self.reported.get(&report).map(|at| now.saturating_duration_since(*at));
            match age.and_then(|age| every.checked_sub(age)).filter(|rest| !rest.is_zero()) {
                Some(rest) => due = due.into_iter().chain([rest]).min(),
                None => drop(stale.insert(report.clone())),
            }
            reported.extend(self.reported.remove_entry(&report));
        }
        self.reported = reported;
        // What is repeated now is due again one period later.
        let again = stale.iter().filter_map(|(_, key)| health::repeat_every(key, settings)).min();
        (stale, due.into_iter().chain(again).min())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        register::fixture::{container, instance},
        registry::{Entry, Report, Status},
        store::Store,
    };

    /// Four entries of containers that the store may know.
    fn entries() -> Entries {
        let owned = (1..=8).map(|n| instance(&n.to_string(), &n.to_string()));
        Entries { owned: owned.map(|i| (i.id.clone(), Entry::registered(&i))).collect(), ..Entries::default() }
    }

    fn held(memory: &mut Memory, containers: &Store<String, Sight>) -> usize {
        let settings = Settings::default();
        let snapshot = containers.snapshot();
        memory.conditions(&Desired::default(), &entries(), &snapshot, &settings, Instant::now()).0.held.len()
    }

    #[test]
    fn at_the_start_a_list_that_lacks_most_of_our_entries_is_not_believed_at_once() {
        let (mut memory, containers) = (Memory::default(), Store::default());
        containers.complete();
        assert_eq!(held(&mut memory, &containers), 8);
        assert_eq!(held(&mut memory, &containers), 8);
        containers.complete();
        assert_eq!(held(&mut memory, &containers), 0);
    }

    #[test]
    fn what_an_event_announced_goes_at_once_and_what_only_a_list_lacks_waits() {
        let (mut memory, containers) = (Memory::default(), Store::default());
        for n in 1..=8 {
            containers.put(n.to_string(), Sight::Seen(Arc::new(container("x"))));
        }
        containers.complete();
        held(&mut memory, &containers);
        (1..=8).for_each(|n| containers.put(n.to_string(), Sight::Missing));
        assert_eq!(held(&mut memory, &containers), 8);
        (1..=8).for_each(|n| containers.remove(&n.to_string()));
        assert_eq!(held(&mut memory, &containers), 0, "announced, or confirmed");
    }

    #[test]
    fn reports_are_repeated_at_their_time() {
        let seconds = Duration::from_secs;
        let settings = Settings { ttl: Some(seconds(30)), ttl_refresh: Some(seconds(10)), ..Settings::default() };
        let mut web = instance("1", "1");
        let report = Report { status: Status::Passing, output: String::new() };
        web.reports.insert("ttl".into(), report.clone());
        let desired = Desired { instances: [("1".to_owned(), web.into())].into(), ..Desired::default() };
        let (mut memory, begin) = (Memory::default(), Instant::now());
        let step = Step::Report { id: "1".into(), key: "ttl".into(), report };
        let one: BTreeSet<_> = [("1".to_owned(), "ttl".to_owned())].into();
        assert_eq!(memory.stale(&desired, &settings, begin), (one.clone(), Some(seconds(10))));
        memory.note(&step, begin);
        assert_eq!(memory.stale(&desired, &settings, begin + seconds(4)), (BTreeSet::new(), Some(seconds(6))));
        assert_eq!(memory.stale(&desired, &settings, begin + seconds(10)).0, one);
    }
}
