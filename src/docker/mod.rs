//! A Docker engine, watched: its containers in a [`Store`](crate::store::Store).
//!
//! ```text
//! engine --events--> dirty ids --+
//!        --list----> dirty ids --+--> inspect --> Store<container id, Sight>
//! ```

mod client;
mod container;
mod dirty;
mod queue;
mod settings;
mod signal;
mod translate;
mod watch;

pub use client::{Client, Engine, Error, Life};
pub use container::{Binding, Container, Health, HealthStatus, NetworkAddress, Port, Protocol, Sight};
pub use settings::{Settings, SettingsError};
pub use watch::watch;
