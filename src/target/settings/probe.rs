//! The keys `probe`, `probe_timeout` and `probe_status`.

use std::time::Duration;

use reqwest::Url;

/// A request that tells whether a program works with its new files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// What is asked, with GET: `http://` or `https://`. The key `probe`.
    pub url: Url,
    /// How long there may be no good answer. Default 10 s.
    pub timeout: Duration,
    /// The only status that is good. Default: any of 200 to 399.
    pub status: Option<u16>,
}

impl ProbeSettings {
    /// How long there may be no good answer, unless the settings say otherwise.
    pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Understands a URL, or says what is wrong with it.
    pub(super) fn parse_url(url: &str) -> Result<Url, String> {
        let parsed = Url::parse(url).map_err(|error| error.to_string())?;
        match parsed.scheme() {
            "http" | "https" => Ok(parsed),
            other => Err(format!("{other} is not spoken; write http:// or https://")),
        }
    }
}
