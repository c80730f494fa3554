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
mod checks;
mod claims;
mod crash_loop;
pub mod desired;
mod differences;
mod dry_run;
pub mod explain;
#[cfg(test)]
pub(crate) mod fixture;
pub mod gate;
mod health;
pub mod host;
mod image;
pub mod instances;
pub(crate) mod key_problems;
pub(crate) mod known_keys;
pub(crate) mod meta;
pub mod metadata;
mod naming;
mod ownership;
mod pass_error;
pub mod plan;
mod planner_state;
mod ports;
mod prober;
mod reachability;
mod reachable_host;
pub mod registrar;
mod removal;
mod removal_guard;
mod restored_state;
mod retry_state;
mod settings;
pub mod skip_reason;
mod tagged_addresses;
mod tags;
mod traffic;
pub mod value_problems;
mod write_log;
mod write_queue;

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use address::AddressSource;
pub use pass_error::PassError;
use registrar::Registrar;
pub use settings::{Adopt, DeregisterPolicy, MaxRemoval, OnExit, RegisterSettingsError, Settings, StartingPolicy};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    core::{
        condition,
        reconcile::{self, LoopTimings, NextPass, PassCause, Reconcile},
        store::Store,
        supervise::{TaskPanicked, TaskSet},
    },
    docker,
    registry::{Ledger, LedgerError},
};

/// The longest time until `--once` requests a second list, which confirms what the first one lacked.
const SECOND_LIST_AFTER: Duration = Duration::from_secs(2);

/// The time limit of `--on-exit` at a clean stop.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The time between two passes of `--once`.
const ONCE_INTERVAL: Duration = Duration::from_millis(100);
/// After this time `--once` and `--dry-run` log what they wait for.
const LOG_WAITING_AFTER: Duration = Duration::from_secs(1);

/// Runs until `end` is cancelled. If `stop`, of which `end` must be a child, is cancelled too, [`OnExit`] decides what
/// happens to the entries. Otherwise another run takes over, and they stay as they are.
///
/// # Errors
/// A task panicked, or [`OnExit`] could not be carried out.
pub async fn run<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: Arc<L>,
    stop: CancellationToken,
    end: CancellationToken,
) -> Result<(), RegisterError> {
    let containers = Store::default();
    let (report, mut left) = oneshot::channel();
    let mut tasks = TaskSet::new(end.clone());
    tasks.spawn("docker watch", docker::watch(docker.clone(), containers.clone(), settings.resync, end.clone()));
    tasks.spawn("registrar", async move {
        let pace = LoopTimings::with_resync(settings.resync);
        let mut registrar = Registrar::new(settings, docker, containers.clone(), ledger);
        let passes = reconcile::run(&mut registrar, containers.bell(), pace, end.clone());
        // Dropping a pass is harmless: what it did not complete is still different at the next start.
        tokio::select! {
            () = passes => {}
            () = end.cancelled() => {}
        }
        // Sending cannot fail: the receiver outlives the tasks.
        drop(report.send(shut_down(&mut registrar, stop.is_cancelled()).await));
    });
    tasks.join().await?;
    left.try_recv().unwrap_or(Ok(()))
}

