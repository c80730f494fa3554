//! A Docker engine that speaks the real API on a unix socket, and does what a real one cannot be made to do: stall, cut its
//! streams, lose events, hold ten thousand containers.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::UnixListener, sync::broadcast};

/// The engine's own id.
pub const ENGINE: &str = "FAKE:ENGINE";

/// Serves until it is dropped.
pub struct FakeDocker {
    directory: TempDir,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

struct Shared {
    engine: Mutex<Engine>,
    events: broadcast::Sender<Message>,
}

#[derive(Clone)]
enum Message {
    Event(Bytes),
    Cut,
}

#[derive(Default)]
struct Engine {
    containers: BTreeMap<String, Value>,
    requests: Vec<String>,
    stalled: BTreeSet<String>,
    broken: bool,
}

impl FakeDocker {
    /// An engine without containers.
    pub fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let shared = Arc::new(Shared { engine: Mutex::default(), events: broadcast::Sender::new(200_000) });
        let routes = Router::new()
            .route("/version", get(version))
            .route("/info", get(info))
            .route("/containers/json", get(list))
            .route("/containers/{id}/json", get(inspect))
            .route("/events", get(events));
        let app = Router::new()
            .merge(routes.clone())
            .nest("/{version}", routes)
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), note))
            .with_state(Arc::clone(&shared));
        let socket = directory.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        runtime.spawn(async move { axum::serve(UnixListener::from_std(listener).expect("a socket"), app).await });
        Self { directory, shared, runtime: Some(runtime) }
    }

    /// What `DOCKER_HOST` has to be.
    pub fn host(&self) -> String {
        let path: PathBuf = self.directory.path().join("docker.sock");
        format!("unix://{}", path.display())
    }

    /// Adds or changes a container without any event: `inspect` is what the engine answers to an inspection.
    pub fn set(&self, inspect: Value) {
        let id = inspect["Id"].as_str().expect("an id").to_owned();
        self.engine().containers.insert(id, inspect);
    }

    /// Removes a container without any event.
    pub fn unset(&self, id: &str) {
        self.engine().containers.remove(id);
    }

    /// Adds a container and tells of it.
    pub fn run(&self, inspect: Value) {
        let id = inspect["Id"].as_str().expect("an id").to_owned();
        self.set(inspect);
        self.event("start", &id, &[]);
    }

    /// Removes a container and tells of it.
    pub fn die(&self, id: &str) {
        self.unset(id);
        self.event("die", id, &[("exitCode", "0")]);
    }

    /// Sends an event about a container.
    pub fn event(&self, action: &str, id: &str, attributes: &[(&str, &str)]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let attributes: BTreeMap<_, _> = attributes.iter().copied().collect();
        let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id, "Attributes": attributes},
            "scope": "local", "time": now / 1_000_000_000, "timeNano": u64::try_from(now).expect("before 2554")});
        drop(self.shared.events.send(Message::Event(format!("{event}\n").into())));
    }

    /// Ends every event stream.
    pub fn cut(&self) {
        drop(self.shared.events.send(Message::Cut));
    }

    /// From now on inspections of this container are not answered.
    pub fn stall(&self, id: &str) {
        self.engine().stalled.insert(id.to_owned());
    }

    /// Answers everything with 500, or no longer.
    pub fn set_broken(&self, broken: bool) {
        self.engine().broken = broken;
    }

    /// Every request so far: method and path with query.
    pub fn requests(&self) -> Vec<String> {
        self.engine().requests.clone()
    }

    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().expect("no panic inside the fake")
    }
}

impl Drop for FakeDocker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A running container as the engine describes it, with one published port `80/tcp` at `0.0.0.0:port`.
pub fn container(name: &str, port: u16) -> Value {
    json!({
        "Id": format!("{name:0>64}"), "Name": format!("/{name}"), "Image": "sha256:0", "RestartCount": 0,
        "State": {"Status": "running", "Running": true, "Paused": false, "Restarting": false, "StartedAt": "2026-01-01T00:00:00.1Z"},
        "Config": {"Image": "nginx:1", "Env": ["SERVICE_NAME=web"], "Labels": {}, "ExposedPorts": {"80/tcp": {}}},
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {
            "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": port.to_string()}, {"HostIp": "::", "HostPort": port.to_string()}]},
            "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
        },
    })
}

async fn note(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let broken = {
        let mut engine = shared.engine.lock().expect("no panic inside the fake");
        engine.requests.push(format!("{} {}", request.method(), request.uri()));
        engine.broken
    };
    if broken { failure(StatusCode::INTERNAL_SERVER_ERROR, "broken on purpose") } else { next.run(request).await }
}

fn failure(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}

async fn version() -> Json<Value> {
    Json(json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}))
}

async fn info() -> Json<Value> {
    Json(json!({"ID": ENGINE, "Name": "dockerhost"}))
}

async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let engine = shared.engine.lock().expect("no panic inside the fake");
    let all = engine.containers.values();
    let summary = |container: &Value| {
        let networks = &container["NetworkSettings"]["Networks"];
        let (id, image, state) = (&container["Id"], &container["Config"]["Image"], &container["State"]["Status"]);
        let ports =
            container["NetworkSettings"]["Ports"].as_object().into_iter().flatten().flat_map(|(port, bound)| {
                let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                let number: u16 = number.parse().expect("a port");
                let published = |bound: &Value| bound["HostPort"].as_str().and_then(|port| port.parse::<u16>().ok());
                let bound = bound.as_array().cloned().unwrap_or_default();
                bound.into_iter().map(move |bound| {
                json!({"IP": bound["HostIp"], "PrivatePort": number, "PublicPort": published(&bound), "Type": protocol})
            })
            });
        json!({"Id": id, "Names": [container["Name"]], "Image": image, "State": state, "Status": "Up 5 minutes",
            "Ports": ports.collect::<Vec<_>>(), "NetworkSettings": {"Networks": networks}})
    };
    Json(all.map(summary).collect())
}

async fn inspect(State(shared): State<Arc<Shared>>, Path(path): Path<BTreeMap<String, String>>) -> Response {
    let id = &path["id"];
    let (stalled, found) = {
        let engine = shared.engine.lock().expect("no panic inside the fake");
        (engine.stalled.contains(id), engine.containers.get(id).cloned())
    };
    if stalled {
        std::future::pending::<()>().await;
    }
    match found {
        Some(container) => Json(container).into_response(),
        None => failure(StatusCode::NOT_FOUND, &format!("No such container: {id}")),
    }
}

async fn events(State(shared): State<Arc<Shared>>) -> Response {
    let receiver = shared.events.subscribe();
    let lines = stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Ok(Message::Event(line)) => Some((Ok::<_, std::convert::Infallible>(line), receiver)),
            Ok(Message::Cut) | Err(_) => None,
        }
    });
    // The head of the answer goes out at once, as the real engine's does.
    Body::from_stream(stream::once(async { Ok(Bytes::new()) }).chain(lines)).into_response()
}
