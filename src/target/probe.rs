//! Asks whether a program works with its new files.

use std::{
    fmt,
    time::{Duration, Instant},
};

use reqwest::{Client, redirect};
use tokio::time;

use super::{program::ReloadError, settings};
use crate::core::condition::error_chain;

/// The wait between two questions.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// One URL, and who asks it.
#[derive(Debug)]
pub(super) struct HttpProbe {
    settings: settings::ProbeSettings,
    http: Client,
}

/// Names what is asked.
impl fmt::Display for HttpProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "probe {}", self.settings.url)
    }
}

impl HttpProbe {
    /// Redirects are not followed: they are an answer. Each question has a connection of its own, as a stranger's has.
    pub(super) fn new(settings: settings::ProbeSettings) -> Result<Self, reqwest::Error> {
        // An error means that the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let agent = concat!("portreeve/", env!("CARGO_PKG_VERSION"));
        let mut builder = Client::builder().user_agent(agent).redirect(redirect::Policy::none()).no_proxy();
        builder = builder.pool_max_idle_per_host(0).timeout(settings.timeout);
        if settings.url.scheme() == "http" {
            // Without this the system's authorities would be loaded, which a bare container does not have.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { http: builder.build()?, settings })
    }

    /// Asks until the answer is good, or the time is up.
    pub(super) async fn wait_until_ok(&self) -> Result<(), ReloadError> {
        let begin = Instant::now();
        loop {
            let Err(last) = self.send_request().await else { return Ok(()) };
            if begin.elapsed() + RETRY_INTERVAL >= self.settings.timeout {
                let (url, limit) = (self.settings.url.to_string(), self.settings.timeout);
                return Err(ReloadError::Probe { url, limit, last });
            }
            time::sleep(RETRY_INTERVAL).await;
        }
    }

    async fn send_request(&self) -> Result<(), String> {
        let answer = self.http.get(self.settings.url.clone()).send().await;
        let status = answer.map_err(|error| error_chain(&error.without_url()))?.status();
        let good = match self.settings.status {
            Some(wanted) => status.as_u16() == wanted,
            None => status.is_success() || status.is_redirection(),
        };
        if good { Ok(()) } else { Err(format!("the status was {status}")) }
    }
}
