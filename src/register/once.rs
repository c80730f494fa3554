//! `--once` and `--dry-run`: a single complete pass.

use std::{
    collections::BTreeSet,
    io::Write,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{registrar::Registrar, settings::Settings};
use crate::{
    core::{
        condition,
        reconcile::{NextPass, PassCause, Reconcile},
        store::Store,
    },
    docker,
    registry::Ledger,
};

/// A second list is requested after this time at the latest. It confirms what the first one lacked.
const SECOND_LIST_AFTER: Duration = Duration::from_secs(2);
/// The time between two tries.
const ONCE_INTERVAL: Duration = Duration::from_millis(100);
/// After this time, the reasons for the wait are logged.
const LOG_WAITING_AFTER: Duration = Duration::from_secs(1);

/// Why `--once` or `--dry-run` gave up.
#[derive(Debug, thiserror::Error)]
pub enum RegisterOnceError {
    /// The deadline passed, for these reasons.
    #[error("not up to date within {} s: {}", .0.as_secs_f64(), .1.join("; "))]
    TimedOut(Duration, Vec<String>),
    /// A retry cannot succeed.
    #[error("{0}")]
    Unrecoverable(String),
    /// Something could not be registered, and a retry cannot succeed.
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
    let started_at = Instant::now();
    let end = started_at + deadline;
    let list_error = OnceLock::new();
    let work = async {
        let mut logged = BTreeSet::new();
        let mut cause = PassCause::Resync;
        if let Err(error) = docker.engine().await {
            let reason = list_error.get_or_init(|| condition::error_chain(&error));
            // If access to Docker is denied, it cannot list its containers either.
            if condition::io_kind(&error) == Some(std::io::ErrorKind::PermissionDenied) {
                return Err(RegisterOnceError::Unrecoverable(reason.clone()));
            }
        }
        loop {
            let next = if dry_run { print_plan(&mut registrar).await } else { registrar.pass(cause).await };
            if let Some(reason) = registrar.permanent_failure() {
                return Err(RegisterOnceError::Unrecoverable(reason));
            }
            let is_listed = containers.snapshot().complete;
            if is_listed && next != NextPass::Retry && (dry_run || !registrar.is_pending()) {
                return Ok(());
            }
            // A short failure is not logged; a longer one is logged once.
            if started_at.elapsed() >= LOG_WAITING_AFTER {
                for reason in registrar.waiting_for(list_error.get()) {
                    if logged.insert(reason.clone()) {
                        tracing::info!("waiting, at most until the deadline of {deadline:?}: {reason}");
                    }
                }
            }
            cause = if next == NextPass::Retry { PassCause::Resync } else { PassCause::Wake };
            tokio::time::sleep(ONCE_INTERVAL).await;
        }
    };
    tokio::select! {
        result = work => result?,
        () = watching => {}
        () = tokio::time::sleep_until(end) => return Err(RegisterOnceError::TimedOut(deadline, registrar.waiting_for(list_error.get()))),
    }
    let missing = registrar.not_registered();
    if missing.is_empty() { Ok(()) } else { Err(RegisterOnceError::Incomplete(missing)) }
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
