//! A fake Docker engine that serves the API on a unix socket, and that can hang, end its streams, lose events, and have
//! ten thousand containers.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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

/// The id of the engine.
pub const ENGINE: &str = "FAKE:ENGINE";

/// The number of past events that an engine keeps.
const KEPT_EVENTS: usize = 256;

/// A fake engine that listens until it is dropped.
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
    name: String,
    past: VecDeque<(u64, Bytes)>,
    containers: BTreeMap<String, Value>,
    summaries: BTreeMap<String, Value>,
    requests: Vec<String>,
    stalled: BTreeSet<String>,
    failing: BTreeSet<String>,
    inspection_delay: Duration,
    list_delay: Duration,
    stream_limit: Option<Duration>,
    stream_ended_at: Option<Instant>,
    longest_stream_gap: Duration,
    info: serde_json::Map<String, Value>,
    networks: Option<Value>,
    hanging_networks: bool,
    broken: bool,
}

impl FakeDocker {
    /// Starts an engine without containers.
    pub fn start() -> Self {
        Self::start_as(ENGINE)
    }

    /// Starts an engine with another id.
    pub fn start_as(id: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let engine = Mutex::new(Engine { id: id.to_owned(), name: "dockerhost".to_owned(), ..Engine::default() });
        let shared = Arc::new(Shared { engine, events: broadcast::Sender::new(200_000) });
        let mut fake = Self { directory, shared, runtime: None };
        fake.resume();
        fake
    }

    /// Listens again after [`stop`](Self::stop).
    pub fn resume(&mut self) {
        let shared = &self.shared;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let routes = Router::new()
            .route("/version", get(version))
            .route("/info", get(info))
            .route("/containers/json", get(list))
            .route("/containers/{id}/json", get(inspect))
            .route("/networks", get(networks))
            .route("/events", get(events));
        let app = Router::new()
            .merge(routes.clone())
            .nest("/{version}", routes)
            .layer(middleware::from_fn_with_state(Arc::clone(shared), record_request))
            .with_state(Arc::clone(shared));
        let listener = std::os::unix::net::UnixListener::bind(self.socket()).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        runtime.spawn(async move { axum::serve(UnixListener::from_std(listener).expect("a socket"), app).await });
        self.runtime = Some(runtime);
    }

    /// Closes all connections and removes the socket, like an engine that stops.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
        std::fs::remove_file(self.socket()).expect("the socket");
    }

    /// The path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// The value for `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Changes the name of the host, without an event.
    pub fn rename_host(&self, name: &str) {
        name.clone_into(&mut self.engine().name);
    }

    /// Adds or changes a container without an event. `inspect` is the answer to an inspection.
    pub fn set(&self, inspect: Value) {
        let id = inspect["Id"].as_str().expect("an id").to_owned();
        self.engine().containers.insert(id, inspect);
    }

    /// Adds or changes a container whose inspection may lack the id, without an event.
    pub fn set_as(&self, id: &str, inspect: Value) {
        self.set_summary(id, json!({"Id": id, "Names": [inspect["Name"]]}));
        self.engine().containers.insert(id.to_owned(), inspect);
    }

    /// Sets the item of a container in lists.
    pub fn set_summary(&self, id: &str, summary: Value) {
        self.engine().summaries.insert(id.to_owned(), summary);
    }

    /// Removes a container without an event.
    pub fn unset(&self, id: &str) {
        self.engine().containers.remove(id);
    }

    /// Adds a container, with an event.
    pub fn run(&self, inspect: Value) {
        let id = inspect["Id"].as_str().expect("an id").to_owned();
        self.set(inspect);
        self.event("start", &id, &[]);
    }

    /// Removes a container, with an event.
    pub fn die(&self, id: &str) {
        self.unset(id);
        self.event("die", id, &[("exitCode", "0")]);
    }

    /// Sends an event of a container.
    pub fn event(&self, action: &str, id: &str, attributes: &[(&str, &str)]) {
        let attributes: BTreeMap<_, _> = attributes.iter().copied().collect();
        self.send("container", action, json!({"ID": id, "Attributes": attributes}));
    }

    /// Sends an event of a network that a container is connected to or disconnected from.
    pub fn network_event(&self, action: &str, container: &str) {
        self.send("network", action, json!({"ID": "network", "Attributes": {"container": container}}));
    }

    /// Adds a past event of a container, of this age.
    pub fn past_event(&self, action: &str, id: &str, ago: Duration) {
        self.send_at(SystemTime::now() - ago, "container", action, json!({"ID": id, "Attributes": {}}));
    }

    fn send(&self, kind: &str, action: &str, actor: Value) {
        self.send_at(SystemTime::now(), kind, action, actor);
    }

    fn send_at(&self, at: SystemTime, kind: &str, action: &str, actor: Value) {
        let now = at.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let now = u64::try_from(now).expect("before 2554");
        let event = json!({"Type": kind, "Action": action, "Actor": actor,
            "scope": "local", "time": now / 1_000_000_000, "timeNano": now});
        let line = Bytes::from(format!("{event}\n"));
        let mut engine = self.engine();
        engine.past.push_back((now, line.clone()));
        if engine.past.len() > KEPT_EVENTS {
            engine.past.pop_front();
        }
        // Sent under the lock, so a new stream has the event either among the past ones or among the new ones.
        drop(self.shared.events.send(Message::Event(line)));
    }

    /// Sends a line on the event streams.
    pub fn send_line(&self, line: &str) {
        drop(self.shared.events.send(Message::Event(Bytes::from(format!("{line}\n")))));
    }

    /// Delays each list.
    pub fn slow_lists(&self, delay: Duration) {
        self.engine().list_delay = delay;
    }

    /// Ends each event stream after this time.
    pub fn limit_streams(&self, limit: Duration) {
        self.engine().stream_limit = Some(limit);
    }

    /// The longest time between the end of a stream at its limit and the beginning of the next one.
    pub fn longest_stream_gap(&self) -> Duration {
        self.engine().longest_stream_gap
    }

    /// Ends all event streams.
    pub fn cut(&self) {
        drop(self.shared.events.send(Message::Cut));
    }

    /// Lets inspections of this container hang.
    pub fn stall(&self, id: &str) {
        self.engine().stalled.insert(id.to_owned());
    }

    /// Answers inspections of this container again, including those that hang.
    pub fn unstall(&self, id: &str) {
        self.engine().stalled.remove(id);
    }

    /// Answers inspections of this container with 500, or ends that.
    pub fn fail_inspections(&self, id: &str, failing: bool) {
        let mut engine = self.engine();
        engine.failing.remove(id);
        engine.failing.extend(failing.then(|| id.to_owned()));
    }

    /// Delays each inspection.
    pub fn slow_down(&self, delay: Duration) {
        self.engine().inspection_delay = delay;
    }

    /// Sets a field of `/info`, such as `ID`, `Name` or `DockerRootDir`.
    pub fn set_info(&self, key: &str, value: &str) {
        self.engine().info.insert(key.to_owned(), value.into());
    }

    /// Sets the list of networks. Without it, the engine refuses to list them.
    pub fn set_networks(&self, networks: Value) {
        self.engine().networks = Some(networks);
    }

    /// Lets lists of networks hang, or ends that.
    pub fn hang_networks(&self, hangs: bool) {
        self.engine().hanging_networks = hangs;
    }

    /// Deletes the past events, like an engine with many later events.
    pub fn forget_events(&self) {
        self.engine().past.clear();
    }

    /// Answers every request with 500, or ends that.
    pub fn set_broken(&self, broken: bool) {
        self.engine().broken = broken;
    }

    /// The number of requests so far that contain this text.
    pub fn count(&self, part: &str) -> usize {
        self.engine().requests.iter().filter(|request| request.contains(part)).count()
    }

    /// All requests so far, as method and path with query.
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

