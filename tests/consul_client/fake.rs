//! An agent whose every answer the test decides.

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

/// Listens on loopback until it is dropped.
pub(crate) struct Fake {
    at: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    server: JoinHandle<()>,
}

/// One request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    answer: oneshot::Sender<Response>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let at = listener.local_addr().expect("an address");
        let router = Router::new().fallback(ask).with_state(asks);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { at, asked, server }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.at)
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request in time").expect("the server runs")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn ask(
    State(asks): State<mpsc::UnboundedSender<Asked>>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let (answer, answered) = oneshot::channel();
    if asks.send(Asked { path: uri.path().to_owned(), query, headers, answer }).is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match answered.await {
        Ok(answer) => answer,
        // The test dropped the question: it is never answered.
        Err(_) => std::future::pending().await,
    }
}

impl Asked {
    /// Whether the query would wait for something newer than this.
    pub(crate) fn index(&self) -> Option<&str> {
        self.query.get("index").map(String::as_str)
    }

    /// A good answer.
    pub(crate) fn index_and_body(self, index: u64, body: &str) {
        self.answer(200, &[("x-consul-index", &index.to_string()), ("x-consul-knownleader", "true")], body);
    }

    pub(crate) fn answer(self, status: u16, headers: &[(&'static str, &str)], body: &str) {
        let mut response = body.to_owned().into_response();
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        // Whoever asked may have gone.
        let _ = self.answer.send(response);
    }

    /// Waits until whoever asked has gone.
    pub(crate) async fn abandoned(mut self) {
        timeout(PATIENCE, self.answer.closed()).await.expect("the request is broken off");
    }
}
