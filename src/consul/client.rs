//! The client of one agent: sends a call and reads the response. The calls are in one file for each group of the API.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, StatusCode, Url, redirect};

use super::{
    Address, ConsulSetupError, Error, Secret, Settings, connection_limiter::ConnectionLimiter, response::ApiResponse,
    response::ResponseMeta, tls, token::Token,
};
use crate::core::condition::io_kind;

/// The time limit of a call, without the wait of a blocking query.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that breaks within this time, while others stay open, was probably refused because there are too many.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// After an agent has exited, all connections to it break within this time.
const AGENT_EXIT_TIME: Duration = Duration::from_millis(100);
/// A part of the body with which an agent answers 429 if one client has too many connections.
const TOO_MANY_CONNECTIONS: &[u8] = b"too many concurrent connections";

/// A client of one agent. Clones share the connections, the connection limiter and the token.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<ClientInner>,
}

#[derive(Debug)]
struct ClientInner {
    http: reqwest::Client,
    address: Address,
    base: Url,
    settings: Settings,
    token: Token,
    limiter: ConnectionLimiter,
    in_flight: AtomicUsize,
}

/// One call before it is sent.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
    /// How long the agent may wait for a change before it answers.
    pub(super) wait: Duration,
}

impl ApiRequest {
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), query: Vec::new(), body: None, wait: Duration::ZERO }
    }

    pub(super) fn put(path: impl Into<String>) -> Self {
        Self { method: Method::PUT, ..Self::get(path) }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    /// Adds the parameter if it has a value.
    pub(super) fn with_optional(self, key: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Client {
    /// Reads the certificates that the settings name, but not the token file. Does not connect.
    ///
    /// # Errors
    /// The settings contradict each other, or a certificate cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ConsulSetupError> {
        settings.validate()?;
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = settings.effective_address()?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A redirect would send the token to another host.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("portreeve/", env!("CARGO_PKG_VERSION")))
            // Measured: without compression, a hundred instances arrive almost a millisecond earlier from a local
            // agent.
            .gzip(!address.is_local())
            .no_proxy();
        let mut base = match &address {
            Address::Url(url) => url.clone(),
            Address::Unix(_) => Url::parse("http://localhost").expect("a plain URL"),
        };
        builder = match &address {
            Address::Unix(path) => tls::without_tls(builder).unix_socket(path.clone()),
            Address::Url(url) if url.scheme() == "https" => tls::configure(builder, settings, &mut base)?,
            Address::Url(_) => tls::without_tls(builder),
        };
        let token = Token::new(settings.token.as_ref(), settings.token_file.as_deref())?;
        let inner = ClientInner {
            http: builder.build().map_err(ConsulSetupError::Tls)?,
            address,
            base,
            token,
            limiter: ConnectionLimiter::new(settings.connections, settings.wait),
            settings: settings.clone(),
            in_flight: AtomicUsize::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The address of the agent. It contains no secret.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The settings of the client.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(super) fn limiter(&self) -> &ConnectionLimiter {
        &self.inner.limiter
    }

    /// Sends a call and reads the whole response, with any status.
    pub(super) async fn send_any_status(&self, call: ApiRequest) -> Result<ApiResponse, Error> {
        let name = call.name();
        let request = self.request(call)?;
        let in_flight = InFlightRequest::enter(&self.inner.in_flight);
        let started = Instant::now();
        let result = async {
            let response = request.send().await?;
            let (status, meta) = (response.status(), ResponseMeta::from(response.headers()));
            Ok((status, meta, response.bytes().await?))
        };
        match result.await {
            Ok((status, meta, body)) => {
                if status == StatusCode::TOO_MANY_REQUESTS && contains(&body, TOO_MANY_CONNECTIONS) {
                    self.inner.limiter.reduce_capacity(in_flight.others());
                }
                Ok(ApiResponse { call: name, status, meta, body: body.into() })
            }
            Err(error) => {
                drop(in_flight);
                let hint =
                    if self.is_connection_limit(&error, started.elapsed()).await { CONNECTION_LIMIT_HINT } else { "" };
                // The URL contains the index. With the URL, no two errors would be equal, and each would be logged.
                Err(Error::Unreachable { call: name, hint, error: error.without_url() })
            }
        }
    }

    /// Whether a call probably failed because the agent has too many connections: the agent accepted the connection and
    /// closed it, while others stay open.
    async fn is_connection_limit(&self, error: &reqwest::Error, after: Duration) -> bool {
        let ClientInner { limiter, in_flight, .. } = &*self.inner;
        let refused = io_kind(error) == Some(std::io::ErrorKind::ConnectionRefused);
        if refused || (after >= REFUSED_WITHIN && !error.is_timeout()) {
            limiter.record_agent_unavailable();
        }
        if refused || after >= REFUSED_WITHIN || error.is_timeout() || error.is_connect() {
            return false;
        }
        tokio::time::sleep(AGENT_EXIT_TIME).await;
        limiter.record_closed_connection(in_flight.load(Ordering::Relaxed))
    }

    /// Sends a call. Any status but success is an error.
    pub(super) async fn send(&self, call: ApiRequest) -> Result<ApiResponse, Error> {
        self.send_any_status(call).await?.require_success()
    }

    fn request(&self, call: ApiRequest) -> Result<RequestBuilder, Error> {
        let ClientInner { http, base, settings, token, .. } = &*self.inner;
        let mut url = base.clone();
        url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), call.path));
        let defaults = [("ns", &settings.namespace), ("partition", &settings.partition)];
        let defaults = defaults
            .iter()
            .filter(|(key, _)| call.query.iter().all(|(given, _)| given != key))
            .filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let pairs = call.query.iter().map(|(key, value)| (*key, value.as_str())).chain(defaults).collect::<Vec<_>>();
        // Consul adds up to a sixteenth to the wait, so that not all queries end at the same time.
        let mut request = http.request(call.method, url).timeout(TIMEOUT + call.wait + call.wait / 16);
        if !pairs.is_empty() {
            request = request.query(&pairs);
        }
        if let Some(value) = token.header()? {
            request = request.header("x-consul-token", value);
        }
        if let Some((user, password)) = settings.http_auth.as_ref().map(credentials) {
            request = request.basic_auth(user, password);
        }
        Ok(match call.body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        })
    }
}

fn credentials(auth: &Secret) -> (&str, Option<&str>) {
    auth.expose().split_once(':').map_or((auth.expose(), None), |(user, password)| (user, Some(password)))
}

/// Counts the calls in flight. Dropping it, which includes the cancellation of a call, decrements the count.
struct InFlightRequest<'a>(&'a AtomicUsize);

impl<'a> InFlightRequest<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }

    fn others(&self) -> usize {
        self.0.load(Ordering::Relaxed) - 1
    }
}

impl Drop for InFlightRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The hint for an agent that accepts no more connections.
const CONNECTION_LIMIT_HINT: &str = "; the agent closed the connection, maybe because this host has too many: \
                                     raise its limits.http_max_conns_per_client, or lower consul.connections here";

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}
