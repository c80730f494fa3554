//! Checks with an HTTP request that a program works with its new files.

use std::{
    fmt,
    time::{Duration, Instant},
};

use reqwest::{Client, redirect};
use tokio::time;

use super::settings;
use crate::core::condition::error_chain;

/// The wait between two requests.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// One URL and the client that requests it.
#[derive(Debug)]
pub(super) struct HttpProbe {
    settings: settings::ProbeSettings,
    http: Client,
}

/// The program does not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("the probe {url} had no good answer within {timeout:?}: {last_problem}")]
pub(super) struct ProbeError {
    url: String,
    timeout: Duration,
    last_problem: String,
}

/// Identifies the probe.
impl fmt::Display for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe {}", self.settings.url)
    }
}

impl HttpProbe {
    /// A redirect counts as an answer and is not followed. Each request uses a new connection, like a new client.
    pub(super) fn new(settings: settings::ProbeSettings) -> Result<Self, reqwest::Error> {
        // An error means that the process already has a provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("portreeve/", env!("CARGO_PKG_VERSION"));
        let mut builder = Client::builder().user_agent(agent).redirect(redirect::Policy::none()).no_proxy();
        builder = builder.pool_max_idle_per_host(0).timeout(settings.timeout);
        if settings.url.scheme() == "http" {
            // Otherwise the system's certificate authorities are loaded, which a minimal container does not have.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { http: builder.build()?, settings })
    }

    /// Sends requests until an answer is good or the timeout has passed.
    pub(super) async fn wait_until_ok(&self) -> Result<(), ProbeError> {
        let begin = Instant::now();
        loop {
            let Err(last_problem) = self.send_request().await else { return Ok(()) };
            if begin.elapsed() + RETRY_INTERVAL >= self.settings.timeout {
                let (url, timeout) = (self.settings.url.to_string(), self.settings.timeout);
                return Err(ProbeError { url, timeout, last_problem });
            }
            time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn send_request(&self) -> Result<(), String> {
        let answer = self.http.get(self.settings.url.clone()).send().await;
        let status = answer.map_err(|error| error_chain(&error.without_url()))?.status();
        let is_good = match self.settings.status {
            Some(expected) => status.as_u16() == expected,
            None => status.is_success() || status.is_redirection(),
        };
        if is_good { Ok(()) } else { Err(format!("the status was {status}")) }
    }
}
