//! `portreeve register`: keeps a registry's record of one host's containers right.
//!
//! ```text
//! Store<container> --desired--> instances --+
//!                                           +--plan--> steps --apply--> Ledger
//! Ledger ---------entries-----> entries ----+
//! ```
//!
//! [`metadata`], [`instances`], [`desired`] and [`plan`] are pure; [`registrar`] is the loop body around them.

mod address;
mod brake;
mod checks;
mod crash;
pub mod desired;
#[cfg(test)]
pub(crate) mod fixture;
mod health;
mod image;
pub mod instances;
mod memory;
mod meta;
pub mod metadata;
pub mod plan;
pub mod registrar;
mod settings;
mod tagged;
mod tags;

use std::{sync::Arc, time::Duration};

use registrar::Registrar;
pub use settings::{Adopt, Deregister, MaxRemoval, OnExit, Settings, SettingsError, Starting};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    condition, docker,
    reconcile::{self, Cause, Next, Pace, Reconcile},
    registry::Ledger,
    store::Store,
    supervise::{Panicked, Tasks},
};

/// How long the entries may take to be taken back at a clean stop.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// Runs until `stop` is cancelled.
///
/// # Errors
/// A task panicked.
pub async fn run<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: Arc<L>,
    stop: CancellationToken,
) -> Result<(), Panicked> {
    let containers = Store::default();
    let mut tasks = Tasks::new(stop.clone());
    tasks.spawn(docker::watch(docker.clone(), containers.clone(), settings.resync, stop.clone()));
    tasks.spawn(async move {
        let pace = Pace::every(settings.resync);
        let mut registrar = Registrar::new(settings, docker, containers.clone(), ledger);
        let passes = reconcile::run(&mut registrar, containers.bell(), pace, stop.clone());
        // Dropping a pass is harmless: what it did not complete is still different at the next start.
        tokio::select! {
            () = passes => {}
            () = stop.cancelled() => {}
        }
        leave(&mut registrar).await;
    });
    tasks.join().await
}

async fn leave<L: Ledger>(registrar: &mut Registrar<L>) {
    match tokio::time::timeout(LEAVE_WITHIN, registrar.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!("entries stay in the registry: {}", condition::chain(&error)),
        Err(_) => tracing::error!("entries stay in the registry: it did not answer within {LEAVE_WITHIN:?}"),
    }
}

/// Why `--once` or `--dry-run` gave up.
#[derive(Debug, thiserror::Error)]
#[error("not in line within {0:?}: see the warnings above")]
pub struct Late(Duration);

/// Makes one complete pass, or with `dry_run` only prints what it would do. Trouble is waited out until `deadline`.
///
/// # Errors
/// Docker or the registry were in trouble for so long.
pub async fn once<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: Arc<L>,
    dry_run: bool,
    deadline: Duration,
) -> Result<(), Late> {
    let containers = Store::default();
    let stop = CancellationToken::new();
    let watching = docker::watch(docker.clone(), containers.clone(), settings.resync, stop.clone());
    let mut registrar = Registrar::new(settings, docker, containers.clone(), ledger);
    let mut bell = containers.bell();
    let until = Instant::now() + deadline;
    let work = async {
        while !containers.snapshot().complete {
            if bell.changed().await.is_err() {
                return;
            }
        }
        loop {
            let done = if dry_run { print_plan(&mut registrar).await } else { registrar.pass(Cause::Resync).await };
            if done != Next::Retry {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::select! {
        () = work => Ok(()),
        () = watching => Ok(()),
        () = tokio::time::sleep_until(until) => Err(Late(deadline)),
    }
}

async fn print_plan<L: Ledger>(registrar: &mut Registrar<L>) -> Next {
    match registrar.look().await {
        Ok(None) => Next::Retry,
        Ok(Some((_, plan))) => {
            plan::by_urgency(plan).concat().iter().for_each(|step| println!("{step}"));
            Next::Idle
        }
        Err(error) => {
            tracing::warn!("{}", condition::chain(&error));
            Next::Retry
        }
    }
}
