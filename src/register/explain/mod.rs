//! `portreeve explain`: looks at Docker and at the registry once, and says of one container what is registered, what is
//! not, and why.
//!
//! `report`, `held` and `find` are pure, and ask the same functions as `register` does; this file only fetches.

mod docker_half;
mod find;
mod held;
mod key_notes;
mod registry_half;
mod registry_report;
mod report;
mod text;
mod traffic;

use std::{collections::BTreeMap, fmt, time::Duration};

pub use find::FindError;
pub use held::{Held, Left};
use jiff::Timestamp;
pub use registry_report::{RegistryEntry, RegistryReport};
pub use report::{Key, PortReport, Registered, Report, Setting, Subject};
use serde::Serialize;
use serde_json::Value;
pub use traffic::Traffic;

use self::{docker_half::DockerError, registry_half::Known, registry_report::Names};
use super::{desired::desired, instances::Host, ownership, recall::recall, settings::Settings};
use crate::{
    core::condition::chain,
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
    Find(#[from] FindError),
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
        matches!(self, Self::Find(FindError::Ambiguous { .. }))
    }
}

/// All that is known of a container.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Explanation {
    /// Docker has described it.
    Container(Box<Report>),
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
    let registry = || registry_half::known(ledger);
    let seen = match docker_half::look(&docker, &settings, wanted, deadline).await {
        Ok(seen) => seen,
        Err(error) => return without_docker(error, wanted, registry().await),
    };
    let containers = seen.containers;
    let unseen = match find::find(wanted, &containers, &seen.names) {
        Ok(_) => None,
        Err(error @ FindError::Ambiguous { .. }) => return Err(error.into()),
        Err(error) => Some(error),
    };
    let known = registry().await;
    if let Some(error) = unseen {
        return not_described(error, &docker, wanted, known).await;
    }
    let (read, advertised, trouble) = match known {
        Ok(Known { entries, advertised }) => (entries, advertised, None),
        Err(trouble) => (Entries::default(), UNKNOWN_ADDRESS.to_owned(), Some(trouble)),
    };
    let host = Host::new(seen.engine, advertised, settings);
    let now = Timestamp::now();
    let entries = ownership::settle(read, &host, &containers, &BTreeMap::new());
    let containers = recall(&containers, &entries, &host.settings, now);
    let container = find::find(wanted, &containers, &seen.names)?;
    let desired = desired(&containers, &host, &entries, now);
    let known = trouble.as_deref().map_or(Ok(&entries), Err);
    Ok(Explanation::Container(Box::new(report::report(container, &containers, &host, &desired, known, body, now))))
}

/// What the registry has of a container while Docker does not answer.
fn without_docker(error: DockerError, wanted: &str, known: Result<Known, String>) -> Result<Explanation, Error> {
    let trouble = chain(&error);
    match known {
        Err(registry) => Err(Error::Both { docker: trouble, registry }),
        Ok(Known { entries, .. }) => {
            let then = "not compared with the container: Docker does not answer";
            let entries = registry_report::entries(Names { wanted, id: None }, &entries, Some(then));
            let container = wanted.to_owned();
            Ok(Explanation::Registry(RegistryReport { container, trouble, registry_trouble: None, entries }))
        }
    }
}

/// What the registry has of a container that Docker cannot describe, or no longer has.
async fn not_described(
    error: FindError,
    docker: &docker::Client,
    wanted: &str,
    known: Result<Known, String>,
) -> Result<Explanation, Error> {
    let (container, trouble, id, then) = match &error {
        FindError::Unreadable { id, name } => {
            let trouble = format!("{error}: {}", docker_half::why_unreadable(docker, id).await);
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
        Ok(Known { entries, .. }) => (registry_report::entries(Names { wanted, id }, &entries, Some(then)), None),
        Err(trouble) => (Vec::new(), Some(trouble)),
    };
    if id.is_none() && entries.is_empty() {
        return Err(error.into());
    }
    Ok(Explanation::Registry(RegistryReport { container, trouble, registry_trouble, entries }))
}
