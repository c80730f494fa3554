//! The line that is logged for a write that has succeeded: in names that users know, with what has changed and why.

use std::collections::{BTreeSet, HashMap};

use super::{difference::change, plan::Step};
use crate::{
    docker::Sight,
    registry::{Entries, Entry, OutReason, Status},
    store::Snapshot,
};

/// The names of containers by their id, for as long as there is a container or an entry of it.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashMap<String, String>,
}

impl Names {
    /// Brings the names up to date.
    pub(super) fn learn(&mut self, containers: &Snapshot<String, Sight>, actual: Option<&Entries>) {
        for (id, sight) in containers.entries.iter() {
            if let Sight::Seen(container) = sight
                && self.names.get(id) != Some(&container.name)
            {
                self.names.insert(id.clone(), container.name.clone());
            }
        }
        // With as many as there are containers, there is nothing to forget.
        if self.names.len() > containers.entries.len()
            && let Some(actual) = actual
        {
            let owners: BTreeSet<_> = actual.owned.values().map(|entry| &entry.owner.container).collect();
            self.names.retain(|id, _| containers.entries.contains_key(id) || owners.contains(id));
        }
    }

    /// The container's name, or the short form of its id if it was gone before we came.
    pub(super) fn of<'a>(&'a self, container: &'a str) -> &'a str {
        self.names.get(container).map_or_else(|| container.get(..12).unwrap_or(container), String::as_str)
    }
}

/// Logs a step that was carried out. `actual` is the state before it.
pub(super) fn log(step: &Step, actual: Option<&Entries>, names: &Names, containers: &Snapshot<String, Sight>) {
    let entry = |id: &str| actual.and_then(|actual| actual.owned.get(id));
    match step {
        Step::Put(new) | Step::PutAside(new) => {
            let (instance, service, container) = (&new.id, &new.name, names.of(&new.owner.container));
            let place = format!("{}:{}", new.address, new.port);
            match entry(instance) {
                Some(old) => {
                    let change = change(old, new);
                    tracing::info!(service, instance, container, "updated {service} {place}: {change}");
                }
                None => tracing::info!(service, instance, container, "registered +{service} {place}"),
            }
        }
        Step::Report { id, .. } | Step::TakeOut { id, .. } | Step::BringBack { id } | Step::Remove { id } => {
            match entry(id) {
                Some(entry) => log_change(step, entry, names.of(&entry.owner.container), containers),
                // The entries are being read anew.
                None => tracing::info!(instance = id, "done: {step}"),
            }
        }
    }
}

/// The same for a step that changes an entry.
fn log_change(step: &Step, entry: &Entry, container: &str, containers: &Snapshot<String, Sight>) {
    let Entry { id: instance, name: service, .. } = entry;
    match step {
        Step::Put(_) | Step::PutAside(_) => {}
        Step::Report { key: check, report, .. } => {
            let status = format!("{:?}", report.status).to_lowercase();
            let line = format!("reported {service} {status} (check {check})");
            if entry.reports.get(check) == Some(&report.status) {
                tracing::debug!(service, instance, container, check, status, "{line}, once more");
            } else if report.status == Status::Critical {
                let reason = report.output.trim();
                tracing::warn!(service, instance, container, check, status, reason, "{line}");
            } else {
                tracing::info!(service, instance, container, check, status, "{line}");
            }
        }
        Step::TakeOut { reason, .. } if *reason == OutReason::CrashLoop.to_string() => {
            tracing::warn!(service, instance, container, reason, "took {service} out of traffic");
        }
        Step::TakeOut { reason, .. } => {
            tracing::info!(service, instance, container, reason, "took {service} out of traffic");
        }
        Step::BringBack { .. } => tracing::info!(service, instance, container, "brought {service} back into traffic"),
        Step::Remove { .. } => {
            let (place, reason) = (format!("{}:{}", entry.address, entry.port), gone(entry, containers));
            tracing::info!(service, instance, container, reason, "deregistered -{service} {place}");
        }
    }
}

/// Why an entry is no longer wanted.
fn gone(entry: &Entry, containers: &Snapshot<String, Sight>) -> String {
    match containers.entries.get(&entry.owner.container) {
        Some(Sight::Seen(container)) if container.running => "its container does not ask for it any more".to_owned(),
        Some(Sight::Seen(container)) => match container.exit_code {
            Some(code) => format!("its container has ended with exit code {code}"),
            None => "its container does not run".to_owned(),
        },
        _ => "its container is gone".to_owned(),
    }
}
