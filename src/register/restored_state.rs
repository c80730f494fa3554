//! Restores from the entries what Docker no longer reports about their containers. Only events report stop signals and
//! earlier starts, and an engine keeps at most 256 events. Pure.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::settings::Settings;
use crate::{
    docker::{Container, Observation},
    registry::{Entries, Entry, OutOfTraffic},
};

/// The containers, with what their entries record of the present run.
pub(super) fn restore_state<'a>(
    containers: &'a BTreeMap<String, Observation>,
    entries: &Entries,
    settings: &Settings,
    now: Timestamp,
) -> Cow<'a, BTreeMap<String, Observation>> {
    let mut containers = Cow::Borrowed(containers);
    for entry in entries.owned.values().filter(|entry| entry.out_of_traffic.is_some()) {
        let id = &entry.owner.container;
        if let Some(Observation::Inspected(container)) = containers.get(id)
            && let Some(restored) = restored_container(container, entry, settings, now)
        {
            containers.to_mut().insert(id.clone(), Observation::Inspected(Arc::new(restored)));
        }
    }
    containers
}

/// The container with what its entry records; `None` if the entry records nothing new.
fn restored_container(container: &Container, entry: &Entry, settings: &Settings, now: Timestamp) -> Option<Container> {
    let started: Timestamp = container.started_at.parse().ok()?;
    match OutOfTraffic::parse(entry.out_of_traffic.as_ref()?, now)? {
        _ if entry.owner.started != container.started_at => None,
        OutOfTraffic::Draining { since } if container.time_since_stop_signal(now).is_none() => {
            // The time in an entry has no fractions of a second.
            let sent = since.max(started + Duration::from_nanos(1));
            Some(Container { stop_signal_sent_at: Some(sent), ..container.clone() })
        }
        OutOfTraffic::CrashLoop if container.starts.len() < settings.crash_starts => {
            Some(Container { starts: vec![started; settings.crash_starts], ..container.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{
        fixture::{container, host, instance},
        host::Host,
        instances,
    };

    /// Why a container that was started at ten o'clock gets no traffic a minute later, with this reason in its entry.
    fn out(reason: &str, started: &str) -> Option<OutOfTraffic> {
        let web = container("web").publish("80/tcp", &["0.0.0.0:1"]);
        let settings = Settings { crash_stable: Duration::from_secs(90), ..Settings::default() };
        let mut entry = Entry { out_of_traffic: Some(reason.into()), ..Entry::expected(&instance("web", &web.id)) };
        entry.owner.started = started.into();
        let entries = Entries { owned: [("web".to_owned(), entry)].into(), ..Entries::default() };
        let containers = [(web.id.clone(), Observation::Inspected(Arc::new(web.clone())))].into();
        let now = "2026-11-20T10:01:00Z".parse().expect("a time");
        let restored = restore_state(&containers, &entries, &settings, now);
        let Observation::Inspected(web) = &restored[&web.id] else { panic!("it was inspected") };
        let host = Host { settings, ..host() };
        instances::port_outcomes(web, &restored, &host, now).remove(0).instance.expect("an instance").out_of_traffic
    }

    #[test]
    fn an_entry_restores_what_events_no_longer_report() {
        let started = "2026-11-20T10:00:00Z";
        let draining = |since: &str| Some(OutOfTraffic::Draining { since: since.parse().expect("a time") });
        let reason = |since: &str| draining(since).expect("a reason").to_string();
        assert_eq!(out(&reason("2026-11-20T10:00:30Z"), started), draining("2026-11-20T10:00:30Z"));
        assert_eq!(out(&reason("2026-11-20T10:00:30Z"), "2026-11-20T09:00:00Z"), None, "an earlier run");
        assert_eq!(out(&reason("2026-11-20T09:40:00Z"), started).map(|out| out.to_string()), Some(reason(started)));
        // An earlier version wrote no time: the drain counts from now.
        let before = "portreeve: draining, the container was told to stop";
        assert_eq!(out(before, started), draining("2026-11-20T10:01:00Z"));
        assert_eq!(out(&OutOfTraffic::CrashLoop.to_string(), started), Some(OutOfTraffic::CrashLoop));
        assert_eq!(out("disk swap", started), None);
        assert_eq!(out(&OutOfTraffic::Paused.to_string(), started), None, "an inspection reports that");
    }
}
