//! Consul: a thin typed client, and on top of it the two faces of a registry.
//!
//! ```text
//! Settings ---> Client ---+--- ConsulLedger: Ledger   agent: services, checks, register, maintenance, deregister
//!                         '--- ConsulSource: Source   health, catalog, kv, mesh: one blocking query for each watch
//! ```
//!
//! Pure: [`Address`], [`Settings`], the index rules, spacing, and the conversions between Consul's JSON and the values
//! of [`crate::registry`].

mod address;
mod agent;
mod answer;
mod catalog;
mod client;
mod datacenters;
mod error;
mod fetch;
mod health;
mod index;
mod kv;
mod ledger;
mod mesh;
mod path;
mod permits;
mod prepared;
mod read;
mod registration;
mod response;
mod secret;
mod settings;
mod source;
mod spacing;
mod status;
mod tls;
mod token;
mod trouble;
mod watch;

pub use address::{Address, AddressError};
pub use agent::{AgentCheck, AgentService};
pub use catalog::CatalogNode;
pub use client::Client;
pub use error::{Error, SetupError};
pub use health::{HealthCheck, HealthEntry, Node, Service, TaggedAddress, Weights};
pub use kv::KvEntry;
pub use ledger::ConsulLedger;
pub use mesh::{Leaf, Root, Roots};
pub use read::{Read, Reply};
pub use registration::{CheckDefinition, ServiceDefinition};
pub use response::Stamp;
pub use secret::Secret;
pub use settings::Settings;
pub use source::ConsulSource;
