//! The client side of the control socket.

use std::{io, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::{ControlError, MAX_LINE_LENGTH};

/// Sends `request` to the Portreeve that listens on `socket`, and waits for its response without a time limit.
///
/// # Errors
/// No process listens, the connection is lost, a message is invalid, or the request is refused.
pub async fn send_request<O: Serialize, A: DeserializeOwned>(socket: &Path, request: &O) -> Result<A, ControlError> {
    let path = || socket.to_owned();
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NotListening(path()));
        }
        Err(source) => return Err(ControlError::Disconnected { path: path(), source }),
    };
    let disconnected = |source| ControlError::Disconnected { path: path(), source };
    let invalid = |source| ControlError::InvalidMessage { path: path(), source };
    let mut line = serde_json::to_vec(request).map_err(invalid)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(disconnected)?;
    let mut response = Vec::new();
    BufReader::new(stream.take(MAX_LINE_LENGTH)).read_until(b'\n', &mut response).await.map_err(disconnected)?;
    if response.is_empty() {
        return Err(disconnected(io::ErrorKind::UnexpectedEof.into()));
    }
    let response: Result<A, String> = serde_json::from_slice(&response).map_err(invalid)?;
    response.map_err(ControlError::Refused)
}
