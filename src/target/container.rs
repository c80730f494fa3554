//! A program in a container, which is told by a signal through Docker.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time;

use super::{
    process::Absent,
    program::{ReloadError, Sent},
};
use crate::docker::{self, Client};

/// One container of one engine.
#[derive(Debug)]
pub(super) struct Container {
    client: Client,
    name: String,
    signal: Signal,
    limit: Duration,
}

impl Container {
    pub(super) fn new(client: Client, name: String, signal: Signal, limit: Duration) -> Self {
        Self { client, name, signal, limit }
    }

    /// `None` if the container is running, otherwise why not.
    pub(super) async fn absent(&self) -> Result<Option<Absent>, ReloadError> {
        let life = self.within(self.client.life(&self.name)).await?;
        Ok(self.dead(life))
    }

    pub(super) async fn tell(&self) -> Result<Sent, ReloadError> {
        let life = self.within(self.client.signal(&self.name, self.signal.as_str())).await?;
        Ok(self.dead(life).map_or(Sent::Done, Sent::NotRunning))
    }

    fn dead(&self, life: docker::Life) -> Option<Absent> {
        let (name, docker) = (self.name.clone(), self.client.address().to_owned());
        match life {
            docker::Life::Running => None,
            docker::Life::Stopped => Some(Absent::Stopped { name, docker }),
            docker::Life::Missing => Some(Absent::Missing { name, docker }),
        }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, docker::Error>>) -> Result<T, ReloadError> {
        match time::timeout(self.limit, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(ReloadError::Silent { docker: self.client.address().to_owned(), limit: self.limit }),
        }
    }
}
