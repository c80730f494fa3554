//! A fake agent. The test answers each request.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use crate::dev_agent::PATIENCE;

/// A fake agent that listens on loopback until it is dropped.
pub(crate) struct FakeAgent {
    address: SocketAddr,
    requests: mpsc::UnboundedReceiver<ReceivedRequest>,
    server: JoinHandle<()>,
}

/// A request that waits for its response. Without a response it hangs.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    response: oneshot::Sender<Response>,
}

impl FakeAgent {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(receive).with_state(sender);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { address, requests, server }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> ReceivedRequest {
        timeout(PATIENCE, self.requests.recv()).await.expect("a request in time").expect("the server runs")
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(
    State(sender): State<mpsc::UnboundedSender<ReceivedRequest>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let (response, receiver) = oneshot::channel();
    if sender.send(ReceivedRequest { path: uri.path().to_owned(), query, headers, response }).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match receiver.await {
        Ok(response) => response,
        // The test dropped the request without a response.
        Err(_) => std::future::pending().await,
    }
}

impl ReceivedRequest {
    /// The index of a blocking query; `None` if the query does not wait.
    pub(crate) fn index(&self) -> Option<&str> {
        self.query.get("index").map(String::as_str)
    }

    /// Sends a successful response of a server with a leader.
    pub(crate) fn index_and_body(self, index: u64, body: &str) {
        self.answer(200, &[("x-consul-index", &index.to_string()), ("x-consul-knownleader", "true")], body);
    }

    /// Sends a response.
    pub(crate) fn answer(self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let mut response = body.to_owned().into_response();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        // The client may have cancelled the request.
        let _ = self.response.send(response);
    }

    /// Waits until the client cancels the request.
    pub(crate) async fn abandoned(mut self) {
        timeout(PATIENCE, self.response.closed()).await.expect("the request is cancelled");
    }
}
