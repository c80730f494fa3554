//! A fake Consul agent with keys only: `/v1/kv` with blocking queries.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::watch;

/// A fake agent that listens until it is dropped.
pub struct FakeKeys {
    address: String,
    keys: Arc<watch::Sender<Keys>>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Default)]
struct Keys {
    index: u64,
    /// The keys of all queries without an index.
    asked: Vec<String>,
    /// The keys whose queries hang.
    silent: BTreeSet<String>,
    values: BTreeMap<String, String>,
}

impl FakeKeys {
    /// Starts an agent without keys.
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let keys = Arc::new(watch::Sender::new(Keys { index: 1, ..Keys::default() }));
        let app = Router::new().route("/v1/kv/{*path}", get(read)).with_state(Arc::clone(&keys));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = format!("http://{}", listener.local_addr().expect("a bound socket"));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, app).await
        });
        Self { address, keys, runtime: Some(runtime) }
    }

    /// The value for `CONSUL_HTTP_ADDR`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The keys of all queries without an index so far, one item for each query.
    pub fn asked(&self) -> Vec<String> {
        self.keys.borrow().asked.clone()
    }

    /// Lets queries of this key hang, or ends that.
    pub fn silence(&self, key: &str, silent: bool) {
        self.keys.send_modify(|keys| {
            keys.silent.remove(key);
            keys.silent.extend(silent.then(|| key.to_owned()));
        });
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &str) {
        self.keys.send_modify(|keys| {
            keys.index += 1;
            keys.values.insert(key.to_owned(), value.to_owned());
        });
    }
}

impl Drop for FakeKeys {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn read(
    State(keys): State<Arc<watch::Sender<Keys>>>,
    Path(path): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let seen = query.get("index").and_then(|index| index.parse().ok()).unwrap_or(0);
    if seen == 0 {
        keys.send_if_modified(|keys| {
            keys.asked.push(path.clone());
            false
        });
    }
    let wait = query.get("wait").and_then(|wait| wait.strip_suffix("ms")?.parse().ok()).unwrap_or(0);
    let mut keys = keys.subscribe();
    // The sender exists as long as the fake.
    let _ = keys.wait_for(|keys| !keys.silent.contains(&path)).await;
    // Without a change, the current value is the answer.
    let _ = tokio::time::timeout(Duration::from_millis(wait), keys.wait_for(|keys| keys.index > seen)).await;
    let keys = keys.borrow();
    let index = [("x-consul-index", keys.index.to_string())];
    match keys.values.get(&path) {
        Some(value) => (index, value.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, index).into_response(),
    }
}
