//! Reads the entries from the registry.

use std::time::Duration;

use tokio::time::timeout;

use crate::registry::{Entries, Ledger, LedgerError};

/// The time limit of the registry's answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the registry returned.
pub(super) struct RegistryState {
    /// The entries as they were read, not yet separated by owner.
    pub(super) entries: Entries,
    /// The address that its agent advertises.
    pub(super) advertised: String,
}

/// Reads the registry; an error says why it does not answer.
pub(super) async fn read_registry<L: Ledger>(ledger: &L) -> Result<RegistryState, String> {
    let reading = async { tokio::try_join!(ledger.entries(), ledger.advertised_address()) };
    let name = ledger.name();
    match timeout(ANSWER_TIMEOUT, reading).await {
        Ok(Ok((entries, advertised))) => Ok(RegistryState { entries, advertised }),
        Ok(Err(error @ LedgerError::Unavailable { .. })) => Err(format!("{name} cannot be reached: {}", error.cause())),
        Ok(Err(error)) => Err(format!("{name} does not answer: {}", error.cause())),
        Err(_) => Err(format!("{name} cannot be reached: no answer within {ANSWER_TIMEOUT:?}")),
    }
}
