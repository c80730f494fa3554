//! A Docker engine that speaks the real API on a unix socket, and does what a real one cannot be made to do: stall, cut its
//! streams, lose events, hold ten thousand containers.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, Request, State},
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

/// How many events an engine remembers.
const REMEMBERED: usize = 256;

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
    id: String,
    past: VecDeque<(u64, Bytes)>,
    containers: BTreeMap<String, Value>,
    requests: Vec<String>,
    stalled: BTreeSet<String>,
    broken: bool,
}

impl FakeDocker {
    /// An engine without containers.
    pub fn start() -> Self {
        Self::start_as(ENGINE)
    }

    /// The same with another id.
    pub fn start_as(id: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let engine = Mutex::new(Engine { id: id.to_owned(), ..Engine::default() });
        let shared = Arc::new(Shared { engine, events: broadcast::Sender::new(200_000) });
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
        let attributes: BTreeMap<_, _> = attributes.iter().copied().collect();
        self.send("container", action, json!({"ID": id, "Attributes": attributes}));
    }

    /// Sends an event about a network that a container is connected to or disconnected from.
    pub fn network_event(&self, action: &str, container: &str) {
        self.send("network", action, json!({"ID": "network", "Attributes": {"container": container}}));
    }

    fn send(&self, kind: &str, action: &str, actor: Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let now = u64::try_from(now).expect("before 2554");
        let event = json!({"Type": kind, "Action": action, "Actor": actor,
            "scope": "local", "time": now / 1_000_000_000, "timeNano": now});
        let line = Bytes::from(format!("{event}\n"));
        let mut engine = self.engine();
        engine.past.push_back((now, line.clone()));
        if engine.past.len() > REMEMBERED {
            engine.past.pop_front();
        }
        // Under the lock: whoever subscribes has it either in the past or in the stream.
        drop(self.shared.events.send(Message::Event(line)));
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

async fn info(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let engine = shared.engine.lock().expect("no panic inside the fake");
    Json(json!({"ID": engine.id, "Name": "dockerhost"}))
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

async fn events(State(shared): State<Arc<Shared>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let nanos = |name: &str| {
        let (seconds, rest) = query.get(name)?.split_once('.')?;
        Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + rest.parse::<u64>().ok()?)
    };
    let (since, until) = (nanos("since").unwrap_or(u64::MAX), nanos("until"));
    let (past, receiver) = {
        let engine = shared.engine.lock().expect("no panic inside the fake");
        let told = engine.past.iter().filter(|(at, _)| since <= *at && until.is_none_or(|until| *at <= until));
        let past: Vec<_> = told.map(|(_, line)| Ok::<_, std::convert::Infallible>(line.clone())).collect();
        (past, shared.events.subscribe())
    };
    if until.is_some() {
        return Body::from_stream(stream::iter(past)).into_response();
    }
    let lines = stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Ok(Message::Event(line)) => Some((Ok::<_, std::convert::Infallible>(line), receiver)),
            Ok(Message::Cut) | Err(_) => None,
        }
    });
    // The head of the answer goes out at once, as the real engine's does.
    let past = stream::iter([Ok(Bytes::new())].into_iter().chain(past));
    Body::from_stream(past.chain(lines)).into_response()
}
