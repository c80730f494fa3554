//! Collects the instances that a host should have in the registry. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    claims::{self, Claim},
    gate::{self, PortRun, ReadinessGate},
    host::Host,
    instances, ports,
    settings::DeregisterPolicy,
    skip_reason::SkipReason,
    traffic,
};
use crate::{
    docker::{Container, Observation, Port, short_id},
    registry::{DigestedInstance, Entries},
};

/// The desired state: all instances that the registry should have for this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredInstances {
    /// By id.
    pub instances: BTreeMap<String, DigestedInstance>,
    /// Containers that could not be inspected: their entries stay as they are.
    pub unreadable: BTreeSet<String>,
    /// Containers that have failed and whose entries stay, out of traffic.
    pub failed: BTreeSet<String>,
    /// Ids that several ports claim, each with a description of those ports. At most one of them is in `instances`.
    pub contended_ids: BTreeMap<String, Vec<String>>,
    /// The readiness gates of instances that are not registered yet, with the id of the instance.
    pub gates: Vec<(String, ReadinessGate)>,
    /// Notes for the user: the name of the container, and the text.
    pub notes: BTreeSet<(String, String)>,
    /// The time until the next pass is due even without an event.
    pub recheck_after: Option<Duration>,
}

/// Collects the instances of all containers. `entries` decides which of several claims on an id wins. No gate counts as
/// passed, except for an instance that is registered already.
pub fn desired_instances(
    containers: &BTreeMap<String, Observation>,
    host: &Host,
    entries: &Entries,
    now: Timestamp,
) -> DesiredInstances {
    InstanceCache::default().desired_instances(containers, host, entries, &BTreeMap::new(), now)
}

/// The instances of each container from its last evaluation. On a large host an event concerns only one of many
/// containers.
#[derive(Debug, Default)]
pub struct InstanceCache {
    /// The host that the instances were derived for.
    host: Option<Host>,
    /// By the id of the container.
    by_container: HashMap<String, CachedContainer>,
}

/// The result of one evaluation.
#[derive(Debug)]
struct CachedContainer {
    container: Arc<Container>,
    ports: Vec<(Port, DigestedInstance, Option<ReadinessGate>)>,
    notes: Vec<String>,
    recheck_after: Option<Duration>,
}

impl InstanceCache {
    /// The same as the function [`desired_instances`], but evaluates only containers that have changed. `ready`
    /// contains the ports that have been ready.
    pub fn desired_instances(
        &mut self,
        containers: &BTreeMap<String, Observation>,
        host: &Host,
        entries: &Entries,
        ready: &BTreeMap<PortRun, ()>,
        now: Timestamp,
    ) -> DesiredInstances {
        let mut desired = DesiredInstances::default();
        self.refresh(containers, host, now);
        let mut claims = Vec::new();
        for (id, observation) in containers {
            let container = match observation {
                Observation::Inspected(container) if !ports::is_network_unreadable(container, containers) => container,
                Observation::Inspected(_) | Observation::Unreadable => {
                    desired.unreadable.insert(id.clone());
                    continue;
                }
                Observation::Missing => continue,
            };
            if has_failed(container, host) {
                desired.failed.insert(id.clone());
            }
            let cached = &self.by_container[id];
            desired.notes.extend(cached.notes.iter().map(|note| (container.name.clone(), note.clone())));
            desired.recheck_after = desired.recheck_after.into_iter().chain(cached.recheck_after).min();
            claims.extend(cached.ports.iter().map(|(port, wanted, gate)| {
                let entry = entries.owned.get(&wanted.id);
                let gate = gate.as_ref().filter(|gate| gate::is_waiting(gate, &wanted.owner, entry, ready));
                Claim { container, port: *port, instance: wanted, gate }
            }));
        }
        claims.sort_by_key(|claim| &claim.instance.id);
        for claims in claims.chunk_by(|one, other| one.instance.id == other.instance.id) {
            desired.assign_id(claims, entries);
        }
        desired
    }

    /// Evaluates the containers that have changed.
    fn refresh(&mut self, containers: &BTreeMap<String, Observation>, host: &Host, now: Timestamp) {
        if self.host.as_ref() != Some(host) {
            *self = Self { host: Some(host.clone()), by_container: HashMap::new() };
        }
        for (id, observation) in containers {
            if let Observation::Inspected(container) = observation
                && !self.by_container.get(id).is_some_and(|cached| cached.is_current_for(container))
            {
                self.by_container.insert(id.clone(), CachedContainer::evaluate(container, containers, host, now));
            }
        }
        // If the sizes are equal, there is nothing to remove.
        if self.by_container.len() > containers.len() {
            self.by_container.retain(|id, _| containers.contains_key(id));
        }
    }
}

