//! All instances that a host should have in the registry. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{
    instances::{self, Host},
    ports,
    ready::Gate,
    settings::Deregister,
};
use crate::{
    docker::{Container, Port, Sight},
    registry::Wanted,
};

/// What the registry should hold of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// By id.
    pub instances: BTreeMap<String, Wanted>,
    /// Containers that could not be looked at: whatever they have in the registry stays.
    pub unreadable: BTreeSet<String>,
    /// Containers that have failed, and whose entries are kept out of traffic.
    pub failed: BTreeSet<String>,
    /// Ids that several ports want, so that none gets them, each with those ports.
    pub contended: BTreeMap<String, Vec<String>>,
    /// What has to succeed once before an instance is registered for the first time, by its id.
    pub gates: BTreeMap<String, Gate>,
    /// What a user should know: of the container that is named first, in the second.
    pub notes: BTreeSet<(String, String)>,
    /// When to look again, although nothing happens.
    pub due: Option<Duration>,
}

/// Collects the instances of all containers. Two that want one id are both refused: either choice would be wrong.
pub fn desired(containers: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Desired {
    Looks::default().desired(containers, host, now)
}

/// What each container gave when it was last looked at: on a large host an event is about one of many.
#[derive(Debug, Default)]
pub struct Looks {
    /// Whose containers they are.
    host: Option<Host>,
    /// By the container's id.
    looks: HashMap<String, Look>,
}

/// What one container gives.
#[derive(Debug)]
struct Look {
    container: Arc<Container>,
    ports: Vec<(Port, Wanted, Option<Gate>)>,
    notes: Vec<String>,
    due: Option<Duration>,
}

impl Looks {
    /// The same as [`desired`], without a new look at containers that have not changed.
    pub fn desired(&mut self, containers: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Desired {
        let mut desired = Desired::default();
        self.look(containers, host, now);
        let mut claims = Vec::new();
        for (id, sight) in containers {
            let container = match sight {
                Sight::Seen(container) if !ports::is_network_unreadable(container, containers) => container,
                Sight::Seen(_) | Sight::Unreadable => {
                    desired.unreadable.insert(id.clone());
                    continue;
                }
                Sight::Missing => continue,
            };
            if has_failed(container, host) {
                desired.failed.insert(id.clone());
            }
            let (look, name) = (&self.looks[id], &container.name);
            desired.notes.extend(look.notes.iter().map(|note| (name.clone(), note.clone())));
            desired.due = desired.due.into_iter().chain(look.due).min();
            claims.extend(look.ports.iter().map(|(port, wanted, gate)| (name, port, wanted, gate)));
        }
        claims.sort_by_key(|(_, _, wanted, _)| &wanted.id);
        for claims in claims.chunk_by(|(_, _, one, _), (_, _, other, _)| one.id == other.id) {
            let id = &claims[0].2.id;
            if let [(_, _, wanted, gate)] = claims {
                desired.instances.insert(id.clone(), (*wanted).clone());
                desired.gates.extend(gate.as_ref().map(|gate| (id.clone(), gate.clone())));
            } else {
                let who: Vec<_> =
                    claims.iter().map(|(name, port, ..)| format!("{port} of container {name:?}")).collect();
                desired.notes.insert((who.join(" and "), format!("not registered: they claim the same id {id:?}")));
                desired.contended.insert(id.clone(), who);
            }
        }
        desired
    }

    /// Brings the looks up to date.
    fn look(&mut self, containers: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) {
        if self.host.as_ref() != Some(host) {
            *self = Self { host: Some(host.clone()), looks: HashMap::new() };
        }
        for (id, sight) in containers {
            if let Sight::Seen(container) = sight
                && !self.looks.get(id).is_some_and(|look| look.holds_for(container))
            {
                self.looks.insert(id.clone(), Look::at(container, containers, host, now));
            }
        }
        // With as many as there are containers, there is nothing to forget.
        if self.looks.len() > containers.len() {
            self.looks.retain(|id, _| containers.contains_key(id));
        }
    }
}

impl Look {
    fn at(container: &Arc<Container>, others: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Self {
        let due = instances::due(container, host, now);
        let mut look =
            Self { container: Arc::clone(container), ports: Vec::new(), notes: instances::notes(container), due };
        for verdict in instances::verdicts(container, others, host, now) {
            look.notes.extend(verdict.notes);
            match verdict.outcome {
                Ok(instance) => look.ports.push((verdict.port, instance.into(), verdict.gate)),
                Err(skip) => {
                    tracing::debug!(container = %container.name, "port {} is not registered: {skip}", verdict.port)
                }
            }
        }
        look
    }

    /// Whether nothing can have changed: neither the container, nor one whose network it uses, nor by the time alone.
    fn holds_for(&self, container: &Arc<Container>) -> bool {
        let by_itself = !container.network_mode.starts_with("container:") && self.due.is_none();
        by_itself && Arc::ptr_eq(&self.container, container)
    }
}

/// Under `--deregister on-success`: it has ended, neither well (0) nor by a signal (128 and more).
fn has_failed(container: &Container, host: &Host) -> bool {
    let failed = container.exit_code.is_some_and(|code| code != 0 && code & 128 == 0);
    failed && host.settings.deregister == Deregister::OnSuccess
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{Settings, fixture::container};

    fn host() -> Host {
        Host { engine: "E".into(), hostname: "h".into(), advertised: "10.0.0.1".into(), settings: Settings::default() }
    }

    fn seen(container: Container) -> (String, Sight) {
        (container.id.clone(), Sight::Seen(Arc::new(container)))
    }

    fn of(containers: Vec<Container>) -> Desired {
        let seen = containers.into_iter().map(seen);
        let seen = seen.chain([("x".into(), Sight::Unreadable)]).collect();
        desired(&seen, &host(), "2026-11-20T12:00:05Z".parse().expect("a time"))
    }

    #[test]
    fn two_claims_on_one_id_are_both_refused_and_named() {
        let web = |name| container(name).publish("80/tcp", &["0.0.0.0:1"]).env("SERVICE_ID", "same");
        let free = container("c").publish("80/tcp", &["0.0.0.0:1"]);
        let desired = of(vec![web("a"), web("b"), free]);
        assert_eq!(desired.instances.keys().collect::<Vec<_>>(), ["h:c:80"]);
        let (who, note) = desired.notes.first().expect("a note");
        assert_eq!(who, "80/tcp of container \"a\" and 80/tcp of container \"b\"");
        assert_eq!(note, "not registered: they claim the same id \"same\"");
        assert_eq!(desired.contended["same"].len(), 2);
        assert_eq!(desired.unreadable, ["x".to_owned()].into());
    }

    #[test]
    fn who_uses_the_network_of_an_unreadable_container_is_unreadable_too() {
        let user = Container { network_mode: "container:x".into(), ..container("u") };
        let id = user.id.clone();
        assert!(of(vec![user]).unreadable.contains(&id));
    }

    #[test]
    fn what_is_remembered_is_what_a_new_look_gives() {
        let web = |name, port: &str| container(name).publish("80/tcp", &[&format!("0.0.0.0:{port}")]);
        let owner = web("o", "3");
        let user = Container { network_mode: format!("container:{}", owner.id), ..web("u", "4") };
        let stopping = Container { stop_sent: "2026-11-20T12:00:00Z".parse().ok(), ..web("s", "5") };
        let mut containers: BTreeMap<_, _> = [web("a", "1"), web("b", "2"), owner, user, stopping].map(seen).into();
        let (mut looks, mut host) = (Looks::default(), host());
        let mut now: Timestamp = "2026-11-20T12:00:05Z".parse().expect("a time");
        type Change<'a> = &'a dyn Fn(&mut BTreeMap<String, Sight>, &mut Host);
        let changes: [Change<'_>; 5] = [
            &|_, _| {},
            &|containers, _| containers.extend([seen(web("a", "9"))]),
            &|containers, _| containers.extend([seen(Container { network_mode: "host".into(), ..container("o") })]),
            &|containers, _| drop(containers.pop_first()),
            &|_, host| host.hostname = "other".into(),
        ];
        for change in changes {
            change(&mut containers, &mut host);
            assert_eq!(looks.desired(&containers, &host, now), desired(&containers, &host, now));
            // The drain is over before the last change.
            now += host.settings.drain_return / 4;
        }
    }

    #[test]
    fn the_first_that_is_due_counts() {
        let stopping = |name, sent: &str| Container { stop_sent: sent.parse().ok(), ..container(name) };
        let desired =
            of(vec![stopping("a", "2026-11-20T12:00:00Z"), stopping("b", "2026-11-20T11:55:05Z"), container("c")]);
        assert_eq!(desired.due, Some(Duration::from_secs(300)));
    }
}
