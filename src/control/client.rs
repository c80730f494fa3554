//! Who gives an order.

use std::{io, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::{ControlError, MAX_LINE_LENGTH};

/// Sends `order` to the Portreeve that listens at `socket`, and waits for its answer, however long that takes.
///
/// # Errors
/// Nobody listens, or the order was refused.
pub async fn send_request<O: Serialize, A: DeserializeOwned>(socket: &Path, order: &O) -> Result<A, ControlError> {
    let path = || socket.to_owned();
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::NotListening(path()));
        }
        Err(source) => return Err(ControlError::Disconnected { path: path(), source }),
    };
    let broken = |source| ControlError::Disconnected { path: path(), source };
    let foreign = |source| ControlError::InvalidMessage { path: path(), source };
    let mut line = serde_json::to_vec(order).map_err(foreign)?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(broken)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_LINE_LENGTH)).read_until(b'\n', &mut answer).await.map_err(broken)?;
    if answer.is_empty() {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer: Result<A, String> = serde_json::from_slice(&answer).map_err(foreign)?;
    answer.map_err(ControlError::Refused)
}
