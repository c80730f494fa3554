//! The control socket of a running Portreeve: a unix socket, one JSON line as request, one as response, then the
//! connection is closed.
//!
//! ```text
//! command --send_request--> control.sock --> ControlServer --> RequestHandler
//!         <----------- response or reason -------'
//! ```
//!
//! The socket is in the state directory, which only its owner can enter. It belongs to the process that holds the lock
//! of that directory.

mod client;
mod server;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use client::send_request;
pub use server::{ControlServer, RequestHandler};

/// The longest accepted line, in bytes.
const MAX_LINE_LENGTH: u64 = 1024 * 1024;

/// The socket of the Portreeve that uses this state directory.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Why a request failed, or a socket could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No process listens.
    #[error("{}: no portreeve listens on this socket", .0.display())]
    NotListening(PathBuf),
    /// The socket cannot be created.
    #[error("{}: cannot create the control socket", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The connection was lost.
    #[error("{}: the connection to the control socket was lost", path.display())]
    Disconnected {
        /// The socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// A message could not be parsed; the other process is probably another version of Portreeve.
    #[error("{}: the message is not understood; is the running portreeve a different version?", path.display())]
    InvalidMessage {
        /// The socket.
        path: PathBuf,
        /// The error of the parser.
        source: serde_json::Error,
    },
    /// The handler refused the request for this reason.
    #[error("{0}")]
    Refused(String),
}
