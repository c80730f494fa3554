//! What the registry has.

use std::time::Duration;

use tokio::time::timeout;

use crate::registry::{Entries, Ledger, LedgerError};

/// How long the registry may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What the registry knows.
pub(super) struct RegistryState {
    /// As they were read: not told apart by whose they are.
    pub(super) entries: Entries,
    /// The address of its agent.
    pub(super) advertised: String,
}

/// Asks it; an error tells in words why it does not answer.
pub(super) async fn read_registry<L: Ledger>(ledger: &L) -> Result<RegistryState, String> {
    let asking = async { tokio::try_join!(ledger.entries(), ledger.advertised_address()) };
    let name = ledger.name();
    match timeout(ANSWER_TIMEOUT, asking).await {
        Ok(Ok((entries, advertised))) => Ok(RegistryState { entries, advertised }),
        Ok(Err(error @ LedgerError::Unavailable { .. })) => Err(format!("{name} cannot be reached: {}", error.cause())),
        Ok(Err(error)) => Err(format!("{name} does not answer: {}", error.cause())),
        Err(_) => Err(format!("{name} cannot be reached: no answer within {ANSWER_TIMEOUT:?}")),
    }
}
