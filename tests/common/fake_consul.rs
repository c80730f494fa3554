//! A fake Consul agent that records all requests, and that can fail, hang and lose its data.
//!
//! It has services, checks and maintenance mode, and serves the same HTTP API as an agent.

#![allow(dead_code, unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use serde_json::{Map, Value, json};

/// A fake agent that listens until it is dropped.
pub struct FakeConsul {
    address: String,
    shared: Arc<Mutex<Agent>>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Default)]
struct Agent {
    advertised: String,
    services: BTreeMap<String, Value>,
    maintenance: BTreeMap<String, String>,
    checks: BTreeMap<String, Value>,
    registrations: Vec<Value>,
    registered_at: BTreeMap<String, Instant>,
    writes: Vec<String>,
    reads: Vec<String>,
    tokens: Vec<String>,
    failing: Option<StatusCode>,
    refusing: BTreeMap<String, StatusCode>,
    hanging: BTreeSet<String>,
    hang_after: Option<usize>,
    page_for_writes: bool,
}

type Shared = State<Arc<Mutex<Agent>>>;

impl FakeConsul {
    /// Starts an agent without services that advertises this address.
    pub fn start(advertised: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let shared = Arc::new(Mutex::new(Agent { advertised: advertised.to_owned(), ..Agent::default() }));
        let app = Router::new()
            .route("/v1/agent/self", get(agent_self))
            .route("/v1/agent/services", get(services))
            .route("/v1/agent/checks", get(checks))
            .route("/v1/agent/service/register", put(register))
            .route("/v1/agent/service/deregister/{id}", put(deregister))
            .route("/v1/agent/service/maintenance/{id}", put(maintain))
            .route("/v1/agent/check/update/{id}", put(update_check))
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), record_request))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = format!("http://{}", listener.local_addr().expect("a bound socket"));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, app).await
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// The value for `CONSUL_HTTP_ADDR`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Adds a service that another client has registered.
    pub fn add(&self, service: Value) {
        let id = service["ID"].as_str().expect("an id").to_owned();
        self.agent().services.insert(id, service);
    }

    /// Adds a check that another client has registered, or a check of the node.
    pub fn add_check(&self, check: Value) {
        let id = check["CheckID"].as_str().expect("an id").to_owned();
        self.agent().checks.insert(id, check);
    }

    /// Sets the result of a check.
    pub fn judge(&self, check: &str, status: &str, output: &str) {
        let mut agent = self.agent();
        let check = agent.checks.get_mut(check).expect("a check that was registered");
        check["Status"] = status.into();
        check["Output"] = output.into();
    }

    /// Deletes all data, like a restart of an agent without a data directory.
    pub fn forget(&self) {
        let mut agent = self.agent();
        agent.services.clear();
        agent.maintenance.clear();
        agent.checks.clear();
    }

    /// Changes the advertised address.
    pub fn advertise(&self, address: &str) {
        address.clone_into(&mut self.agent().advertised);
    }

    /// Answers every request with this status. `None` ends the failure.
    pub fn fail(&self, status: Option<StatusCode>) {
        self.agent().failing = status;
    }

    /// Answers registrations of this id with this status; `None` ends that.
    pub fn refuse(&self, id: &str, status: Option<StatusCode>) {
        let mut agent = self.agent();
        agent.refusing.remove(id);
        agent.refusing.extend(status.map(|status| (id.to_owned(), status)));
    }

    /// Lets registrations of this id hang, or ends that.
    pub fn hang(&self, id: &str, hangs: bool) {
        let mut agent = self.agent();
        agent.hanging.remove(id);
        agent.hanging.extend(hangs.then(|| id.to_owned()));
    }

    /// After this number of writes, all requests hang and no write is executed; `None` ends that.
    pub fn hang_after(&self, writes: Option<usize>) {
        self.agent().hang_after = writes;
    }

    /// Answers writes with an HTML page, like a proxy that asks for a login, without executing them.
    pub fn answer_writes_with_a_page(&self) {
        self.agent().page_for_writes = true;
    }

    /// The bodies of all registrations so far.
    pub fn registrations(&self) -> Vec<Value> {
        self.agent().registrations.clone()
    }

    /// The number of registrations of this id so far.
    pub fn registrations_of(&self, id: &str) -> usize {
        self.agent().registrations.iter().filter(|body| body["ID"] == id).count()
    }

    /// The ids of the current services.
    pub fn ids(&self) -> Vec<String> {
        self.agent().services.keys().cloned().collect()
    }

    /// The number of current services.
    pub fn count(&self) -> usize {
        self.agent().services.len()
    }

    /// The ports of the current services, by id.
    pub fn ports(&self) -> BTreeMap<String, u16> {
        let port = |service: &Value| service["Port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0);
        self.agent().services.iter().map(|(id, service)| (id.clone(), port(service))).collect()
    }

    /// The ids of the current checks, without those of maintenance mode.
    pub fn checks(&self) -> Vec<String> {
        self.agent().checks.keys().cloned().collect()
    }

    /// The time of the last registration of this id.
    pub fn registered_at(&self, id: &str) -> Option<Instant> {
        self.agent().registered_at.get(id).copied()
    }

    /// The services in maintenance mode, with the reasons.
    pub fn in_maintenance(&self) -> BTreeMap<String, String> {
        self.agent().maintenance.clone()
    }

    /// Enables maintenance mode, as another client.
    pub fn take_out(&self, id: &str, reason: &str) {
        self.agent().maintenance.insert(id.to_owned(), reason.to_owned());
    }

    /// Disables maintenance mode, as another client.
    pub fn bring_back(&self, id: &str) {
        self.agent().maintenance.remove(id);
    }

    /// All writes so far, as method and path with query.
    pub fn writes(&self) -> Vec<String> {
        self.agent().writes.clone()
    }

    /// All reads so far, as method and path with query.
    pub fn reads(&self) -> Vec<String> {
        self.agent().reads.clone()
    }

    /// The tokens of all requests so far.
    pub fn tokens(&self) -> Vec<String> {
        self.agent().tokens.clone()
    }

    fn agent(&self) -> MutexGuard<'_, Agent> {
        self.shared.lock().expect("no panic inside the fake")
    }
}

