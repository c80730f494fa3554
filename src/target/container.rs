//! A program in a container, which is told by a signal through Docker.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time;

use super::{
    program::{ReloadError, ReloadOutcome},
    running_process::NotRunningReason,
};
use crate::docker::{self, Client};

/// One container of one engine.
#[derive(Debug)]
pub(super) struct ContainerProcess {
    client: Client,
    name: String,
    signal: Signal,
    timeout: Duration,
}

impl ContainerProcess {
    pub(super) fn new(client: Client, name: String, signal: Signal, limit: Duration) -> Self {
        Self { client, name, signal, timeout: limit }
    }

    /// `None` if the container is running, otherwise why not.
    pub(super) async fn not_running_reason(&self) -> Result<Option<NotRunningReason>, ReloadError> {
        let life = self.with_timeout(self.client.container_status(&self.name)).await?;
        Ok(self.reason_for(life))
    }

    pub(super) async fn send_signal(&self) -> Result<ReloadOutcome, ReloadError> {
        let life = self.with_timeout(self.client.signal_container(&self.name, self.signal.as_str())).await?;
        Ok(self.reason_for(life).map_or(ReloadOutcome::Done, ReloadOutcome::NotRunning))
    }

    fn reason_for(&self, life: docker::ContainerStatus) -> Option<NotRunningReason> {
        let (name, docker) = (self.name.clone(), self.client.address().to_owned());
        match life {
            docker::ContainerStatus::Running => None,
            docker::ContainerStatus::Stopped => Some(NotRunningReason::ContainerStopped { name, docker }),
            docker::ContainerStatus::Missing => Some(NotRunningReason::ContainerMissing { name, docker }),
        }
    }

    async fn with_timeout<T>(&self, call: impl Future<Output = Result<T, docker::Error>>) -> Result<T, ReloadError> {
        match time::timeout(self.timeout, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ReloadError::DockerTimeout { docker: self.client.address().to_owned(), limit: self.timeout }),
        }
    }
}