impl DesiredInstances {
    /// Assigns an id to one of the ports that claim it.
    fn assign_id(&mut self, claims: &[Claim<'_>], entries: &Entries) {
        let id = &claims[0].instance.id;
        let entry = entries.owned.get(id);
        let claims = claims::without_outdated(claims);
        // What the container of an entry needs is unknown while it cannot be inspected: the entry stays unchanged.
        let unreadable = entry.map(|entry| &entry.owner.container).filter(|owner| self.unreadable.contains(*owner));
        let winner = claims::winner(&claims, entry).filter(|_| unreadable.is_none());
        if winner.is_none_or(|winner| winner.gate.is_some() || winner.instance.out_of_traffic.is_some())
            && unreadable.is_none()
        {
            // The first instance that is ready takes the entry over.
            self.gates.extend(claims.iter().filter_map(|claim| Some((id.clone(), claim.gate?.clone()))));
        }
        if let Some(winner) = winner.filter(|winner| winner.gate.is_none()) {
            self.instances.insert(id.clone(), winner.instance.clone());
        }
        let is_winner = |claim: &Claim<'_>| winner.is_some_and(|winner| std::ptr::eq(winner.instance, claim.instance));
        // While another container still has the entry, no note says that the winner has it.
        let takes_over = |winner: &Claim<'_>| {
            winner.gate.is_none() && entry.is_some_and(|entry| entry.owner.container != winner.container.id)
        };
        let is_logged = !winner.is_some_and(takes_over);
        for claim in claims.iter().filter(|claim| !is_winner(claim)) {
            let competitor =
                winner.or_else(|| claims.iter().find(|competitor| !std::ptr::eq(competitor.instance, claim.instance)));
            let note = match (unreadable, competitor) {
                (Some(owner), _) => {
                    let (port, owner) = (claim.port, short_id(owner));
                    format!("{port} is not registered: container {owner} has the id {id:?}, and cannot be inspected")
                }
                (None, Some(competitor)) => claim.refusal(competitor),
                (None, None) => continue,
            };
            if is_logged {
                self.notes.insert((claim.container.name.clone(), note));
            }
            self.contended_ids.insert(id.clone(), claims.iter().map(Claim::description).collect());
        }
    }
}

impl CachedContainer {
    fn evaluate(
        container: &Arc<Container>,
        others: &BTreeMap<String, Observation>,
        host: &Host,
        now: Timestamp,
    ) -> Self {
        let recheck_after = traffic::next_traffic_change(container, host, now);
        let mut cached = Self {
            container: Arc::clone(container),
            ports: Vec::new(),
            notes: instances::container_notes(container),
            recheck_after,
        };
        for outcome in instances::port_outcomes(container, others, host, now) {
            cached.notes.extend(outcome.notes);
            match outcome.instance {
                Ok(instance) => cached.ports.push((outcome.port, instance.into(), outcome.readiness_gate)),
                Err(skip @ (SkipReason::LinkLocal | SkipReason::WrongAddressFamily | SkipReason::Unreachable)) => {
                    cached.notes.push(format!("{} is not registered: {skip}", outcome.port));
                }
                Err(skip) => {
                    tracing::debug!(container = %container.name, "port {} is not registered: {skip}", outcome.port)
                }
            }
        }
        cached
    }

    /// Whether the result is still valid: neither the container, nor one whose network it uses, nor time alone can have
    /// changed it.
    fn is_current_for(&self, container: &Arc<Container>) -> bool {
        let by_itself = !container.network_mode.starts_with("container:") && self.recheck_after.is_none();
        by_itself && Arc::ptr_eq(&self.container, container)
    }
}

