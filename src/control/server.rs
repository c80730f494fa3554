//! The server side of the control socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{ControlError, MAX_LINE_LENGTH};

/// Executes requests.
pub trait RequestHandler: Send + Sync + 'static {
    /// A request.
    type Request: DeserializeOwned + Send;
    /// Its response.
    type Response: Serialize + Send;

    /// Executes one request. An error is sent to the client.
    fn handle(&self, request: Self::Request) -> impl Future<Output = Result<Self::Response, String>> + Send;
}

/// A listening socket. Dropping it removes the file.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlServer {
    /// Listens on `path`, with access for the owner only. The caller holds the lock of the state directory, so an
    /// existing socket was left by a process that has ended, and is replaced.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Bind { path: path.to_owned(), source };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let server = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(server)
    }

    /// Serves requests until `stop` is cancelled, which aborts requests in progress.
    pub async fn run<H: RequestHandler>(self, handler: Arc<H>, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let handler = Arc::clone(&handler);
                        connections.spawn(async move {
                            if let Err(error) = handle_connection(stream, handler.as_ref()).await {
                                tracing::debug!("control socket: {error}");
                            }
                        });
                    }
                    // Usually temporary, such as too many open files.
                    Err(error) => {
                        tracing::warn!("control socket: {error}");
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                }
            }
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // If this fails, the next `bind` removes it.
        let _ = fs::remove_file(&self.path);
    }
}

async fn handle_connection<H: RequestHandler>(stream: UnixStream, handler: &H) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(MAX_LINE_LENGTH)).read_until(b'\n', &mut line).await?;
    let response = match serde_json::from_slice(&line) {
        Ok(request) => handler.handle(request).await,
        Err(error) => Err(format!("the request is not understood: {error}")),
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    write.write_all(&line).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::send_request;

    struct DoublingHandler;

    impl RequestHandler for DoublingHandler {
        type Request = u32;
        type Response = u32;

        async fn handle(&self, number: u32) -> Result<u32, String> {
            number.checked_mul(2).ok_or_else(|| format!("{number} is too much"))
        }
    }

    #[tokio::test]
    async fn requests_are_answered_or_refused_and_the_socket_is_removed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("control.sock");
        let error = send_request::<_, u32>(&path, &1).await.expect_err("nobody listens");
        assert!(matches!(error, ControlError::NotListening(_)), "{error}");
        // The socket of a process that has ended is replaced.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("it can be made"));
        assert!(matches!(send_request::<_, u32>(&path, &1).await, Err(ControlError::NotListening(_))));
        let stop = CancellationToken::new();
        let server = ControlServer::bind(&path).expect("it can be made");
        let running = tokio::spawn(server.run(Arc::new(DoublingHandler), stop.clone()));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(send_request::<_, u32>(&path, &21).await.expect("an answer"), 42);
        let refused = send_request::<_, u32>(&path, &u32::MAX).await.expect_err("too much");
        assert_eq!(refused.to_string(), "4294967295 is too much");
        let refused = send_request::<_, u32>(&path, &"word").await.expect_err("no number");
        assert!(refused.to_string().contains("not understood"), "{refused}");
        assert!(matches!(send_request::<_, String>(&path, &1).await, Err(ControlError::InvalidMessage { .. })));
        stop.cancel();
        running.await.expect("no panic");
        assert!(!path.exists());
    }
}
