//! One agent, and how a call to it is made. The calls themselves are in a file for each group.

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

/// How long an agent may take to answer, not counting the time that a blocking query was asked to wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that breaks so soon, while others stay open, was probably refused for their number.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// How long it takes at most until all connections to an agent that has ended are broken.
const AGENT_EXIT_TIME: Duration = Duration::from_millis(100);
/// The words of agents that say so when they have too many connections of one client.
const TOO_MANY_CONNECTIONS: &[u8] = b"too many concurrent connections";

/// A client of one agent. Clones share connections, permits and token.
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

/// One call, ready to be sent.
pub(super) struct ApiRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Vec<u8>>,
    /// How long the agent was asked to wait for a change.
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

    /// The same if there is a value.
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
    /// Reads the files that the settings name, but not the token's; connects to nobody yet.
    ///
    /// # Errors
    /// Settings that contradict each other, or certificates that cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ConsulSetupError> {
        settings.validate()?;
        // Fails only where somebody else was faster, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = settings.effective_address()?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The token would travel along to wherever a redirect leads.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("portreeve/", env!("CARGO_PKG_VERSION")))
            // A hundred instances arrive almost a millisecond earlier from an agent on this machine without it.
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
        let shared = ClientInner {
            http: builder.build().map_err(ConsulSetupError::Tls)?,
            address,
            base,
            token,
            limiter: ConnectionLimiter::new(settings.connections, settings.wait),
            settings: settings.clone(),
            in_flight: AtomicUsize::new(0),
        };
        Ok(Self { inner: Arc::new(shared) })
    }

    /// Where the agent is; nothing secret.
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// What the client was made of.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(super) fn limiter(&self) -> &ConnectionLimiter {
        &self.inner.limiter
    }

    /// Sends a call and reads the whole answer, whatever its status is.
    pub(super) async fn send_any_status(&self, call: ApiRequest) -> Result<ApiResponse, Error> {
        let name = call.name();
        let request = self.request(call)?;
        let open = InFlightRequest::enter(&self.inner.in_flight);
        let begin = Instant::now();
        let answered = async {
            let answer = request.send().await?;
            let (status, stamp) = (answer.status(), ResponseMeta::from(answer.headers()));
            Ok((status, stamp, answer.bytes().await?))
        };
        match answered.await {
            Ok((status, stamp, body)) => {
                if status == StatusCode::TOO_MANY_REQUESTS && contains(&body, TOO_MANY_CONNECTIONS) {
                    self.inner.limiter.reduce_capacity(open.others());
                }
                Ok(ApiResponse { call: name, status, meta: stamp, body: body.into() })
            }
            Err(error) => {
                drop(open);
                let hint =
                    if self.is_connection_limit(&error, begin.elapsed()).await { CONNECTION_LIMIT_HINT } else { "" };
                // The URL holds an index: with it, no two errors would be the same.
                Err(Error::Unreachable { call: name, hint, error: error.without_url() })
            }
        }
    }

    /// Whether a call failed because the agent has too many connections: it was taken and closed, and others stay.
    async fn is_connection_limit(&self, error: &reqwest::Error, after: Duration) -> bool {
        let ClientInner { limiter: permits, in_flight: open, .. } = &*self.inner;
        let refused = io_kind(error) == Some(std::io::ErrorKind::ConnectionRefused);
        if refused || (after >= REFUSED_WITHIN && !error.is_timeout()) {
            permits.record_agent_unavailable();
        }
        if refused || after >= REFUSED_WITHIN || error.is_timeout() || error.is_connect() {
            return false;
        }
        tokio::time::sleep(AGENT_EXIT_TIME).await;
        permits.record_closed_connection(open.load(Ordering::Relaxed))
    }

    /// Sends a call that has to succeed.
    pub(super) async fn send(&self, call: ApiRequest) -> Result<ApiResponse, Error> {
        self.send_any_status(call).await?.require_success()
    }

    fn request(&self, call: ApiRequest) -> Result<RequestBuilder, Error> {
        let ClientInner { http, base, settings, token, .. } = &*self.inner;
        let mut url = base.clone();
        url.set_path(&format!("{}{}", base.path().trim_end_matches('/'), call.path));
        let enterprise = [("ns", &settings.namespace), ("partition", &settings.partition)];
        let enterprise = enterprise
            .iter()
            .filter(|(key, _)| call.query.iter().all(|(given, _)| given != key))
            .filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let pairs = call.query.iter().map(|(key, value)| (*key, value.as_str())).chain(enterprise).collect::<Vec<_>>();
        // Consul adds up to a sixteenth to the wait, so that queries do not end all at once.
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

/// Counts the calls that are open now; one that is dropped on its way counts no more.
struct InFlightRequest<'a>(&'a AtomicUsize);

impl<'a> InFlightRequest<'a> {
    fn enter(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open)
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

/// What may help where an agent takes no more connections.
const CONNECTION_LIMIT_HINT: &str = "; the agent closed the connection, maybe because it has too many from this host (its \
                       limits.http_max_conns_per_client, or consul.connections here)";

fn contains(body: &[u8], words: &[u8]) -> bool {
    body.windows(words.len()).any(|window| window == words)
}
