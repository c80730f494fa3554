//! The few calls to the engine that we need.

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

/// How long one inspection may take: an engine can hang on a single container.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the list of networks may take. The callers can do without it.
const NETWORKS_TIMEOUT: Duration = Duration::from_secs(2);

/// A way to the engine. Nothing is connected before the first call.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
    endpoint: Endpoint,
}

/// What identifies an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Its own id: survives restarts, differs between engines.
    pub id: String,
    /// The name of its host.
    pub host_name: String,
    /// Its data directory, which two engines on one host do not share.
    pub data_dir: String,
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerStatus {
    /// It does.
    Running,
    /// There is such a container, but its program has ended or was not started.
    Stopped,
    /// There is no such container.
    Missing,
}

impl Client {
    /// Checks the settings.
    ///
    /// # Errors
    /// A host of an unknown form, or TLS without certificates.
    pub fn new(settings: Settings) -> Result<Self, EndpointError> {
        let endpoint = settings.endpoint()?;
        Ok(Self { settings, endpoint })
    }

    /// Where the engine is, for log lines.
    pub fn address(&self) -> &str {
        self.settings.address()
    }

    /// Asks the engine who it is.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not answer as one.
    pub async fn engine(&self) -> Result<Engine, Error> {
        self.connect().await?.engine().await
    }

    /// Id and name of every container, as a list shows them.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not answer as one.
    pub async fn container_names(&self) -> Result<BTreeMap<String, String>, Error> {
        let list = self.connect().await?.list().await?;
        Ok(summaries(&list).map(|(id, summary)| (id, summary.name)).collect())
    }

    /// The version of the engine.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not answer as one.
    pub async fn version(&self) -> Result<String, Error> {
        let info = self.connect().await?.info().await?;
        Ok(fields::text(&info["ServerVersion"]).unwrap_or_default())
    }

    /// Whether a container runs, by name or id.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not answer as one.
    pub async fn container_status(&self, container: &str) -> Result<ContainerStatus, Error> {
        self.connect().await?.container_status(container).await
    }

    /// Sends a signal (`SIGHUP`) to the main process of a container, given by name or id. Tells whether there was one.
    ///
    /// # Errors
    /// The engine cannot be reached, or refuses.
    pub async fn signal_container(&self, container: &str, signal: &str) -> Result<ContainerStatus, Error> {
        let connection = self.connect().await?;
        match connection.container_status(container).await? {
            ContainerStatus::Running => connection.signal_container(container, signal).await,
            dead => Ok(dead),
        }
    }

    /// Connects and settles the API version.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection { http: HttpClient::connect(&self.endpoint, self.address()).await? })
    }
}

/// A connection with a settled API version.
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

    /// What the engine's clock shows. Ours if it does not tell.
    pub(super) async fn clock(&self) -> Result<Timestamp, Error> {
        let told = fields::text(&self.info().await?["SystemTime"]);
        Ok(told.and_then(|time| Timestamp::from_str(&time).ok()).unwrap_or_else(Timestamp::now))
    }

    async fn info(&self) -> Result<Value, Error> {
        self.http.json(Method::GET, "/info", &[], "describe itself", ANSWER_TIMEOUT).await
    }

    /// All containers in short, those that have ended too.
    pub(super) async fn list(&self) -> Result<Vec<Value>, Error> {
        let action = "list its containers";
        match self.http.json(Method::GET, "/containers/json", &[("all", "true")], action, ANSWER_TIMEOUT).await? {
            Value::Array(list) => Ok(list),
            _ => Err(self.http.error(CallFailure::UnexpectedForm { action, reason: "no list".to_owned() })),
        }
    }

    /// All networks.
    pub(super) async fn networks(&self) -> Result<Networks, Error> {
        let action = "list its networks";
        self.http.json(Method::GET, "/networks", &[], action, NETWORKS_TIMEOUT).await.map(|list| Networks::read(&list))
    }

    /// The name of an image, if it has one: `nginx:1.22`.
    pub(super) async fn image_name(&self, id: &str) -> Result<Option<String>, Error> {
        let path = format!("/images/{}/json", segment(id));
        let answer = self.http.json(Method::GET, &path, &[], "inspect an image", INSPECT_TIMEOUT).await;
        let Some(image) = none_if_not_found(answer)? else { return Ok(None) };
        let mut names = fields::list(&image["RepoTags"]).chain(fields::list(&image["RepoDigests"]));
        Ok(names.find_map(|name| name.as_str().filter(|name| !name.starts_with("<none>")).map(str::to_owned)))
    }

    /// One container in full; `None` if there is no such container.
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
            // It has ended in between.
            Err(error) if error.has_status(StatusCode::NOT_FOUND) => Ok(ContainerStatus::Missing),
            Err(error) if error.has_status(StatusCode::CONFLICT) => Ok(ContainerStatus::Stopped),
            Err(error) => Err(error),
        }
    }
}

/// A part of a path.
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
