//! Keeps a [`Store`](crate::core::store::Store) of the containers of a Docker engine up to date.
//!
//! Lists and events only name the containers to inspect. What is known about a container is the result of its last
//! inspection, apart from exits and signals, which only events report.
//!
//! ```text
//!          list (start, reconnect, resync)
//!         ,-----------------------------> summary: is it new, changed, or missing? --.
//! engine -+                                                                          v
//!         '-----------------------------> event: container id, exit, signals --> inspection queue
//!          event stream                                                              |
//!                                                                                    v
//! Store<container id, Observation> <-- batch (after a list) <-- translate <-- inspect (16 at a time)
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
pub use container::{
    Container, Health, HealthStatus, NetworkAddress, Observation, Port, PortBinding, Protocol, short_id,
};
pub use error::Error;
pub use networks::Network;
pub use settings::{EndpointError, Settings};
pub use watch::watch;
