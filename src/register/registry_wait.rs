//! `--retry-attempts`: how often the registry is tried at the start.

use super::settings::Settings;
use crate::{
    core::condition,
    registry::{Ledger, LedgerError},
};

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
