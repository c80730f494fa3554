//! The client of an engine.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    error::{CallFailure, Error},
    fields,
    http::{ANSWER_TIMEOUT, HttpClient},
    networks::Networks,
    settings::{Endpoint, EndpointError, Settings},
    summary::summaries,
    translate,
};

/// The time limit of an inspection. An engine can hang on a single container.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit of a list of networks. It is short, because the callers can do without the list.
const NETWORKS_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of one engine. It connects at the first call.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    endpoint: Endpoint,
}

/// The identity of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// The id of the engine. It is unique, and stays the same across restarts.
    pub id: String,
    /// The name of its host.
    pub host_name: String,
    /// The data directory. Two engines on one host have different ones.
    pub data_dir: String,
}

/// Whether a container is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// Its main process runs.
    Running,
    /// The container exists, but its main process has exited or was not started.
    Stopped,
    /// The container does not exist.
    Missing,
}

impl Client {
    /// Creates a client. Does not connect.
    ///
    /// # Errors
    /// The host is invalid, or TLS is on without certificates.
    pub fn new(settings: Settings) -> Result<Self, EndpointError> {
        let endpoint = settings.endpoint()?;
        Ok(Self { settings, endpoint })
    }

    /// The address of the engine, for log lines.
    pub fn address(&self) -> &str {
        self.settings.address()
    }

    /// The identity of the engine.
    ///
    /// # Errors
    /// The engine is unreachable, or its answer is invalid.
    pub async fn engine(&self) -> Result<Engine, Error> {
        self.connect().await?.engine().await
    }

    /// The names of all containers, by id.
    ///
    /// # Errors
    /// The engine is unreachable, or its answer is invalid.
    pub async fn container_names(&self) -> Result<BTreeMap<String, String>, Error> {
        let list = self.connect().await?.list().await?;
        Ok(summaries(&list).map(|(id, summary)| (id, summary.name)).collect())
    }

    /// The version of the engine.
    ///
    /// # Errors
    /// The engine is unreachable, or its answer is invalid.
    pub async fn version(&self) -> Result<String, Error> {
        let info = self.connect().await?.info().await?;
        Ok(fields::text(&info["ServerVersion"]).unwrap_or_default())
    }

    /// Whether a container, given by name or id, is running.
    ///
    /// # Errors
    /// The engine is unreachable, or its answer is invalid.
    pub async fn container_status(&self, container: &str) -> Result<ContainerStatus, Error> {
        self.connect().await?.container_status(container).await
    }

    /// Sends a signal such as `SIGHUP` to the main process of a container, given by name or id. Sends nothing if the
    /// container is not running. Returns the status of the container.
    ///
    /// # Errors
    /// The engine is unreachable, or refuses the call.
    pub async fn signal_container(&self, container: &str, signal: &str) -> Result<ContainerStatus, Error> {
        let connection = self.connect().await?;
        match connection.container_status(container).await? {
            ContainerStatus::Running => connection.signal_container(container, signal).await,
            not_running => Ok(not_running),
        }
    }

    /// Connects and negotiates the API version.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection { http: HttpClient::connect(&self.endpoint, self.address()).await? })
    }
}

/// A connection with a negotiated API version.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    http: HttpClient,
}

impl Connection {
    pub(super) fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(super) async fn engine(&self) -> Result<Engine, Error> {
        let info = self.info().await?;
        let id = fields::text(&info["ID"]).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.http.error(CallFailure::NoId))?;
        let text = |key: &str| fields::text(&info[key]).unwrap_or_default();
        Ok(Engine { id, host_name: text("Name"), data_dir: text("DockerRootDir") })
    }

    /// The time of the engine's clock, or of the local clock if the engine does not report it.
    pub(super) async fn clock(&self) -> Result<Timestamp, Error> {
        let time = fields::text(&self.info().await?["SystemTime"]);
        Ok(time.and_then(|time| Timestamp::from_str(&time).ok()).unwrap_or_else(Timestamp::now))
    }

    async fn info(&self) -> Result<Value, Error> {
        self.http.json(Method::GET, "/info", &[], "describe itself", ANSWER_TIMEOUT).await
    }

    /// The summaries of all containers, including stopped ones.
    pub(super) async fn list(&self) -> Result<Vec<Value>, Error> {
        let action = "list its containers";
        match self.http.json(Method::GET, "/containers/json", &[("all", "true")], action, ANSWER_TIMEOUT).await? {
            Value::Array(list) => Ok(list),
            _ => Err(self.http.error(CallFailure::UnexpectedForm { action, reason: "not a list".to_owned() })),
        }
    }

    /// All networks.
    pub(super) async fn networks(&self) -> Result<Networks, Error> {
        let action = "list its networks";
        self.http.json(Method::GET, "/networks", &[], action, NETWORKS_TIMEOUT).await.map(|list| Networks::read(&list))
    }

    /// The name of an image, such as `nginx:1.22`; `None` if it has none.
    pub(super) async fn image_name(&self, id: &str) -> Result<Option<String>, Error> {
        let path = format!("/images/{}/json", segment(id));
        let answer = self.http.json(Method::GET, &path, &[], "inspect an image", INSPECT_TIMEOUT).await;
        let Some(image) = none_if_not_found(answer)? else { return Ok(None) };
        let mut names = fields::list(&image["RepoTags"]).chain(fields::list(&image["RepoDigests"]));
        Ok(names.find_map(|name| name.as_str().filter(|name| !name.starts_with("<none>")).map(str::to_owned)))
    }

    /// The full description of a container; `None` if there is no such container.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Value>, Error> {
        let (path, action) = (format!("/containers/{}/json", segment(id)), "inspect a container");
        match none_if_not_found(self.http.json(Method::GET, &path, &[], action, INSPECT_TIMEOUT).await)? {
            Some(answer) if !translate::is_conclusive(&answer) => Err(self.http.error(CallFailure::Inconclusive)),
            answer => Ok(answer),
        }
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus, Error> {
        Ok(match self.inspect(id).await? {
            None => ContainerStatus::Missing,
            Some(found) if translate::is_running(&found) == Some(true) => ContainerStatus::Running,
            Some(_) => ContainerStatus::Stopped,
        })
    }

    async fn signal_container(&self, id: &str, signal: &str) -> Result<ContainerStatus, Error> {
        let (path, action) = (format!("/containers/{}/kill", segment(id)), "send a signal to a container");
        match self.http.json(Method::POST, &path, &[("signal", signal)], action, ANSWER_TIMEOUT).await {
            Ok(_) => Ok(ContainerStatus::Running),
            // It exited after the inspection.
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(ContainerStatus::Missing),
            Err(error) if error.has_status(StatusCode::CONFLICT) => Ok(ContainerStatus::Stopped),
            Err(error) => Err(error),
        }
    }
}

/// One segment of a path, escaped.
fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn none_if_not_found(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}
