//! The registry as both modes use it: the traits that write and read it, and their values.
//!
//! ```text
//! register:  Instance --put, report, maintenance, remove--> Ledger --entries--> Entry
//! render:    Query    --watch---------------------------------> Source ---------> Answer
//! ```
//!
//! The values are plain data. [`crate::consul`] implements [`Ledger`] and [`Source`].

mod answer;
mod check;
mod digested_instance;
mod entry;
mod instance;
mod query;

use std::{future::Future, sync::Arc};

pub use answer::{
    Answer, CaLeaf, CaRoot, CaRoots, CheckRecord, FileContent, KeyPair, NodeRecord, NodeService, NodeServices,
    RecordWeights, ServiceRecord, Status, TaggedAddress,
};
pub use check::{Check, CheckProbe, RegisteredCheck, StatusReport};
pub use digested_instance::DigestedInstance;
pub use entry::{Entries, Entry, FailingCheck};
pub use instance::{Instance, MAINTENANCE_PREFIX, META_PREFIX, OutOfTraffic, Owner, Weights};
pub use query::{Query, Scope, ServiceQuery};
use tokio_util::sync::CancellationToken;

use crate::core::{condition::error_chain, store::Store};

/// Why a call to a [`Ledger`] failed. The variants are the cases that callers handle differently.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The registry refused the request; the same request will be refused again.
    #[error("the registry refused {what}: {answer}")]
    Refused {
        /// The request, for messages: `the registration of web-1`.
        what: String,
        /// The answer of the registry.
        answer: String,
    },
    /// A permission is missing: only another token, or more rights for it, can help.
    #[error("the registry does not allow {what}: {answer}")]
    Denied {
        /// The request, for messages.
        what: String,
        /// The answer of the registry.
        answer: String,
    },
    /// The registry cannot be reached, did not answer in time, or failed. A retry may succeed.
    #[error("the registry did not carry out {what}")]
    Unavailable {
        /// The request, for messages.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LedgerError {
    /// What went wrong. The request is included only if the registry refused it.
    pub fn cause(&self) -> String {
        match self {
            Self::Refused { .. } => self.to_string(),
            Self::Denied { answer, .. } => answer.clone(),
            Self::Unavailable { source, .. } => error_chain(source.as_ref()),
        }
    }
}

/// The interface through which `register` writes to a registry.
///
/// Every call is idempotent and has a time limit.
pub trait Ledger: Send + Sync + 'static {
    /// The registry and its address, for log lines: `Consul at http://127.0.0.1:8500`.
    fn name(&self) -> String;

    /// All entries: in `owned` those with ownership marks (see [`Owner`]) of any engine, in `foreign` the others.
    fn entries(&self) -> impl Future<Output = Result<Entries, LedgerError>> + Send;

    /// Why the entry is out of traffic now; `None` if it is not, or does not exist.
    fn maintenance(&self, id: &str) -> impl Future<Output = Result<Option<String>, LedgerError>> + Send;

    /// Creates or replaces the entry `instance.id`, with exactly its checks. From the start the entry is in traffic, or
    /// out of traffic for the reason `out`.
    fn put(&self, instance: &Instance, out: Option<&str>) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Reports the status of the check `key` of the entry `id`, which waits for reports.
    fn report(
        &self,
        id: &str,
        key: &str,
        report: &StatusReport,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Takes the entry out of traffic, with a reason that other users of the registry can read.
    fn enable_maintenance(&self, id: &str, reason: &str) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Brings the entry back into traffic.
    fn disable_maintenance(&self, id: &str) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Removes the entry. It is not an error if the entry does not exist.
    fn remove(&self, id: &str) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The address that the registry's agent on this host advertises.
    fn advertised_address(&self) -> impl Future<Output = Result<String, LedgerError>> + Send;
}

/// The interface through which `render` reads from a registry.
pub trait Source: Send + Sync + 'static {
    /// Keeps the answer to `query` in `answers` current until `stop` is cancelled.
    ///
    /// Failures are retried with back-off; meanwhile the last good answer stays in the store.
    fn watch(
        &self,
        query: Query,
        answers: Store<Query, Arc<Answer>>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;
}
