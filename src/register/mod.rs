//! `portreeve register`: registers the containers of one host, and keeps their entries up to date.
//!
//! ```text
//! Docker --watch--> Store<container> --desired--> instances --+
//!                                                             +--plan--> steps --write_queue--> Ledger
//! Ledger --entries--> ownership -----------------> entries ---+
//! ```
//!
//! [`metadata`], [`instances`], [`desired`] and [`plan`] are pure. [`registrar`] is the reconciler around them, and
//! [`run`](run()) its loop; [`once`](once()) makes a single pass.

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
mod once;
mod ownership;
mod pass_error;
pub mod plan;
mod planner_state;
mod ports;
mod prober;
mod reachability;
mod reachable_host;
pub mod registrar;
mod registry_wait;
mod removal;
mod removal_guard;
mod restored_state;
mod retry_state;
mod run;
mod settings;
pub mod skip_reason;
mod tagged_addresses;
mod tags;
mod traffic;
pub mod value_problems;
mod write_log;
mod write_queue;

pub use address::AddressSource;
pub use once::{RegisterOnceError, once};
pub use pass_error::PassError;
pub use registry_wait::{RegistryUnreachable, wait_for_registry};
pub use run::{RegisterError, run};
pub use settings::{Adopt, DeregisterPolicy, MaxRemoval, OnExit, RegisterSettingsError, Settings, StartingPolicy};
