//! What can go wrong between us and an agent.

use std::{error::Error as StdError, io, path::PathBuf};

use crate::core::condition;

/// Why a call failed. `call` is the method and the path: `PUT /v1/agent/service/register`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent understood and refused: the same call will be refused again.
    #[error("{call}: {status}: {answer}")]
    Refused {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The agent's own words.
        answer: String,
    },
    /// The call was not sent: its path would be tidied up on the way, and name something else.
    #[error("{path}: a name, or a part of a key, must not be empty, \".\" or \"..\"")]
    InvalidPath {
        /// The path that was meant.
        path: String,
    },
    /// The token (or user and password) does not allow it. Another token, or another policy, cures it.
    #[error("{call}: {status}: {answer}; the ACL token, or what it may do, has to change")]
    Denied {
        /// Method and path.
        call: String,
        /// The HTTP status: 401 or 403.
        status: u16,
        /// The agent's own words.
        answer: String,
    },
    /// The agent has trouble of its own: 5xx, or too many requests.
    #[error("{call}: {status}: {answer}")]
    ServerError {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// The agent's own words.
        answer: String,
    },
    /// No answer came: nobody listens, the connection broke, or it took too long.
    #[error("{call}: {}{hint}", unreachable(.error))]
    Unreachable {
        /// Method and path.
        call: String,
        /// What may help, or nothing.
        hint: &'static str,
        /// What went wrong; in its own words it is about libraries.
        error: reqwest::Error,
    },
    /// A server answered that knows of no leader: what it says may be long out of date.
    #[error("{call}: the server that answered knows of no leader")]
    NoLeader {
        /// Method and path.
        call: String,
    },
    /// Something else than an agent answered: a login page, a proxy's page of maintenance, another program.
    #[error(
        "{call}: this is not Consul's answer: {what}; the address is wrong, or a proxy answers in the agent's place"
    )]
    NotConsul {
        /// Method and path.
        call: String,
        /// What came instead.
        what: String,
    },
    /// An answer came that is not of the documented form.
    #[error("{call}: the answer cannot be understood")]
    Malformed {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A value that no template could use.
    #[error("the value of the key {key:?} is no text: it is not UTF-8")]
    NotUtf8 {
        /// The whole key.
        key: String,
    },
    /// A question that is not Consul's to answer.
    #[error("{question}: Consul has no answer to that")]
    Unsupported {
        /// As a template asks it.
        question: String,
    },
    /// The file with the token cannot be used.
    #[error("consul.token_file {}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Why no answer came, and what to do.
fn unreachable(error: &reqwest::Error) -> String {
    let cause = condition::root_cause(error);
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    match condition::io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => {
            "connection refused: no agent listens there (is it running, and is the address right?)".to_owned()
        }
        Some(io::ErrorKind::NotFound) => "there is no such socket: is the agent running?".to_owned(),
        Some(io::ErrorKind::PermissionDenied) => format!("{cause}: whoever runs Portreeve may not use the socket"),
        // As TLS says it of what is none.
        _ if cause.contains("InvalidContentType") => {
            "no TLS is spoken there: write http:// (or give the agent's HTTPS port)".to_owned()
        }
        _ if error.is_connect() => format!("cannot connect: {cause}"),
        _ if error.is_builder() => format!("cannot be sent: {cause}"),
        _ => format!("the connection broke: {cause}"),
    }
}

/// Why a client could not be made. Names the setting that has to change.
#[derive(Debug, thiserror::Error)]
pub enum ConsulSetupError {
    /// A value that cannot be meant.
    #[error("consul.{setting}: {problem}")]
    Invalid {
        /// The key in the `[consul]` table.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that cannot be used.
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
    /// TLS could not be set up with what is there.
    #[error(
        "cannot set up TLS to Consul (without consul.ca_cert or consul.ca_path the system's authorities are needed)"
    )]
    Tls(#[source] reqwest::Error),
}
