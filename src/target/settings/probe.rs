//! The keys `probe`, `probe_timeout` and `probe_status`.

use std::time::Duration;

use reqwest::Url;

/// A request that has to succeed when a program uses its new files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// The URL of the GET request: `http://` or `https://`. The key `probe`.
    pub url: Url,
    /// The time limit for a good answer. Default 10 s.
    pub timeout: Duration,
    /// The expected status. Default: any from 200 to 399.
    pub status: Option<u16>,
}

impl ProbeSettings {
    /// The default of `timeout`.
    pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Parses a URL; the error is a message.
    pub(super) fn parse_url(url: &str) -> Result<Url, String> {
        let parsed = Url::parse(url).map_err(|error| error.to_string())?;
        match parsed.scheme() {
            "http" | "https" => Ok(parsed),
            other => Err(format!("{other} is not supported; write http:// or https://")),
        }
    }
}
