//! Logs each write that has succeeded, with the names that users know, what has changed, and why.

use std::collections::{BTreeSet, HashMap};

use super::{differences::update_summary, plan::Step};
use crate::{
    consul::check::status_text,
    core::store::Snapshot,
    docker::{Observation, short_id},
    registry::{Entries, Entry, Instance, OutOfTraffic, Status},
};

/// The names of containers by id, for as long as the container or an entry of it exists.
#[derive(Debug, Default)]
pub(super) struct ContainerNames {
    names: HashMap<String, String>,
}

impl ContainerNames {
    /// Adds the names of new containers and removes those that are no longer needed.
    pub(super) fn update(&mut self, containers: &Snapshot<String, Observation>, actual: Option<&Entries>) {
        for (id, observation) in containers.entries.iter() {
            if let Observation::Inspected(container) = observation
                && self.names.get(id) != Some(&container.name)
            {
                self.names.insert(id.clone(), container.name.clone());
            }
        }
        // If the sizes are equal, there is nothing to remove.
        if self.names.len() > containers.entries.len()
            && let Some(actual) = actual
        {
            let owners: BTreeSet<_> = actual.owned.values().map(|entry| &entry.owner.container).collect();
            self.names.retain(|id, _| containers.entries.contains_key(id) || owners.contains(id));
        }
    }

    /// The name of a container, or its short id if it was never inspected.
    pub(super) fn name_of<'a>(&'a self, container: &'a str) -> &'a str {
        self.names.get(container).map_or_else(|| short_id(container), String::as_str)
    }
}

/// Logs a step that was carried out. `actual` is the state before the step.
pub(super) fn log_step(step: &Step, actual: Option<&Entries>, names: &ContainerNames) {
    let entry = |id: &str| actual.and_then(|actual| actual.owned.get(id));
    match step {
        Step::Put(new, out) => {
            log_registration(new, out.as_deref(), entry(&new.id), names.name_of(&new.owner.container))
        }
        Step::Report { id, .. }
        | Step::EnableMaintenance { id, .. }
        | Step::DisableMaintenance { id }
        | Step::Remove { id, .. } => {
            match entry(id) {
                Some(entry) => log_change(step, entry, names.name_of(&entry.owner.container)),
                // The entries are about to be read again.
                None => tracing::info!(instance = id, "done: {step}"),
            }
        }
    }
}

/// Logs the registration of a new entry, or the replacement of `old`.
fn log_registration(new: &Instance, out: Option<&str>, old: Option<&Entry>, container: &str) {
    let (instance, service) = (&new.id, &new.name);
    let mut line = match old {
        Some(old) => format!("updated {service} {}:{}: {}", new.address, new.port, update_summary(old, new)),
        None => format!("registered +{service} {}:{}", new.address, new.port),
    };
    match out {
        None => tracing::info!(service, instance, container, "{line}"),
        Some(reason) => {
            line.push_str(", out of traffic: ");
            line.push_str(reason);
            if new.out_of_traffic == Some(OutOfTraffic::CrashLoop) {
                tracing::warn!(service, instance, container, reason, "{line}");
            } else {
                tracing::info!(service, instance, container, reason, "{line}");
            }
        }
    }
}

/// Logs a step that changes an existing entry.
fn log_change(step: &Step, entry: &Entry, container: &str) {
    let Entry { id: instance, name: service, .. } = entry;
    match step {
        Step::Put(..) => {}
        Step::Report { key: check, report, .. } => {
            let status = status_text(report.status);
            let line = format!("reported {service} {status} (check {check})");
            if entry.reported_statuses.get(check) == Some(&report.status) {
                tracing::debug!(service, instance, container, check, status, "{line}, once more");
            } else if report.status == Status::Critical {
                let reason = report.output.trim();
                tracing::warn!(service, instance, container, check, status, reason, "{line}: {reason}");
            } else {
                tracing::info!(service, instance, container, check, status, "{line}");
            }
        }
        Step::EnableMaintenance { reason, .. } if *reason == OutOfTraffic::CrashLoop.to_string() => {
            tracing::warn!(service, instance, container, reason, "took {service} out of traffic: {reason}");
        }
        Step::EnableMaintenance { reason, .. } => {
            tracing::info!(service, instance, container, reason, "took {service} out of traffic: {reason}");
        }
        Step::DisableMaintenance { .. } => {
            tracing::info!(service, instance, container, "brought {service} back into traffic")
        }
        Step::Remove { reason, .. } => {
            let address = format!("{}:{}", entry.address, entry.port);
            tracing::info!(service, instance, container, reason, "deregistered -{service} {address}: {reason}");
        }
    }
}
