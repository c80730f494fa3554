//! Why an entry is no longer desired, for the log. Pure.

use super::{desired::DesiredInstances, host::Host};
use crate::{
    docker::{Observation, short_id},
    registry::Entry,
};

/// The reason why `entry` is no longer desired. `name` is the container's name, if it was ever inspected.
pub(super) fn removal_reason(
    entry: &Entry,
    observation: Option<&Observation>,
    name: Option<&String>,
    desired: &DesiredInstances,
    host: &Host,
) -> String {
    let id = &entry.owner.container;
    let container = name.map_or_else(|| short_id(id), String::as_str);
    let successor = || {
        let at = (id, &entry.address, entry.port);
        let mut instances = desired.instances.values();
        instances.find(|new| (&new.owner.container, &new.address, new.port) == at).map(|new| &new.id)
    };
    let reason = match observation {
        Some(Observation::Inspected(container)) if container.running => match successor() {
            Some(id) => format!("is registered as {id}"),
            None => "does not ask for it any more".to_owned(),
        },
        Some(Observation::Inspected(container)) => match container.exit_code {
            Some(code) => format!("has ended with exit code {code}"),
            None => "does not run".to_owned(),
        },
        Some(Observation::Missing | Observation::Unreadable) | None => "is gone".to_owned(),
    };
    if entry.owner.engine == host.engine {
        format!("container {container} {reason}")
    } else {
        format!("container {container} {reason}, it was of the former engine {}", entry.owner.engine)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        docker::Container,
        register::fixture::{self, container, instance},
    };

    #[test]
    fn the_reason_names_the_container_and_its_state() {
        let host = |engine: &str| Host { engine: engine.into(), ..fixture::host() };
        let entry = Entry::expected(&instance("old", "0123456789abcdef"));
        let (none, mut renamed) = (DesiredInstances::default(), DesiredInstances::default());
        renamed.instances.insert("new".into(), instance("new", "0123456789abcdef").into());
        let inspected =
            |running, exit_code| Observation::Inspected(Arc::new(Container { running, exit_code, ..container("web") }));
        let name = "web".to_owned();
        let reason = |observation: Option<&Observation>, desired| {
            removal_reason(&entry, observation, Some(&name), desired, &host("E"))
        };
        assert_eq!(reason(Some(&inspected(true, None)), &none), "container web does not ask for it any more");
        assert_eq!(reason(Some(&inspected(true, None)), &renamed), "container web is registered as new");
        assert_eq!(reason(Some(&inspected(false, Some(0))), &none), "container web has ended with exit code 0");
        assert_eq!(reason(Some(&Observation::Missing), &none), "container web is gone");
        let former = "container 0123456789ab is gone, it was of the former engine E";
        assert_eq!(removal_reason(&entry, None, None, &none, &host("NEW")), former);
    }
}
