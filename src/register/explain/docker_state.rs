//! What Docker has: one full list, and every container of it looked at.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::container_lookup::{self, ContainerLookupError};
use crate::{
    core::{condition::error_chain, store::Store},
    docker::{self, Engine, Observation},
    register::settings::Settings,
};

/// How long Docker may take until it has told who it is, and until it has listed its containers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a container that is asked for may take longer than the others.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why Docker told nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum DockerError {
    /// It is in trouble.
    #[error(transparent)]
    Docker(#[from] docker::Error),
    /// It takes too long.
    #[error("Docker at {address} did not {action} within {within:?}")]
    TimedOut { address: String, action: &'static str, within: Duration },
}

/// All containers.
pub(super) struct DockerState {
    pub(super) engine: Engine,
    pub(super) containers: Arc<BTreeMap<String, Observation>>,
    /// Names by id, if some of them were not described.
    pub(super) names: BTreeMap<String, String>,
}

/// Looks at all containers, and waits for the one that is wanted a little longer.
pub(super) async fn read_docker(
    docker: &docker::Client,
    settings: &Settings,
    wanted: &str,
    deadline: Duration,
) -> Result<DockerState, DockerError> {
    let late = |action, within| DockerError::TimedOut { address: docker.address().to_owned(), action, within };
    let within = ANSWER_TIMEOUT.min(deadline);
    let engine = timeout(within, docker.engine()).await.map_err(|_| late("describe itself", within))??;
    let containers = Store::default();
    let watching = docker::watch(docker.clone(), containers.clone(), settings.resync, CancellationToken::new());
    let looking = async {
        let mut bell = containers.bell();
        let is_listed = || containers.snapshot().complete || !containers.snapshot().entries.is_empty();
        let listed = async { while !is_listed() && bell.changed().await.is_ok() {} };
        timeout(within, listed).await.map_err(|_| late("list its containers", within))?;
        let described = async { while !containers.snapshot().complete && bell.changed().await.is_ok() {} };
        timeout(deadline, described).await.map_err(|_| late("describe its containers", deadline))?;
        let mut names = BTreeMap::new();
        let is_unreadable = |sight: &Observation| matches!(sight, Observation::Unreadable);
        if containers.snapshot().entries.values().any(is_unreadable) {
            names =
                timeout(within, docker.container_names()).await.map_err(|_| late("list its containers", within))??;
            let is_awaited = || {
                let found =
                    container_lookup::find_container(wanted, &containers.snapshot().entries, &names).map(|_| ());
                matches!(found, Err(ContainerLookupError::Unreadable { .. }))
            };
            let inspected = async { while is_awaited() && bell.changed().await.is_ok() {} };
            // If it is late, that is what there is to say.
            let _ = timeout(INSPECT_TIMEOUT, inspected).await;
        }
        Ok(DockerState { engine, containers: containers.snapshot().entries, names })
    };
    tokio::select! {
        seen = looking => seen,
        // It never ends by itself.
        () = watching => Err(late("describe its containers", deadline)),
    }
}

/// Why a container cannot be described.
pub(super) async fn why_unreadable(docker: &docker::Client, id: &str) -> String {
    match timeout(INSPECT_TIMEOUT, docker.container_status(id)).await {
        Ok(Ok(_)) => "it does now; ask again".to_owned(),
        Ok(Err(error)) => error_chain(&error),
        Err(_) => format!("it did not answer to an inspection within {INSPECT_TIMEOUT:?}"),
    }
}
