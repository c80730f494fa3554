//! The unix socket through which a running Portreeve takes orders: one line of JSON each way, then the end.
//!
//! It lies in the state directory, which only its owner can enter, and belongs to whoever holds that directory's lock.

mod client;
mod server;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use client::send_request;
pub use server::{ControlServer, RequestHandler};

/// The longest line that is taken, in bytes.
const MAX_LINE_LENGTH: u64 = 1024 * 1024;

/// Where the socket of the Portreeve with this state directory lies.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Why an order did not get through.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody listens.
    #[error("{}: no portreeve listens there", .0.display())]
    NotListening(PathBuf),
    /// The socket cannot be made.
    #[error("{}: the control socket cannot be made", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The conversation broke off.
    #[error("{}: the control socket broke off", path.display())]
    Disconnected {
        /// The socket.
        path: PathBuf,
        /// How.
        source: io::Error,
    },
    /// The other side speaks otherwise: most likely it is another version of Portreeve.
    #[error("{}: not understood; is the running portreeve of another version?", path.display())]
    InvalidMessage {
        /// The socket.
        path: PathBuf,
        /// What is not understood.
        source: serde_json::Error,
    },
    /// The order was understood and not carried out.
    #[error("{0}")]
    Refused(String),
}
