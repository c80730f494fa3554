//! `portreeve explain`: looks at Docker and at the registry once, and says of one container what is registered, what is
//! not, and why.
//!
//! `report`, `held` and `find` are pure, and ask the same functions as `register` does; this file only fetches.

mod container_lookup;
mod docker_state;
mod key_notes;
mod registration_state;
mod registry_report;
mod registry_state;
mod report;
mod text;
mod traffic;

use std::{collections::BTreeMap, fmt, time::Duration};

pub use container_lookup::ContainerLookupError;
use jiff::Timestamp;
pub use registration_state::{LeftoverEntry, RegistrationState};
pub use registry_report::{RegistryEntry, RegistryReport};
pub use report::{ContainerInfo, ContainerReport, InstanceReport, KeyReport, PortReport, SettingReport};
use serde::Serialize;
use serde_json::Value;
pub use traffic::Traffic;

use self::{docker_state::DockerError, registry_report::ContainerIdentity, registry_state::RegistryState};
use super::{desired::desired_instances, host::Host, ownership, restored_state::restore_state, settings::Settings};
use crate::{
    core::condition::error_chain,
    docker,
    registry::{Entries, Instance, Ledger},
};

/// What stands for the address of an agent that does not answer.
const UNKNOWN_ADDRESS: &str = "address-of-the-agent";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container is meant, or several are.
    #[error(transparent)]
    Find(#[from] ContainerLookupError),
    /// Neither side answers.
    #[error("{docker}; {registry}")]
    Both {
        /// What is wrong with Docker.
        docker: String,
        /// What is wrong with the registry.
        registry: String,
    },
}

impl Error {
    /// Whether the user has to ask another question.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Find(ContainerLookupError::Ambiguous { .. }))
    }
}

/// All that is known of a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Explanation {
    /// Docker has described it.
    Container(Box<ContainerReport>),
    /// Only the registry knows of it.
    Registry(RegistryReport),
}

impl Explanation {
    /// Whether all that the container wants is registered and gets traffic.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Container(report) if report.ok)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(report) => report.fmt(f),
            Self::Registry(report) => report.fmt(f),
        }
    }
}

/// Explains the container that `wanted` names: its name, its id, or the beginning of its id. `body` is what the registry
/// is sent for an instance. Where one side does not answer, it tells what the other one knows.
///
/// # Errors
/// There is no such container, or neither side answered.
pub async fn explain<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: &L,
    body: fn(&Instance) -> Value,
    wanted: &str,
    deadline: Duration,
) -> Result<Explanation, Error> {
    let registry = || registry_state::read_registry(ledger);
    let seen = match docker_state::read_docker(&docker, &settings, wanted, deadline).await {
        Ok(seen) => seen,
        Err(error) => return explain_without_docker(error, wanted, registry().await),
    };
    let containers = seen.containers;
    let unseen = match container_lookup::find_container(wanted, &containers, &seen.names) {
        Ok(_) => None,
        Err(error @ ContainerLookupError::Ambiguous { .. }) => return Err(error.into()),
        Err(error) => Some(error),
    };
    let known = registry().await;
    if let Some(error) = unseen {
        return explain_from_registry(error, &docker, wanted, known).await;
    }
    let (read, advertised, trouble) = match known {
        Ok(RegistryState { entries, advertised }) => (entries, advertised, None),
        Err(trouble) => (Entries::default(), UNKNOWN_ADDRESS.to_owned(), Some(trouble)),
    };
    let host = Host::new(seen.engine, advertised, settings);
    let now = Timestamp::now();
    let entries = ownership::classify(read, &host, &containers, &BTreeMap::new());
    let containers = restore_state(&containers, &entries, &host.settings, now);
    let container = container_lookup::find_container(wanted, &containers, &seen.names)?;
    let desired = desired_instances(&containers, &host, &entries, now);
    let known = trouble.as_deref().map_or(Ok(&entries), Err);
    Ok(Explanation::Container(Box::new(report::container_report(
        container,
        &containers,
        &host,
        &desired,
        known,
        body,
        now,
    ))))
}

/// What the registry has of a container while Docker does not answer.
fn explain_without_docker(
    error: DockerError,
    wanted: &str,
    known: Result<RegistryState, String>,
) -> Result<Explanation, Error> {
    let trouble = error_chain(&error);
    match known {
        Err(registry) => Err(Error::Both { docker: trouble, registry }),
        Ok(RegistryState { entries, .. }) => {
            let then = "not compared with the container: Docker does not answer";
            let entries = registry_report::entries_of(ContainerIdentity { wanted, id: None }, &entries, Some(then));
            let container = wanted.to_owned();
            Ok(Explanation::Registry(RegistryReport { container, trouble, registry_trouble: None, entries }))
        }
    }
}

/// What the registry has of a container that Docker cannot describe, or no longer has.
async fn explain_from_registry(
    error: ContainerLookupError,
    docker: &docker::Client,
    wanted: &str,
    known: Result<RegistryState, String>,
) -> Result<Explanation, Error> {
    let (container, trouble, id, then) = match &error {
        ContainerLookupError::Unreadable { id, name } => {
            let trouble = format!("{error}: {}", docker_state::why_unreadable(docker, id).await);
            (
                format!("{name} ({})", id.get(..12).unwrap_or(id)),
                trouble,
                Some(id.as_str()),
                "register leaves it as it is",
            )
        }
        _ => (wanted.to_owned(), error.to_string(), None, "register removes it, unless --max-removal holds that back"),
    };
    let (entries, registry_trouble) = match known {
        Ok(RegistryState { entries, .. }) => {
            (registry_report::entries_of(ContainerIdentity { wanted, id }, &entries, Some(then)), None)
        }
        Err(trouble) => (Vec::new(), Some(trouble)),
    };
    if id.is_none() && entries.is_empty() {
        return Err(error.into());
    }
    Ok(Explanation::Registry(RegistryReport { container, trouble, registry_trouble, entries }))
}
