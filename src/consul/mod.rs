//! A typed client of Consul's HTTP API, and the traits [`Ledger`](crate::registry::Ledger) and
//! [`Source`](crate::registry::Source) on top of it.
//!
//! ```text
//! register: Instance --> registration --> ConsulLedger: put, maintenance, remove --.
//!           Entries <-- registration <--- ConsulLedger: services, checks ----------+--> Client <--> agent
//! render:   Query --> ConsulSource: one Watch for each query --> fetch ------------'      |
//!           Store<Query, Answer> <-- index: newer? <-- answer: JSON to values <-----------'
//! ```
//!
//! Pure: [`Address`], [`Settings`], the rules for the index, the rate limiter, and the conversions between Consul's
//! JSON and the values of [`crate::registry`].

mod address;
mod agent;
mod answer;
mod catalog;
pub(crate) mod check;
mod client;
mod connection_limiter;
mod datacenters;
mod error;
mod fetch;
mod health;
mod index;
mod kv;
mod ledger;
pub(crate) mod limits;
mod mesh;
mod path;
mod prepared;
mod rate_limiter;
mod read;
mod registration;
mod response;
mod secret;
mod settings;
mod source;
mod status;
mod tls;
mod token;
mod watch;
mod watch_failures;

pub use address::{Address, AddressError};
pub use agent::{AgentCheck, AgentService};
pub use catalog::CatalogNode;
pub use client::Client;
pub use error::{ConsulSetupError, Error};
pub use health::{HealthCheck, HealthEntry, Node, Service, ServiceTaggedAddress, ServiceWeights};
pub use kv::KvEntry;
pub use ledger::ConsulLedger;
pub use mesh::{CaRootList, LeafCert, RootCert};
pub use read::{QueryOptions, Reply};
pub use registration::{CheckDefinition, ServiceDefinition};
pub use response::ResponseMeta;
pub use secret::Secret;
pub use settings::Settings;
pub use source::ConsulSource;
