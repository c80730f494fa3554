//! The errors of calls to an engine.

use std::{error::Error as _, io, iter, path::PathBuf, time::Duration};

use reqwest::StatusCode;

/// A call to an engine that failed.
#[derive(Debug, thiserror::Error)]
#[error("Docker at {address}")]
pub struct Error {
    /// The address of the engine.
    pub(super) address: String,
    #[source]
    pub(super) failure: CallFailure,
}

/// The reason, without the address.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallFailure {
    #[error(
        "permission denied: run as root, or add the user to the group of the socket (usually `docker`) and log in again"
    )]
    Permission,
    #[error("no such socket: start Docker, or say where it listens (--docker, DOCKER_HOST)")]
    NoSocket,
    #[error(
        "not a socket, but a file or directory: mount the socket of Docker there, or say where it is (--docker, DOCKER_HOST)"
    )]
    NotASocket,
    #[error("connection refused: start Docker, or say where it listens (--docker, DOCKER_HOST)")]
    Refused,
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("cannot read {}", file.display())]
    Certificate {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to {action}: the connection was lost ({reason})")]
    ConnectionLost { action: &'static str, reason: String },
    #[error("did not {action} within {within:?}")]
    TimedOut { action: &'static str, within: Duration },
    #[error("failed to {action}: {status}{}", quoted(message))]
    Status { action: &'static str, status: StatusCode, message: String },
    #[error("failed to {action}: the answer does not have the form of Docker's API ({reason}); is it a Docker engine?")]
    UnexpectedForm { action: &'static str, reason: String },
    #[error("closed its event stream")]
    EventStreamClosed,
    #[error(
        "the answer does not show whether it runs and where it is published: State, HostConfig or NetworkSettings has an unknown form"
    )]
    Inconclusive,
    #[error("did not report its id; is it a Docker engine?")]
    NoId,
}

/// The message of the engine after a comma; empty if there is none.
fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", {message:?}") }
}

impl Error {
    /// The reason, without the address.
    pub fn cause(&self) -> &(dyn std::error::Error + 'static) {
        &self.failure
    }

    /// Whether the engine is unreachable. While an engine restarts, these reasons alternate, so they count as one
    /// problem.
    pub(super) fn is_unreachable(&self) -> bool {
        use CallFailure::{Connect, ConnectionLost, EventStreamClosed, NoSocket, Refused, TimedOut};
        matches!(
            self.failure,
            NoSocket | Refused | Connect(_) | ConnectionLost { .. } | TimedOut { .. } | EventStreamClosed
        )
    }

    /// Whether the engine was reached but did not answer within the time limit.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self.failure, CallFailure::TimedOut { .. })
    }

    /// Whether the engine answered with this status.
    pub(super) fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self.failure, CallFailure::Status { status, .. } if status == wanted)
    }
}

impl CallFailure {
    /// The failure of a request without a complete response.
    pub(super) fn from_request(error: &reqwest::Error, action: &'static str, within: Duration) -> Self {
        let reason = innermost_cause(error);
        match causes(error).find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind) {
            _ if error.is_timeout() && !error.is_connect() => Self::TimedOut { action, within },
            _ if !error.is_connect() => Self::ConnectionLost { action, reason },
            Some(io::ErrorKind::PermissionDenied) => Self::Permission,
            Some(io::ErrorKind::NotFound) => Self::NoSocket,
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            _ => Self::Connect(reason),
        }
    }
}

/// The innermost cause, which is from the operating system or the peer. The outer ones name parts of the HTTP client.
pub(super) fn innermost_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    iter::successors(error.source(), |error| (*error).source())
}