/// The inspection of a running container that publishes `80/tcp` at `0.0.0.0:port`.
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

/// Records a request, and fails if a test has asked for that.
async fn record_request(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
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
    let mut info = json!({"ID": engine.id, "Name": engine.name});
    engine.info.iter().for_each(|(key, value)| info[key] = value.clone());
    Json(info)
}

async fn networks(State(shared): State<Arc<Shared>>) -> Response {
    let engine = || shared.engine.lock().expect("no panic inside the fake");
    while engine().hanging_networks {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let networks = engine().networks.clone();
    networks.map_or_else(|| failure(StatusCode::FORBIDDEN, "not for you"), |networks| Json(networks).into_response())
}

async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let delay = shared.engine.lock().expect("no panic inside the fake").list_delay;
    tokio::time::sleep(delay).await;
    let engine = shared.engine.lock().expect("no panic inside the fake");
    let all = engine.containers.iter();
    let summary = |(id, container): (&String, &Value)| {
        if let Some(summary) = engine.summaries.get(id) {
            return summary.clone();
        }
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
    let engine = || shared.engine.lock().expect("no panic inside the fake");
    let delay = engine().inspection_delay;
    tokio::time::sleep(delay).await;
    while engine().stalled.contains(id) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let failing = engine().failing.contains(id);
    let found = engine().containers.get(id).cloned();
    if failing {
        return failure(StatusCode::INTERNAL_SERVER_ERROR, "no such luck");
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
    let (past, receiver, limit) = {
        let mut engine = shared.engine.lock().expect("no panic inside the fake");
        if until.is_none()
            && let Some(ended_at) = engine.stream_ended_at.take()
        {
            engine.longest_stream_gap = engine.longest_stream_gap.max(ended_at.elapsed());
        }
        let selected = engine.past.iter().filter(|(at, _)| since <= *at && until.is_none_or(|until| *at <= until));
        let past: Vec<_> = selected.map(|(_, line)| Ok::<_, std::convert::Infallible>(line.clone())).collect();
        (past, shared.events.subscribe(), engine.stream_limit)
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
    // The empty first chunk sends the headers immediately, as a real engine does.
    let past = stream::iter([Ok(Bytes::new())].into_iter().chain(past));
    let end = async move {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
        shared.engine.lock().expect("no panic inside the fake").stream_ended_at = Some(Instant::now());
    };
    Body::from_stream(past.chain(lines).take_until(Box::pin(end))).into_response()
}
