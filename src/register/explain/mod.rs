//! `portreeve explain`: looks at Docker and at the registry once, and says of one container what is registered, what is
//! not, and why.
//!
//! `report`, `held` and `find` are pure, and ask the same functions as `register` does; this file only fetches.

mod find;
mod held;
mod report;
mod text;

use std::{collections::BTreeMap, time::Duration};

pub use find::FindError;
pub use held::{Held, Left};
use jiff::Timestamp;
pub use report::{Key, PortReport, Registered, Report, Setting, Subject};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{desired::desired, instances::Host, ownership, recall::recall, settings::Settings};
use crate::{
    docker::{self, Sight},
    registry::{Instance, Ledger, LedgerError},
    store::{Snapshot, Store},
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container is meant, or several are.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The engine is in trouble.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// The registry is in trouble.
    #[error(transparent)]
    Registry(#[from] LedgerError),
    /// The engine did not describe all its containers.
    #[error("Docker did not describe its containers within {0:?}: see the warnings above")]
    Late(Duration),
}

impl Error {
    /// Whether the user has to ask another question.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Find(FindError::Ambiguous { .. }))
    }
}

/// Explains the container that `wanted` names: its name, its id, or the beginning of its id. `body` is what the registry
/// is sent for an instance.
///
/// # Errors
/// There is no such container, or one of both sides did not answer.
pub async fn explain<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: &L,
    body: fn(&Instance) -> Value,
    wanted: &str,
    deadline: Duration,
) -> Result<Report, Error> {
    let engine = docker.engine().await?;
    let containers = look(docker, &settings, deadline).await?.entries;
    // A name that nobody has is told without a registry.
    find::find(wanted, &containers)?;
    let host = Host::new(engine, ledger.advertised_address().await?, settings);
    let now = Timestamp::now();
    let entries = ownership::settle(ledger.entries().await?, &host, &containers, &BTreeMap::new());
    let containers = recall(&containers, &entries, &host.settings, now);
    let container = find::find(wanted, &containers)?;
    let desired = desired(&containers, &host, &entries, now);
    Ok(report::report(container, &containers, &host, &desired, &entries, body, now))
}

/// One full list, every container of it looked at.
async fn look(
    docker: docker::Client,
    settings: &Settings,
    deadline: Duration,
) -> Result<Snapshot<String, Sight>, Error> {
    let containers = Store::default();
    let mut bell = containers.bell();
    let watching = docker::watch(docker, containers.clone(), settings.resync, CancellationToken::new());
    let looked = async { while !containers.snapshot().complete && bell.changed().await.is_ok() {} };
    tokio::select! {
        () = looked => Ok(containers.snapshot()),
        () = watching => Ok(containers.snapshot()),
        () = tokio::time::sleep(deadline) => Err(Error::Late(deadline)),
    }
}
