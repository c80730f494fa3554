//! Reads all containers from Docker: one full list, and an inspection of each.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::container_lookup::{self, ContainerLookupError};
use crate::{
    core::{condition::error_chain, store::Store},
    docker::{self, Engine, Observation},
    register::settings::Settings,
};

/// The time limit for Docker's own description, and for the list of its containers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The extra time for the inspection of the requested container.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why Docker could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DockerError {
    /// Docker failed.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// Docker did not answer in time.
    #[error("Docker at {address} did not {action} within {within:?}")]
    TimedOut { address: String, action: &'static str, within: Duration },
}

/// All containers.
pub(super) struct DockerState {
    pub(super) engine: Engine,
    pub(super) containers: Arc<BTreeMap<String, Observation>>,
    /// Names by id, if some containers could not be inspected.
    pub(super) names: BTreeMap<String, String>,
}

/// Reads all containers, and waits up to [`INSPECT_TIMEOUT`] longer for the container `wanted`.
pub(super) async fn read_docker(
    docker: &docker::Client,
    settings: &Settings,
    wanted: &str,
    deadline: Duration,
) -> Result<DockerState, DockerError> {
    let timed_out = |action, within| DockerError::TimedOut { address: docker.address().to_owned(), action, within };
    let within = ANSWER_TIMEOUT.min(deadline);
    let engine = timeout(within, docker.engine()).await.map_err(|_| timed_out("describe itself", within))??;
    let containers = Store::default();
    let watching = docker::watch(docker.clone(), containers.clone(), settings.resync, CancellationToken::new());
    let reading = async {
        let mut bell = containers.bell();
        let is_listed = || containers.snapshot().complete || !containers.snapshot().entries.is_empty();
        let listed = async { while !is_listed() && bell.changed().await.is_ok() {} };
        timeout(within, listed).await.map_err(|_| timed_out("list its containers", within))?;
        let inspected_all = async { while !containers.snapshot().complete && bell.changed().await.is_ok() {} };
        timeout(deadline, inspected_all).await.map_err(|_| timed_out("describe its containers", deadline))?;
        let mut names = BTreeMap::new();
        let is_unreadable = |observation: &Observation| matches!(observation, Observation::Unreadable);
        if containers.snapshot().entries.values().any(is_unreadable) {
            names = timeout(within, docker.container_names())
                .await
                .map_err(|_| timed_out("list its containers", within))??;
            let is_awaited = || {
                let found =
                    container_lookup::find_container(wanted, &containers.snapshot().entries, &names).map(|_| ());
                matches!(found, Err(ContainerLookupError::Unreadable { .. }))
            };
            let inspected = async { while is_awaited() && bell.changed().await.is_ok() {} };
            // If it does not finish in time, the container counts as unreadable.
            let _ = timeout(INSPECT_TIMEOUT, inspected).await;
        }
        Ok(DockerState { engine, containers: containers.snapshot().entries, names })
    };
    tokio::select! {
        state = reading => state,
        // The watch never ends by itself.
        () = watching => Err(timed_out("describe its containers", deadline)),
    }
}

/// Why a container cannot be inspected.
pub(super) async fn why_unreadable(docker: &docker::Client, id: &str) -> String {
    match timeout(INSPECT_TIMEOUT, docker.container_status(id)).await {
        Ok(Ok(_)) => "the inspection succeeds now; run explain again".to_owned(),
        Ok(Err(error)) => error_chain(&error),
        Err(_) => format!("the inspection did not finish within {INSPECT_TIMEOUT:?}"),
    }
}
