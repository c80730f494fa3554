//! The few calls to the engine that we need.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{
    error::{Error, Failure},
    fields,
    http::{ANSWER_WITHIN, Http},
    networks::Networks,
    settings::{Endpoint, Settings, SettingsError},
    summary::summaries,
    translate,
};

/// How long one inspection may take: an engine can hang on a single container.
const INSPECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the list of networks may take. The callers can do without it.
const NETWORKS_WITHIN: Duration = Duration::from_secs(2);

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
    pub name: String,
    /// Its data directory, which two engines on one host do not share.
    pub root: String,
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
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
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
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
    pub async fn names(&self) -> Result<BTreeMap<String, String>, Error> {
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
    pub async fn life(&self, container: &str) -> Result<Life, Error> {
        self.connect().await?.life(container).await
    }

    /// Sends a signal (`SIGHUP`) to the main process of a container, given by name or id. Tells whether there was one.
    ///
    /// # Errors
    /// The engine cannot be reached, or refuses.
    pub async fn signal(&self, container: &str, signal: &str) -> Result<Life, Error> {
        let connection = self.connect().await?;
        match connection.life(container).await? {
            Life::Running => connection.signal(container, signal).await,
            dead => Ok(dead),
        }
    }

    /// Connects and settles the API version.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        Ok(Connection { http: Http::connect(&self.endpoint, self.address()).await? })
    }
}

/// A connection with a settled API version.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    http: Http,
}

impl Connection {
    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    pub(super) async fn engine(&self) -> Result<Engine, Error> {
        let info = self.info().await?;
        let id = fields::text(&info["ID"]).filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.http.failed(Failure::NoId))?;
        let text = |key: &str| fields::text(&info[key]).unwrap_or_default();
        Ok(Engine { id, name: text("Name"), root: text("DockerRootDir") })
    }

    /// What the engine's clock shows. Ours if it does not tell.
    pub(super) async fn clock(&self) -> Result<Timestamp, Error> {
        let told = fields::text(&self.info().await?["SystemTime"]);
        Ok(told.and_then(|time| Timestamp::from_str(&time).ok()).unwrap_or_else(Timestamp::now))
    }

    async fn info(&self) -> Result<Value, Error> {
        self.http.json(Method::GET, "/info", &[], "describe itself", ANSWER_WITHIN).await
    }

    /// All containers in short, those that have ended too.
    pub(super) async fn list(&self) -> Result<Vec<Value>, Error> {
        let action = "list its containers";
        match self.http.json(Method::GET, "/containers/json", &[("all", "true")], action, ANSWER_WITHIN).await? {
            Value::Array(list) => Ok(list),
            _ => Err(self.http.failed(Failure::Form { action, reason: "no list".to_owned() })),
        }
    }

    /// All networks.
    pub(super) async fn networks(&self) -> Result<Networks, Error> {
        let action = "list its networks";
        self.http.json(Method::GET, "/networks", &[], action, NETWORKS_WITHIN).await.map(|list| Networks::read(&list))
    }

    /// The name of an image, if it has one: `nginx:1.22`.
    pub(super) async fn image_name(&self, id: &str) -> Result<Option<String>, Error> {
        let path = format!("/images/{}/json", segment(id));
        let answer = self.http.json(Method::GET, &path, &[], "inspect an image", INSPECT_WITHIN).await;
        let Some(image) = found(answer)? else { return Ok(None) };
        let mut names = fields::list(&image["RepoTags"]).chain(fields::list(&image["RepoDigests"]));
        Ok(names.find_map(|name| name.as_str().filter(|name| !name.starts_with("<none>")).map(str::to_owned)))
    }

    /// One container in full; `None` if there is no such container.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Value>, Error> {
        let (path, action) = (format!("/containers/{}/json", segment(id)), "inspect a container");
        match found(self.http.json(Method::GET, &path, &[], action, INSPECT_WITHIN).await)? {
            Some(answer) if !translate::is_conclusive(&answer) => Err(self.http.failed(Failure::Inconclusive)),
            answer => Ok(answer),
        }
    }

    async fn life(&self, id: &str) -> Result<Life, Error> {
        Ok(match self.inspect(id).await? {
            None => Life::Missing,
            Some(found) if translate::runs(&found) == Some(true) => Life::Running,
            Some(_) => Life::Stopped,
        })
    }

    async fn signal(&self, id: &str, signal: &str) -> Result<Life, Error> {
        let (path, action) = (format!("/containers/{}/kill", segment(id)), "send a signal to a container");
        match self.http.json(Method::POST, &path, &[("signal", signal)], action, ANSWER_WITHIN).await {
            Ok(_) => Ok(Life::Running),
            // It has ended in between.
            Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(Life::Missing),
            Err(error) if error.is(StatusCode::CONFLICT) => Ok(Life::Stopped),
            Err(error) => Err(error),
        }
    }
}

/// A part of a path.
fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn found(answer: Result<Value, Error>) -> Result<Option<Value>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}