/// Whether `--deregister on-success` applies: the container has ended, neither with exit code 0 nor by a signal (128
/// and more).
fn has_failed(container: &Container, host: &Host) -> bool {
    let failed = container.exit_code.is_some_and(|code| code != 0 && code & 128 == 0);
    failed && host.settings.deregister == DeregisterPolicy::OnSuccess
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        register::fixture::{container, host},
        registry::Entry,
    };

    fn inspected(container: Container) -> (String, Observation) {
        (container.id.clone(), Observation::Inspected(Arc::new(container)))
    }

    fn of(containers: Vec<Container>) -> DesiredInstances {
        among(containers, &Entries::default())
    }

    fn among(containers: Vec<Container>, entries: &Entries) -> DesiredInstances {
        let observations = containers.into_iter().map(inspected);
        let observations = observations.chain([("x".into(), Observation::Unreadable)]).collect();
        desired_instances(&observations, &host(), entries, "2026-11-20T12:00:05Z".parse().expect("a time"))
    }

    /// A container that claims the id `same` and was started at the second `started`.
    fn container_with_id(name: &str, started: &str) -> Container {
        let started_at = format!("2026-11-20T10:00:{started}Z");
        Container { started_at, ..container(name).publish("80/tcp", &["0.0.0.0:1"]).env("SERVICE_ID", "same") }
    }

    /// The entry `same`, owned by this container.
    fn entries_of(container: &Container) -> Entries {
        let observations = [inspected(container.clone())].into();
        let now = "2026-11-20T12:00:05Z".parse().expect("a time");
        let instance = desired_instances(&observations, &host(), &Entries::default(), now).instances.remove("same");
        let entry = Entry::expected(&instance.expect("an instance"));
        Entries { owned: [("same".to_owned(), entry)].into(), ..Entries::default() }
    }

    #[test]
    fn of_two_that_claim_one_id_one_gets_it() {
        let (a, b) = (container_with_id("a", "01"), container_with_id("b", "02"));
        let paused = |of: &Container| Container { paused: true, ..of.clone() };
        let unready = |of: &Container| of.clone().env("SERVICE_READY", "tcp");
        let stopping =
            |of: &Container| Container { stop_signal_sent_at: "2026-11-20T12:00:00Z".parse().ok(), ..of.clone() };
        let ended = |of: &Container| Container { running: false, ..of.clone() };
        let cases = [
            ("no entry: the first", vec![a.clone(), b.clone()], None, Some(&a)),
            ("the incumbent", vec![a.clone(), b.clone()], Some(&b), Some(&b)),
            ("a third had it, and is gone", vec![a.clone(), b.clone()], Some(&container_with_id("c", "00")), Some(&a)),
            ("the newcomer is paused", vec![a.clone(), paused(&b)], Some(&a), Some(&a)),
            ("the newcomer is not ready", vec![a.clone(), unready(&b)], Some(&a), Some(&a)),
            ("the newcomer drains", vec![a.clone(), stopping(&b)], Some(&a), Some(&a)),
            ("the incumbent drains", vec![stopping(&a), b.clone()], Some(&a), Some(&b)),
            ("the incumbent is paused", vec![paused(&a), b.clone()], Some(&a), Some(&b)),
            ("both drain", vec![stopping(&a), stopping(&b)], Some(&b), Some(&b)),
            ("the incumbent has ended", vec![ended(&a), b.clone()], Some(&a), Some(&b)),
            ("the first is not ready", vec![unready(&a), b.clone()], None, Some(&b)),
        ];
        for (case, containers, incumbent, expected) in cases {
            let entries = incumbent.map(entries_of).unwrap_or_default();
            let desired = among(containers, &entries);
            let owner = desired.instances.get("same").map(|instance| &instance.owner.container);
            assert_eq!(owner, expected.map(|container| &container.id), "{case}");
        }
    }

    #[test]
    fn a_refused_claim_is_noted_with_the_container_that_has_the_id() {
        let desired = among(vec![container_with_id("a", "01"), container_with_id("b", "02")], &Entries::default());
        let expected =
            "80/tcp is not registered: container \"a\" has the id \"same\"; give one of the two another SERVICE_ID";
        assert_eq!(desired.notes, [("b".to_owned(), expected.to_owned())].into());
        assert_eq!(desired.contended_ids["same"], ["80/tcp of container \"a\"", "80/tcp of container \"b\""]);
    }

    #[test]
    fn two_ports_of_one_container_that_claim_one_id_are_refused_unless_one_has_the_entry() {
        let a = container_with_id("a", "01");
        let two = a.clone().publish("81/tcp", &["0.0.0.0:2"]);
        let desired = among(vec![two.clone()], &Entries::default());
        assert_eq!((desired.instances.len(), desired.notes.len(), desired.contended_ids["same"].len()), (0, 2, 2));
        assert_eq!(among(vec![two.clone()], &entries_of(&a)).instances["same"].port, 1);
        let b = container_with_id("b", "02");
        assert_eq!(among(vec![two, b.clone()], &Entries::default()).instances["same"].owner.container, b.id);
    }

    #[test]
    fn an_entry_whose_container_cannot_be_inspected_is_not_given_to_another() {
        let mut x = container_with_id("x", "00");
        x.id = "x".into();
        let desired = among(vec![container_with_id("a", "01")], &entries_of(&x));
        assert_eq!(desired.instances.len(), 0);
        let (who, note) = desired.notes.first().expect("a note");
        assert_eq!(
            (who.as_str(), note.ends_with("has the id \"same\", and cannot be inspected")),
            ("a", true),
            "{note}"
        );
    }

    #[test]
    fn a_container_recreated_under_its_name_is_not_a_conflict() {
        let (old, new) = (container_with_id("a", "01"), Container { id: "new".into(), ..container_with_id("a", "02") });
        let desired = among(vec![old.clone(), new], &entries_of(&old));
        assert_eq!(desired.instances["same"].owner.container, "new");
        assert_eq!((desired.notes.len(), desired.contended_ids.len()), (0, 0));
    }

    #[test]
    fn all_claims_are_probed_while_none_serves() {
        let unready = |name, started| container_with_id(name, started).env("SERVICE_READY", "tcp");
        let (a, b) = (unready("a", "01"), unready("b", "02"));
        assert_eq!(among(vec![a.clone(), b.clone()], &Entries::default()).gates.len(), 2);
        assert_eq!(among(vec![a.clone(), b.clone()], &entries_of(&container_with_id("a", "01"))).gates.len(), 0);
        let stopping = Container { stop_signal_sent_at: "2026-11-20T12:00:00Z".parse().ok(), ..a };
        let desired = among(vec![stopping, b], &entries_of(&container_with_id("a", "01")));
        assert_eq!((desired.gates.len(), desired.instances.len()), (1, 1));
    }

    #[test]
    fn a_container_in_the_network_of_an_unreadable_one_is_unreadable() {
        let user = Container { network_mode: "container:x".into(), ..container("u") };
        let id = user.id.clone();
        assert!(of(vec![user]).unreadable.contains(&id));
    }

    #[test]
    fn the_cache_gives_the_same_as_a_new_evaluation() {
        let web = |name, port: &str| container(name).publish("80/tcp", &[&format!("0.0.0.0:{port}")]);
        let owner = web("o", "3");
        let user = Container { network_mode: format!("container:{}", owner.id), ..web("u", "4") };
        let stopping = Container { stop_signal_sent_at: "2026-11-20T12:00:00Z".parse().ok(), ..web("s", "5") };
        let mut containers: BTreeMap<_, _> =
            [web("a", "1"), web("b", "2"), owner, user, stopping].map(inspected).into();
        let (mut cache, mut host, entries) = (InstanceCache::default(), host(), Entries::default());
        let mut now: Timestamp = "2026-11-20T12:00:05Z".parse().expect("a time");
        type CacheChange<'a> = &'a dyn Fn(&mut BTreeMap<String, Observation>, &mut Host);
        let changes: [CacheChange<'_>; 5] = [
            &|_, _| {},
            &|containers, _| containers.extend([inspected(web("a", "9"))]),
            &|containers, _| {
                containers.extend([inspected(Container { network_mode: "host".into(), ..container("o") })])
            },
            &|containers, _| drop(containers.pop_first()),
            &|_, host| host.hostname = "other".into(),
        ];
        for change in changes {
            change(&mut containers, &mut host);
            let from_cache = cache.desired_instances(&containers, &host, &entries, &BTreeMap::new(), now);
            assert_eq!(from_cache, desired_instances(&containers, &host, &entries, now));
            // The drain ends before the last change.
            now += host.settings.drain_return / 4;
        }
    }

    #[test]
    fn the_earliest_recheck_counts() {
        let stopping = |name, sent: &str| Container { stop_signal_sent_at: sent.parse().ok(), ..container(name) };
        let desired =
            of(vec![stopping("a", "2026-11-20T12:00:00Z"), stopping("b", "2026-11-20T11:55:05Z"), container("c")]);
        assert_eq!(desired.recheck_after, Some(Duration::from_secs(300)));
    }
}
