//! `portreeve explain`: reads Docker and the registry once, and reports which ports of one container are registered,
//! which are not, and why.
//!
//! Everything except this file, `docker_state` and `registry_state` is pure, and calls the same functions as
//! `register`.

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

/// The placeholder for the address of an agent that does not answer.
const UNKNOWN_ADDRESS: &str = "address-of-the-agent";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The argument names no container, or several.
    #[error(transparent)]
    Find(#[from] ContainerLookupError),
    /// Neither Docker nor the registry answers.
    #[error("{docker}; {registry}")]
    Both {
        /// Why Docker does not answer.
        docker: String,
        /// Why the registry does not answer.
        registry: String,
    },
}

impl Error {
    /// Whether the command line must be changed.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Find(ContainerLookupError::Ambiguous { .. }))
    }
}

/// Everything that is known about a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Explanation {
    /// Docker inspected the container.
    Container(Box<ContainerReport>),
    /// Only the registry has entries of it.
    Registry(RegistryReport),
}

impl Explanation {
    /// Whether every port that should be registered is registered and gets traffic.
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

/// Explains the container with the name, id or id prefix `wanted`. `body` is the registration body of an instance. If
/// Docker or the registry does not answer, reports what the other one knows.
///
/// # Errors
/// There is no such container, or neither Docker nor the registry answered.
pub async fn explain<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: &L,
    body: fn(&Instance) -> Value,
    wanted: &str,
    deadline: Duration,
) -> Result<Explanation, Error> {
    let registry = || registry_state::read_registry(ledger);
    let docker_state = match docker_state::read_docker(&docker, &settings, wanted, deadline).await {
        Ok(docker_state) => docker_state,
        Err(error) => return explain_without_docker(error, wanted, registry().await),
    };
    let containers = docker_state.containers;
    let lookup_error = match container_lookup::find_container(wanted, &containers, &docker_state.names) {
        Ok(_) => None,
        Err(error @ ContainerLookupError::Ambiguous { .. }) => return Err(error.into()),
        Err(error) => Some(error),
    };
    let registry_result = registry().await;
    if let Some(error) = lookup_error {
        return explain_from_registry(error, &docker, wanted, registry_result).await;
    }
    let (read, advertised, problem) = match registry_result {
        Ok(RegistryState { entries, advertised }) => (entries, advertised, None),
        Err(problem) => (Entries::default(), UNKNOWN_ADDRESS.to_owned(), Some(problem)),
    };
    let host = Host::new(docker_state.engine, advertised, settings);
    let now = Timestamp::now();
    let entries = ownership::classify(read, &host, &containers, &BTreeMap::new());
    let containers = restore_state(&containers, &entries, &host.settings, now);
    let container = container_lookup::find_container(wanted, &containers, &docker_state.names)?;
    let desired = desired_instances(&containers, &host, &entries, now);
    let registry_result = problem.as_deref().map_or(Ok(&entries), Err);
    Ok(Explanation::Container(Box::new(report::container_report(
        container,
        &containers,
        &host,
        &desired,
        registry_result,
        body,
        now,
    ))))
}

/// Reports the entries of a container while Docker does not answer.
fn explain_without_docker(
    error: DockerError,
    wanted: &str,
    registry_result: Result<RegistryState, String>,
) -> Result<Explanation, Error> {
    let problem = error_chain(&error);
    match registry_result {
        Err(registry) => Err(Error::Both { docker: problem, registry }),
        Ok(RegistryState { entries, .. }) => {
            let next_action = "not compared with the container: Docker does not answer";
            let entries =
                registry_report::entries_of(ContainerIdentity { wanted, id: None }, &entries, Some(next_action));
            let container = wanted.to_owned();
            Ok(Explanation::Registry(RegistryReport { container, trouble: problem, registry_trouble: None, entries }))
        }
    }
}

/// Reports the entries of a container that Docker cannot inspect or no longer has.
async fn explain_from_registry(
    error: ContainerLookupError,
    docker: &docker::Client,
    wanted: &str,
    registry_result: Result<RegistryState, String>,
) -> Result<Explanation, Error> {
    let (container, problem, id, next_action) = match &error {
        ContainerLookupError::Unreadable { id, name } => {
            let problem = format!("{error}: {}", docker_state::why_unreadable(docker, id).await);
            (format!("{name} ({})", docker::short_id(id)), problem, Some(id.as_str()), "register leaves it as it is")
        }
        _ => (wanted.to_owned(), error.to_string(), None, "register removes it, unless --max-removal defers that"),
    };
    let (entries, registry_trouble) = match registry_result {
        Ok(RegistryState { entries, .. }) => {
            (registry_report::entries_of(ContainerIdentity { wanted, id }, &entries, Some(next_action)), None)
        }
        Err(problem) => (Vec::new(), Some(problem)),
    };
    if id.is_none() && entries.is_empty() {
        return Err(error.into());
    }
    Ok(Explanation::Registry(RegistryReport { container, trouble: problem, registry_trouble, entries }))
}
