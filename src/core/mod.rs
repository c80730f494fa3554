//! What every mode uses: the store, the reconcile loop, debouncing, the tasks and their status.
//!
//! ```text
//! watcher ──items──► Store ──bell──► reconcile: one pass ──steps──► apply
//!                                       ▲        │
//!                                       └─ retry, resync, due time
//! ```

pub mod condition;
pub mod debounce;
pub mod jitter;
pub mod reconcile;
pub mod store;
pub mod supervise;
pub mod task_table;
pub mod value;
