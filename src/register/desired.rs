//! All instances that a host should have in the registry. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    instances::{self, Host},
    settings::Deregister,
};
use crate::{
    docker::{Container, Sight},
    registry::Instance,
};

/// What the registry should hold of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// By id.
    pub instances: BTreeMap<String, Instance>,
    /// Containers that could not be looked at: whatever they have in the registry stays.
    pub unreadable: BTreeSet<String>,
    /// Containers that have failed, and whose entries are kept out of traffic.
    pub failed: BTreeSet<String>,
    /// What a user should know: of the container that is named first, in the second.
    pub notes: BTreeSet<(String, String)>,
    /// When to look again, although nothing happens.
    pub due: Option<Duration>,
}

/// Collects the instances of all containers. Two that want one id are both refused: either choice would be wrong.
pub fn desired(containers: &BTreeMap<String, Sight>, host: &Host, now: Timestamp) -> Desired {
    let mut desired = Desired::default();
    let mut claims: BTreeMap<String, Vec<(String, Instance)>> = BTreeMap::new();
    for (id, sight) in containers {
        let container = match sight {
            Sight::Seen(container) => container,
            Sight::Unreadable => {
                desired.unreadable.insert(id.clone());
                continue;
            }
            Sight::Missing => continue,
        };
        if has_failed(container, host) {
            desired.failed.insert(id.clone());
        }
        for verdict in instances::verdicts(container, containers, host, now) {
            desired.notes.extend(verdict.notes.into_iter().map(|note| (container.name.clone(), note)));
            match verdict.outcome {
                Ok(instance) => {
                    let claim = format!("{} of container {:?}", verdict.port, container.name);
                    claims.entry(instance.id.clone()).or_default().push((claim, instance));
                }
                Err(skip) => {
                    tracing::debug!(container = %container.name, "port {} is not registered: {skip}", verdict.port)
                }
            }
        }
        desired.due = desired.due.into_iter().chain(instances::due(container, host, now)).min();
    }
    for (id, mut claims) in claims {
        if let [_] = claims[..] {
            desired.instances.extend(claims.pop().map(|(_, instance)| (id, instance)));
        } else {
            let who: Vec<_> = claims.into_iter().map(|(claim, _)| claim).collect();
            desired.notes.insert((who.join(" and "), format!("not registered: they claim the same id {id:?}")));
        }
    }
    desired
}

/// Under `--deregister on-success`: it has ended, neither well (0) nor by a signal (128 and more).
fn has_failed(container: &Container, host: &Host) -> bool {
    let failed = container.exit_code.is_some_and(|code| code != 0 && code & 128 == 0);
    failed && host.settings.deregister == Deregister::OnSuccess
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::register::{Settings, fixture::container};

    fn of(containers: Vec<Container>) -> Desired {
        let host = Host {
            engine: "E".into(),
            hostname: "h".into(),
            advertised: "10.0.0.1".into(),
            settings: Settings::default(),
        };
        let seen = containers.into_iter().map(|container| (container.id.clone(), Sight::Seen(Arc::new(container))));
        let seen = seen.chain([("x".into(), Sight::Unreadable)]).collect();
        desired(&seen, &host, "2026-11-20T12:00:05Z".parse().expect("a time"))
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
        assert_eq!(desired.unreadable, ["x".to_owned()].into());
    }

    #[test]
    fn the_first_that_is_due_counts() {
        let stopping = |name, sent: &str| Container { stop_sent: sent.parse().ok(), ..container(name) };
        let desired =
            of(vec![stopping("a", "2026-11-20T12:00:00Z"), stopping("b", "2026-11-20T11:55:05Z"), container("c")]);
        assert_eq!(desired.due, Some(Duration::from_secs(300)));
    }
}