impl Drop for FakeConsul {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(shared: &Mutex<Agent>) -> MutexGuard<'_, Agent> {
    shared.lock().expect("no panic inside the fake")
}

/// Records a request, and fails or hangs if a test has asked for that.
async fn record_request(State(shared): Shared, request: Request, next: Next) -> Response {
    let is_write = request.method() == "PUT";
    let (failing, hangs, page) = {
        let mut agent = lock(&shared);
        let line = format!("{} {}", request.method(), request.uri());
        if request.method() == "PUT" {
            agent.writes.push(line)
        } else {
            agent.reads.push(line)
        }
        let token = request.headers().get("x-consul-token").map(|token| token.to_str().expect("text").to_owned());
        agent.tokens.push(token.unwrap_or_default());
        let hangs = agent.hang_after.is_some_and(|writes| agent.writes.len() > writes);
        (agent.failing, hangs, agent.page_for_writes && is_write)
    };
    if page {
        return axum::response::Html("<html><form action=/login></form></html>").into_response();
    }
    if hangs {
        std::future::pending::<()>().await;
    }
    match failing {
        Some(status) => (status, "failing on purpose").into_response(),
        None => next.run(request).await,
    }
}

async fn agent_self(State(shared): Shared) -> Json<Value> {
    let address = lock(&shared).advertised.clone();
    Json(json!({"Config": {"Datacenter": "dc1", "NodeName": "fake"}, "Member": {"Addr": address, "Name": "fake"},
        "DebugConfig": {"AdvertiseAddrLAN": address}}))
}

async fn services(State(shared): Shared) -> Json<Value> {
    Json(lock(&shared).services.iter().map(|(id, service)| (id.clone(), service.clone())).collect::<Map<_, _>>().into())
}

async fn checks(State(shared): Shared) -> Json<Value> {
    let agent = lock(&shared);
    let check = |(id, reason): (&String, &String)| {
        let check = format!("_service_maintenance:{id}");
        let body = json!({"CheckID": check, "Name": "Service Maintenance Mode", "Status": "critical", "Notes": reason, "ServiceID": id});
        (check, body)
    };
    let registered = agent.checks.iter().map(|(id, check)| (id.clone(), check.clone()));
    Json(agent.maintenance.iter().map(check).chain(registered).collect::<Map<_, _>>().into())
}

