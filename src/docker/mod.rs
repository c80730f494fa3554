//! A Docker engine, watched: its containers in a [`Store`](crate::core::store::Store).
//!
//! ```text
//! engine --events--> ids --+
//!        --list----> ids --+--> inspect --> Store<container id, Sight>
//! ```

mod client;
mod container;
mod error;
mod events;
mod failures;
mod fields;
mod http;
mod inspections;
mod networks;
mod queue;
mod retry;
mod round;
mod settings;
mod signal;
mod summary;
mod translate;
mod watch;

pub use client::{Client, Engine, Life};
pub use container::{Binding, Container, Health, HealthStatus, NetworkAddress, Port, Protocol, Sight};
pub use error::Error;
pub use networks::Network;
pub use settings::{Settings, SettingsError};
pub use watch::watch;
