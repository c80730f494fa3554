//! What entries remember of their containers and Docker does not: that one was told to stop, or started again and again, is
//! known from events alone, and an engine keeps no more than 256 of them. Pure.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::settings::Settings;
use crate::{
    docker::{Container, Observation},
    registry::{Entries, Entry, OutOfTraffic},
};

/// The containers, each with what its entries say of its present run.
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
            && let Some(recalled) = restored_container(container, entry, settings, now)
        {
            containers.to_mut().insert(id.clone(), Observation::Inspected(Arc::new(recalled)));
        }
    }
    containers
}

/// The container with what the entry says of it; `None` if that is nothing new.
fn restored_container(container: &Container, entry: &Entry, settings: &Settings, now: Timestamp) -> Option<Container> {
    let started: Timestamp = container.started_at.parse().ok()?;
    match OutOfTraffic::parse(entry.out_of_traffic.as_ref()?, now)? {
        _ if entry.owner.started != container.started_at => None,
        OutOfTraffic::Draining { since } if container.time_since_stop_signal(now).is_none() => {
            // An entry tells the time without fractions of a second.
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

    /// Why a container that was started at ten o'clock gets no traffic a minute later, by what its entry says.
    fn out(reason: &str, started: &str) -> Option<OutOfTraffic> {
        let web = container("web").publish("80/tcp", &["0.0.0.0:1"]);
        let settings = Settings { crash_stable: Duration::from_secs(90), ..Settings::default() };
        let mut entry = Entry { out_of_traffic: Some(reason.into()), ..Entry::expected(&instance("web", &web.id)) };
        entry.owner.started = started.into();
        let entries = Entries { owned: [("web".to_owned(), entry)].into(), ..Entries::default() };
        let containers = [(web.id.clone(), Observation::Inspected(Arc::new(web.clone())))].into();
        let now = "2026-11-20T10:01:00Z".parse().expect("a time");
        let recalled = restore_state(&containers, &entries, &settings, now);
        let Observation::Inspected(web) = &recalled[&web.id] else { panic!("it was seen") };
        let host = Host { settings, ..host() };
        instances::port_outcomes(web, &recalled, &host, now).remove(0).instance.expect("an instance").out_of_traffic
    }

    #[test]
    fn an_entry_knows_of_its_run_what_no_event_tells_any_more() {
        let started = "2026-11-20T10:00:00Z";
        let draining = |since: &str| Some(OutOfTraffic::Draining { since: since.parse().expect("a time") });
        let said = |since: &str| draining(since).expect("a reason").to_string();
        assert_eq!(out(&said("2026-11-20T10:00:30Z"), started), draining("2026-11-20T10:00:30Z"));
        assert_eq!(out(&said("2026-11-20T10:00:30Z"), "2026-11-20T09:00:00Z"), None, "an earlier run");
        assert_eq!(out(&said("2026-11-20T09:40:00Z"), started).map(|out| out.to_string()), Some(said(started)));
        // An earlier version wrote no time: it counts from now on.
        let before = "portreeve: draining, the container was told to stop";
        assert_eq!(out(before, started), draining("2026-11-20T10:01:00Z"));
        assert_eq!(out(&OutOfTraffic::CrashLoop.to_string(), started), Some(OutOfTraffic::CrashLoop));
        assert_eq!(out("disk swap", started), None);
        assert_eq!(out(&OutOfTraffic::Paused.to_string(), started), None, "an inspection shows that");
    }
}