/// The checks of a registration, as the agent lists them.
fn checks_of(body: &Value) -> Vec<(String, Value)> {
    let kinds = [
        ("HTTP", "http"),
        ("TCP", "tcp"),
        ("GRPC", "grpc"),
        ("H2PING", "h2ping"),
        ("TTL", "ttl"),
        ("DockerContainerID", "docker"),
        ("Args", "script"),
    ];
    let default_name = format!("Service '{}' check", body["Name"].as_str().expect("portreeve always sends a name"));
    let check = |check: &Value| {
        let id = check["CheckID"].as_str().expect("portreeve always sends an id").to_owned();
        let kind = kinds.iter().find(|(field, _)| check.get(field).is_some()).map(|(_, kind)| *kind);
        let (name, status) = (check.get("Name").cloned(), check.get("Status").cloned());
        let shown = json!({"CheckID": id, "Name": name.unwrap_or_else(|| default_name.clone().into()), "Type": kind,
            "Status": status.unwrap_or_else(|| "critical".into()), "Notes": "", "ServiceID": body["ID"]});
        (id, shown)
    };
    let checks = body["Checks"].as_array().into_iter().flatten();
    // The check of maintenance mode is stored in `maintenance`.
    let checks =
        checks.filter(|check| !check["CheckID"].as_str().is_some_and(|id| id.starts_with("_service_maintenance")));
    checks.map(check).collect()
}

async fn update_check(State(shared): Shared, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    match lock(&shared).checks.get_mut(&id) {
        Some(check) => {
            check["Status"] = body["Status"].clone();
            check["Output"] = body["Output"].clone();
            StatusCode::OK.into_response()
        }
        None => {
            let message = format!("CheckID \"{id}\" does not have associated TTL");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

async fn register(State(shared): Shared, Query(query): Query<BTreeMap<String, String>>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "not JSON").into_response();
    };
    let id = body["ID"].as_str().expect("portreeve always sends an id").to_owned();
    let service = json!({"ID": id, "Service": body["Name"], "Tags": body.get("Tags").unwrap_or(&json!([])),
        "Meta": body.get("Meta").unwrap_or(&json!({})), "Port": body["Port"], "Address": body["Address"],
        "Weights": body.get("Weights").unwrap_or(&json!({"Passing": 1, "Warning": 1})), "EnableTagOverride": false});
    if lock(&shared).hanging.contains(&id) {
        lock(&shared).registrations.push(body);
        return std::future::pending().await;
    }
    let mut agent = lock(&shared);
    if let Some(status) = agent.refusing.get(&id) {
        return (*status, "not this one").into_response();
    }
    if query.contains_key("replace-existing-checks") {
        agent.maintenance.remove(&id);
        agent.checks.retain(|_, check| check["ServiceID"] != *id);
    }
    agent.checks.extend(checks_of(&body));
    let maintenance = format!("_service_maintenance:{id}");
    let reasons = body["Checks"].as_array().into_iter().flatten().filter(|check| check["CheckID"] == *maintenance);
    let reasons = reasons.map(|check| (id.clone(), check["Notes"].as_str().unwrap_or_default().to_owned()));
    agent.maintenance.extend(reasons.collect::<Vec<_>>());
    agent.registrations.push(body);
    agent.registered_at.insert(id.clone(), Instant::now());
    agent.services.insert(id, service);
    StatusCode::OK.into_response()
}

async fn deregister(State(shared): Shared, Path(id): Path<String>) -> StatusCode {
    let mut agent = lock(&shared);
    agent.services.remove(&id);
    agent.maintenance.remove(&id);
    agent.checks.retain(|_, check| check["ServiceID"] != *id);
    StatusCode::OK
}

async fn maintain(
    State(shared): Shared,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut agent = lock(&shared);
    if !agent.services.contains_key(&id) {
        return (StatusCode::NOT_FOUND, "Unknown service").into_response();
    }
    if query["enable"] == "true" {
        let reason = query.get("reason").cloned().unwrap_or_default();
        agent.maintenance.entry(id).or_insert(reason);
    } else {
        agent.maintenance.remove(&id);
    }
    StatusCode::OK.into_response()
}
