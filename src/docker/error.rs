//! Why an engine did not do what was asked.

use std::{error::Error as _, io, iter, path::PathBuf, time::Duration};

use reqwest::StatusCode;

/// A call to an engine that failed.
#[derive(Debug, thiserror::Error)]
#[error("Docker at {address}")]
pub struct Error {
    /// Where the engine should be.
    pub(super) address: String,
    #[source]
    pub(super) failure: CallFailure,
}

/// What went wrong, without the address.
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
    #[error("failed to {action}: {status}{}", told(message))]
    Status { action: &'static str, status: StatusCode, message: String },
    #[error("failed to {action}: the answer is not what Docker's API describes ({reason}); is that a Docker engine?")]
    UnexpectedForm { action: &'static str, reason: String },
    #[error("closed its event stream")]
    EventStreamClosed,
    #[error(
        "did not tell whether it runs and where it is published: State, HostConfig or NetworkSettings has an unknown form"
    )]
    Inconclusive,
    #[error("did not tell its id; is that a Docker engine?")]
    NoId,
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", {message:?}") }
}

impl Error {
    /// What went wrong, without the address.
    pub fn cause(&self) -> &(dyn std::error::Error + 'static) {
        &self.failure
    }

    /// Whether nobody answers: the reasons alternate while an engine restarts, and stand for the same trouble.
    pub(super) fn is_unreachable(&self) -> bool {
        use CallFailure::{Connect, ConnectionLost, EventStreamClosed, NoSocket, Refused, TimedOut};
        matches!(
            self.failure,
            NoSocket | Refused | Connect(_) | ConnectionLost { .. } | TimedOut { .. } | EventStreamClosed
        )
    }

    /// Whether the engine was reached, and did not answer in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self.failure, CallFailure::TimedOut { .. })
    }

    /// Whether the engine answered that there is no such thing.
    pub(super) fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self.failure, CallFailure::Status { status, .. } if status == wanted)
    }
}

impl CallFailure {
    /// From a request that got no whole answer.
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

/// The innermost cause: it is the system's or the peer's, while what is around it names parts of the HTTP client.
pub(super) fn innermost_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    iter::successors(error.source(), |error| (*error).source())
}
