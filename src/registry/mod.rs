//! What both modes know of a registry: the two faces of it, and the plain values that pass through.
//!
//! ```text
//! register:  Instance --put, take_out, bring_back, remove--> Ledger --entries--> Entry
//! render:    Query    --watch------------------------------> Source ---------> Answer
//! ```
//!
//! The values are pure. [`Ledger`] and [`Source`] are implemented by [`crate::consul`].

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

/// Why a call to a [`Ledger`] failed, as far as the caller has to know.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The registry understood and refused: sending the same again cannot succeed.
    #[error("the registry refused {what}: {answer}")]
    Refused {
        /// What was asked, for a person: `registration of web-1`.
        what: String,
        /// The registry's own words.
        answer: String,
    },
    /// We may not: only another token, or other rights of it, help.
    #[error("the registry does not allow {what}: {answer}")]
    Denied {
        /// What was asked, for a person.
        what: String,
        /// The registry's own words.
        answer: String,
    },
    /// The registry cannot be reached, did not answer in time, or has trouble of its own: try again later.
    #[error("the registry did not carry out {what}")]
    Unavailable {
        /// What was asked, for a person.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LedgerError {
    /// What went wrong, without what was asked, unless the registry has understood that.
    pub fn cause(&self) -> String {
        match self {
            Self::Refused { .. } => self.to_string(),
            Self::Denied { answer, .. } => answer.clone(),
            Self::Unavailable { source, .. } => error_chain(source.as_ref()),
        }
    }
}

/// The side of a registry that `register` writes.
///
/// Every call may be repeated: the outcome is the same. Every call has a time limit of its own.
pub trait Ledger: Send + Sync + 'static {
    /// Which registry it is and where, for log lines: `Consul at http://127.0.0.1:8500`.
    fn name(&self) -> String;

    /// What the registry holds now: the entries that carry ownership marks (see [`Owner`]) of whatever engine, with
    /// everything that a plan compares, and the ids of all others.
    fn entries(&self) -> impl Future<Output = Result<Entries, LedgerError>> + Send;

    /// Why the entry is out of traffic at this moment; `None` if it is not, or is not there.
    fn maintenance(&self, id: &str) -> impl Future<Output = Result<Option<String>, LedgerError>> + Send;

    /// Creates or replaces the entry `instance.id`, with its checks and no others. It is in traffic afterwards, or out of
    /// traffic for the reason `out`, and at no moment otherwise.
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

    /// Puts the entry back into traffic.
    fn disable_maintenance(&self, id: &str) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Removes the entry. An entry that is not there is no error.
    fn remove(&self, id: &str) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The address under which this host is known to the others.
    fn advertised_address(&self) -> impl Future<Output = Result<String, LedgerError>> + Send;
}

/// The side of a registry that `render` reads.
pub trait Source: Send + Sync + 'static {
    /// Keeps the answer to `query` in `answers` current until `stop` is cancelled.
    ///
    /// Upstream trouble is waited out inside, with back-off; the last good answer stays in the store meanwhile.
    fn watch(
        &self,
        query: Query,
        answers: Store<Query, Arc<Answer>>,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;
}
