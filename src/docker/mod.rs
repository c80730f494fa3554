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
mod fields;
mod http;
mod inspection_batch;
mod inspection_failures;
mod inspection_queue;
mod inspector;
mod networks;
mod reconnect_backoff;
mod settings;
mod signal;
mod summary;
mod translate;
mod watch;

pub use client::{Client, ContainerStatus, Engine};
pub use container::{Container, Health, HealthStatus, NetworkAddress, Observation, Port, PortBinding, Protocol};
pub use error::Error;
pub use networks::Network;
pub use settings::{EndpointError, Settings};
pub use watch::watch;
