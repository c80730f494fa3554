//! The few calls to the engine that we need.

use std::time::Duration;

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerInspectResponse, ContainerSummary, EventMessage},
    query_parameters::{
        EventsOptionsBuilder, InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptions,
    },
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::settings::{Endpoint, Settings, SettingsError};

/// How long the engine may take to begin its answer, in seconds. The event stream is not cut by it.
const ANSWER_WITHIN: u64 = 30;

/// How long one inspection may take: an engine can hang on a single container that is in a bad way.
const INSPECT_WITHIN: Duration = Duration::from_secs(10);

/// The events that can change what we know; everything else (`exec_*` of health checks above all) stays in the engine.
const ACTIONS: [&str; 11] = [
    "start",
    "die",
    "kill",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
    "connect",
    "disconnect",
];

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
    /// What its clock showed.
    pub(super) clock: Option<Timestamp>,
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

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("cannot connect to Docker at {address}")]
    Connect {
        /// Where the engine should be.
        address: String,
        /// What went wrong.
        #[source]
        source: bollard::errors::Error,
    },
    /// A call failed.
    #[error("Docker at {address} failed to {action}")]
    Call {
        /// Where the engine is.
        address: String,
        /// What was asked.
        action: &'static str,
        /// What went wrong.
        #[source]
        source: bollard::errors::Error,
    },
    /// The event stream ended.
    #[error("Docker at {address} closed its event stream")]
    Closed {
        /// Where the engine is.
        address: String,
    },
    /// The answer lacks what no engine leaves out.
    #[error("Docker at {address} did not tell its id: is that a Docker engine?")]
    NoId {
        /// Where the engine is.
        address: String,
    },
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

    /// The version of the engine.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not answer as one.
    pub async fn version(&self) -> Result<String, Error> {
        let connection = self.connect().await?;
        let version = connection.docker.version().await.map_err(connection.failed("tell its version"))?;
        Ok(version.version.unwrap_or_default())
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
        let address = self.address().to_owned();
        let docker = match &self.endpoint {
            Endpoint::Unix(path) => Docker::connect_with_unix(path, ANSWER_WITHIN, API_DEFAULT_VERSION),
            Endpoint::Http(url) => Docker::connect_with_http(url, ANSWER_WITHIN, API_DEFAULT_VERSION),
            Endpoint::Tls { address, certs } => Docker::connect_with_ssl(
                address,
                &certs.join("key.pem"),
                &certs.join("cert.pem"),
                &certs.join("ca.pem"),
                ANSWER_WITHIN,
                API_DEFAULT_VERSION,
            ),
        };
        let negotiated = match docker {
            Ok(docker) => docker.negotiate_version().await,
            Err(error) => Err(error),
        };
        match negotiated {
            Ok(docker) => Ok(Connection { address, docker }),
            Err(source) => Err(Error::Connect { address, source }),
        }
    }
}

/// A connection with a settled API version.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    address: String,
    docker: Docker,
}

impl Connection {
    pub(super) async fn engine(&self) -> Result<Engine, Error> {
        let info = self.docker.info().await.map_err(self.failed("describe itself"))?;
        let clock = info.system_time.and_then(|time| time.to_string().parse().ok());
        let id = info.id.filter(|id| !id.is_empty()).ok_or_else(|| Error::NoId { address: self.address.clone() })?;
        Ok(Engine { id, name: info.name.unwrap_or_default(), clock })
    }

    /// All containers in short, those that have ended too.
    pub(super) async fn list(&self) -> Result<Vec<ContainerSummary>, Error> {
        let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        self.docker.list_containers(Some(all)).await.map_err(self.failed("list its containers"))
    }

    /// What an image is called, if it has a name: `nginx:1.22`.
    pub(super) async fn image_name(&self, id: &str) -> Result<Option<String>, Error> {
        match self.docker.inspect_image(id).await {
            Ok(image) => {
                let names = image.repo_tags.into_iter().flatten().chain(image.repo_digests.into_iter().flatten());
                Ok(names.into_iter().find(|name| !name.starts_with("<none>")))
            }
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed("inspect an image")(error)),
        }
    }

    /// One container in full; `None` if there is no such container.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, Error> {
        let inspect = self.docker.inspect_container(id, None::<InspectContainerOptions>);
        let answer = tokio::time::timeout(INSPECT_WITHIN, inspect).await;
        match answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError)) {
            Ok(inspect) => Ok(Some(inspect)),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(self.failed("inspect a container")(error)),
        }
    }

    async fn life(&self, id: &str) -> Result<Life, Error> {
        Ok(match self.inspect(id).await? {
            None => Life::Missing,
            Some(found) if found.state.as_ref().and_then(|state| state.running).unwrap_or(false) => Life::Running,
            Some(_) => Life::Stopped,
        })
    }

    async fn signal(&self, id: &str, signal: &str) -> Result<Life, Error> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        match self.docker.kill_container(id, Some(options)).await {
            Ok(()) => Ok(Life::Running),
            // It has ended in between.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(Life::Missing),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => Ok(Life::Stopped),
            Err(error) => Err(self.failed("send a signal to a container")(error)),
        }
    }

    /// Events from `since` on, the ones of the past first. The stream ends with an error in any case.
    pub(super) fn events(&self, since: Timestamp) -> impl Stream<Item = Result<EventMessage, Error>> + use<'_> {
        let filters = [("type", ["container", "network"].as_slice()), ("event", ACTIONS.as_slice())];
        let filters = filters.map(|(key, values)| (key, values.to_vec())).into_iter().collect();
        let options = EventsOptionsBuilder::new().since(&seconds(since)).filters(&filters).build();
        let closed = Error::Closed { address: self.address.clone() };
        let events = self.docker.events(Some(options));
        events.map(|event| event.map_err(self.failed("send events"))).chain(futures_util::stream::iter([Err(closed)]))
    }

    /// The events between two times of the past that tell what no inspection shows, as far as the engine remembers them.
    pub(super) async fn past_events(&self, since: Timestamp, until: Timestamp) -> Result<Vec<EventMessage>, Error> {
        let filters = [("type", ["container"].as_slice()), ("event", ["kill", "start"].as_slice())];
        let filters = filters.map(|(key, values)| (key, values.to_vec())).into_iter().collect();
        let options = EventsOptionsBuilder::new().since(&seconds(since)).until(&seconds(until)).filters(&filters);
        let events = self.docker.events(Some(options.build()));
        events.try_collect().await.map_err(self.failed("tell its past events"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(bollard::errors::Error) -> Error + use<> {
        let address = self.address.clone();
        move |source| Error::Call { address, action, source }
    }
}

/// A time as the engine takes it.
fn seconds(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}
