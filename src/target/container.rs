//! A program in a container. Docker sends it the signal that reloads it.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time;

use super::{
    program::{ReloadError, ReloadOutcome},
    running_process::NotRunningReason,
};
use crate::docker::{self, Client};

/// The main process of a container.
#[derive(Debug)]
pub(super) struct ContainerProcess {
    client: Client,
    name: String,
    signal: Signal,
    timeout: Duration,
}

/// Docker has not answered in time.
#[derive(Debug, thiserror::Error)]
#[error("Docker at {docker} did not answer within {timeout:?}")]
struct DockerTimeout {
    docker: String,
    timeout: Duration,
}

impl ContainerProcess {
    pub(super) fn new(client: Client, name: String, signal: Signal, timeout: Duration) -> Self {
        Self { client, name, signal, timeout }
    }

    /// `None` if the container is running, otherwise why not.
    pub(super) async fn not_running_reason(&self) -> Result<Option<NotRunningReason>, ReloadError> {
        let status = self.with_timeout(self.client.container_status(&self.name)).await?;
        Ok(self.reason_for(status))
    }

    pub(super) async fn send_signal(&self) -> Result<ReloadOutcome, ReloadError> {
        let status = self.with_timeout(self.client.signal_container(&self.name, self.signal.as_str())).await?;
        Ok(self.reason_for(status).map_or(ReloadOutcome::Done, ReloadOutcome::NotRunning))
    }

    fn reason_for(&self, status: docker::ContainerStatus) -> Option<NotRunningReason> {
        let (name, docker) = (self.name.clone(), self.client.address().to_owned());
        match status {
            docker::ContainerStatus::Running => None,
            docker::ContainerStatus::Stopped => Some(NotRunningReason::ContainerStopped { name, docker }),
            docker::ContainerStatus::Missing => Some(NotRunningReason::ContainerMissing { name, docker }),
        }
    }

    async fn with_timeout<T>(&self, call: impl Future<Output = Result<T, docker::Error>>) -> Result<T, ReloadError> {
        match time::timeout(self.timeout, call).await {
            Ok(result) => result.map_err(ReloadError::not_notified),
            Err(_) => {
                let docker = self.client.address().to_owned();
                Err(ReloadError::not_notified(DockerTimeout { docker, timeout: self.timeout }))
            }
        }
    }
}