/// Why [`run`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A task panicked.
    #[error(transparent)]
    Panicked(#[from] TaskPanicked),
    /// The registry did not carry out what [`OnExit`] requires.
    #[error("--on-exit: entries stay in the registry as they are")]
    OnExit(#[source] PassError),
    /// The registry did not answer in time.
    #[error("--on-exit: the registry did not answer within {0:?}: entries stay as they are")]
    TimedOut(Duration),
}

/// Waits for the writes in flight, even if another run takes over: they must not overwrite its entries.
async fn shut_down<L: Ledger>(registrar: &mut Registrar<L>, is_stop: bool) -> Result<(), RegisterError> {
    let leaving = async {
        registrar.finish_writes().await;
        if is_stop { registrar.apply_on_exit().await } else { Ok(()) }
    };
    let left = tokio::time::timeout(EXIT_TIMEOUT, leaving).await.map_err(|_| RegisterError::TimedOut(EXIT_TIMEOUT))?;
    left.map_err(RegisterError::OnExit)
}

/// The registry could not be reached at the start.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {tries} tries to reach the registry (--retry-attempts)")]
pub struct RegistryUnreachable {
    tries: u64,
    #[source]
    source: LedgerError,
}

/// Waits until the registry answers, as registrator does at the start: `--retry-attempts` more tries after the first.
/// Returns immediately if the number of tries is unlimited, since every pass waits for the registry by itself.
///
/// # Errors
/// The registry did not answer in all these tries.
pub async fn wait_for_registry<L: Ledger>(settings: &Settings, ledger: &L) -> Result<(), RegistryUnreachable> {
    let Ok(more) = u64::try_from(settings.retry_attempts) else { return Ok(()) };
    let tries = more.saturating_add(1);
    for number in 1.. {
        match ledger.advertised_address().await {
            Ok(_) => break,
            Err(source) if number >= tries => return Err(RegistryUnreachable { tries, source }),
            Err(error) => tracing::warn!("try {number} of {tries}: {}", condition::error_chain(&error)),
        }
        tokio::time::sleep(settings.retry_interval).await;
    }
    Ok(())
}

/// Why `--once` or `--dry-run` gave up.
#[derive(Debug, thiserror::Error)]
pub enum RegisterOnceError {
    /// A problem persisted, or something that was awaited did not happen in time.
    #[error("not up to date within {} s: {}", .0.as_secs_f64(), .1.join("; "))]
    TimedOut(Duration, Vec<String>),
    /// Waiting cannot help.
    #[error("{0}")]
    Unrecoverable(String),
    /// Something could not be registered, and waiting cannot help.
    #[error("not everything could be registered: {}", .0.join("; "))]
    Incomplete(Vec<String>),
}

/// Makes one complete pass, or with `dry_run` only prints its plan. Retries failures, and waits for containers that are
/// not ready, until `deadline`.
///
/// # Errors
/// Docker or the registry failed until the deadline, the registry refused a write, or another writer has an id.
pub async fn once<L: Ledger>(
    settings: Settings,
    docker: docker::Client,
    ledger: Arc<L>,
    dry_run: bool,
    deadline: Duration,
) -> Result<(), RegisterOnceError> {
    let containers = Store::default();
    let stop = CancellationToken::new();
    let watching =
        docker::watch(docker.clone(), containers.clone(), settings.resync.min(SECOND_LIST_AFTER), stop.clone());
    let mut registrar = Registrar::new(settings, docker.clone(), containers.clone(), ledger);
    let begun = Instant::now();
    let until = begun + deadline;
    let unlisted = OnceLock::new();
    let work = async {
        let mut told = BTreeSet::new();
        let mut cause = PassCause::Resync;
        if let Err(error) = docker.engine().await {
            let reason = unlisted.get_or_init(|| condition::error_chain(&error));
            // If access to Docker is denied, it cannot list its containers either.
            if condition::io_kind(&error) == Some(std::io::ErrorKind::PermissionDenied) {
                return Err(RegisterOnceError::Unrecoverable(reason.clone()));
            }
        }
        loop {
            let done = if dry_run { print_plan(&mut registrar).await } else { registrar.pass(cause).await };
            if let Some(reason) = registrar.permanent_failure() {
                return Err(RegisterOnceError::Unrecoverable(reason));
            }
            let is_listed = containers.snapshot().complete;
            if is_listed && done != NextPass::Retry && (dry_run || !registrar.is_pending()) {
                return Ok(());
            }
            // A short failure is not logged; a longer one is logged once.
            if begun.elapsed() >= LOG_WAITING_AFTER {
                for reason in registrar.waiting_for(unlisted.get()) {
                    if told.insert(reason.clone()) {
                        tracing::info!("waiting, at most until the deadline of {deadline:?}: {reason}");
                    }
                }
            }
            cause = if done == NextPass::Retry { PassCause::Resync } else { PassCause::Wake };
            tokio::time::sleep(ONCE_INTERVAL).await;
        }
    };
    tokio::select! {
        done = work => done?,
        () = watching => {}
        () = tokio::time::sleep_until(until) => return Err(RegisterOnceError::TimedOut(deadline, registrar.waiting_for(unlisted.get()))),
    }
    let undone = registrar.not_registered();
    if undone.is_empty() { Ok(()) } else { Err(RegisterOnceError::Incomplete(undone)) }
}

/// Prints the plan, unless a container is still to be inspected: its entries would be missing.
async fn print_plan<L: Ledger>(registrar: &mut Registrar<L>) -> NextPass {
    match registrar.plan().await {
        Ok(None) => NextPass::Retry,
        Ok(Some((desired, _))) if !desired.unreadable.is_empty() => NextPass::Retry,
        Ok(Some((desired, plan))) => {
            registrar.log_notes(&desired);
            let lines = registrar.describe(&desired, plan).into_iter().map(|line| line + "\n");
            if let Err(error) = std::io::stdout().write_all(lines.collect::<String>().as_bytes()) {
                tracing::error!("cannot write to standard output: {error}");
            }
            NextPass::Idle
        }
        Err(error) => {
            registrar.record_failure(&error);
            NextPass::Retry
        }
    }
}
