//! The errors of calls to an agent, and of the setup of a client.

use std::{error::Error as StdError, io, path::PathBuf};

use crate::core::condition;

/// Why a call failed. `call` is the method and the path: `PUT /v1/agent/service/register`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent refused the call. The same call will be refused again.
    #[error("{call}: {status}: {answer}")]
    Refused {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The text of the response.
        answer: String,
    },
    /// The call was not sent, because HTTP software normalizes such a path, and it would then name something else.
    #[error("{path}: a name, or a part of a key, must not be empty, \".\" or \"..\"")]
    InvalidPath {
        /// The path before normalization.
        path: String,
    },
    /// The token (or user and password) does not allow the call. It needs another token or policy.
    #[error("{call}: {status}: {answer}; change the ACL token or its policies")]
    Denied {
        /// Method and path.
        call: String,
        /// The HTTP status: 401 or 403.
        status: u16,
        /// The text of the response.
        answer: String,
    },
    /// The agent failed (5xx) or has too many requests (429).
    #[error("{call}: {status}: {answer}")]
    ServerError {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The text of the response.
        answer: String,
    },
    /// There was no response: the agent does not listen, the connection broke, or the time limit was reached.
    #[error("{call}: {}{hint}", unreachable(.error))]
    Unreachable {
        /// Method and path.
        call: String,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// The error of the HTTP client. Its text is not printed: it names parts of the library.
        error: reqwest::Error,
    },
    /// The server that answered has no leader, so its data may be outdated.
    #[error("{call}: the server that answered has no leader")]
    NoLeader {
        /// Method and path.
        call: String,
    },
    /// The response is not from an agent but, for example, from a proxy (a login or maintenance page) or another
    /// program.
    #[error(
        "{call}: the response is not from Consul: {what}; the address is wrong, or a proxy answers instead of the agent"
    )]
    NotConsul {
        /// Method and path.
        call: String,
        /// What the response is instead.
        what: String,
    },
    /// The response does not have the documented form.
    #[error("{call}: the response cannot be parsed")]
    Malformed {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The value is not text, so a template cannot use it.
    #[error("the value of the key {key:?} is not text: it is not UTF-8")]
    NotUtf8 {
        /// The whole key.
        key: String,
    },
    /// A query that Consul cannot answer.
    #[error("{question}: Consul cannot answer this query")]
    Unsupported {
        /// The query in the syntax of templates.
        question: String,
    },
    /// The token file cannot be used.
    #[error("consul.token_file {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why there was no response, and what to do.
fn unreachable(error: &reqwest::Error) -> String {
    let cause = condition::root_cause(error);
    if error.is_timeout() {
        return "no response within the time limit".to_owned();
    }
    match condition::io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            "connection refused: no agent listens there (is it running, and is the address right?)".to_owned()
        }
        Some(io::ErrorKind::NotFound) => "there is no such socket: is the agent running?".to_owned(),
        Some(io::ErrorKind::PermissionDenied) => {
            format!("{cause}: the user that runs Portreeve has no access to the socket")
        }
        // What rustls reports if the peer does not speak TLS.
        _ if cause.contains("InvalidContentType") => {
            "the port does not speak TLS: write http://, or the agent's HTTPS port".to_owned()
        }
        _ if error.is_connect() => format!("cannot connect: {cause}"),
        _ if error.is_builder() => format!("cannot be sent: {cause}"),
        _ => format!("the connection broke: {cause}"),
    }
}

/// Why a client cannot be created. Names the setting to change.
#[derive(Debug, thiserror::Error)]
pub enum ConsulSetupError {
    /// A value is invalid.
    #[error("consul.{setting}: {problem}")]
    Invalid {
        /// The key in the `[consul]` table.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be used.
    #[error("consul.{setting}: cannot use {}", path.display())]
    File {
        /// The key in the `[consul]` table.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The TLS setup failed.
    #[error(
        "cannot set up TLS to Consul (without consul.ca_cert or consul.ca_path the system's authorities are needed)"
    )]
    Tls(#[source] reqwest::Error),
}
