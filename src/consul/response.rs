//! The response of an agent: status, metadata from the headers, and body.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;

use super::Error;
use crate::core::value::one_line;

/// The maximum length of an agent's text in an error, in characters.
const MAX_ERROR_TEXT: usize = 300;

/// A complete response with any status.
#[derive(Debug)]
pub(super) struct ApiResponse {
    pub(super) call: String,
    pub(super) status: StatusCode,
    pub(super) meta: ResponseMeta,
    pub(super) body: Vec<u8>,
}

/// The metadata in the headers of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseMeta {
    /// `X-Consul-Index`: the index of the data. `None` for calls that cannot wait for a change.
    pub index: Option<u64>,
    /// `X-Consul-Knownleader`: whether the server has a leader. Default true.
    pub known_leader: bool,
    /// `X-Consul-Lastcontact`: the time since the last contact of the server with the leader. Default 0.
    pub last_contact: Duration,
    /// `X-Consul-Results-Filtered-By-ACLs`: whether the token may not read a part of the data. Default false.
    pub filtered: bool,
}

impl From<&HeaderMap> for ResponseMeta {
    fn from(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|value: &str| value.parse().ok());
        Self {
            index: number("x-consul-index"),
            known_leader: text("x-consul-knownleader") != Some("false"),
            last_contact: Duration::from_millis(number("x-consul-lastcontact").unwrap_or(0)),
            filtered: text("x-consul-results-filtered-by-acls") == Some("true"),
        }
    }
}

impl ApiResponse {
    /// Returns the response if its status is a success.
    pub(super) fn require_success(self) -> Result<Self, Error> {
        let status = self.status.as_u16();
        if self.status.is_success() {
            return Ok(self);
        }
        // An agent redirects only requests for its web interface, and no API call returns HTML.
        if self.status.is_redirection() || (self.is_html() && !matches!(status, 401 | 403)) {
            return Err(self.not_consul());
        }
        let (answer, call) = (error_text(self.status, &self.body), self.call);
        Err(match status {
            401 | 403 => Error::Denied { call, status, answer },
            408 | 425 | 429 | 500.. => Error::ServerError { call, status, answer },
            _ => Error::Refused { call, status, answer },
        })
    }

    /// Returns the response if its status is 200 and it has an `X-Consul-Index`, as each response to a blocking query
    /// has. A 204, for example, is from a proxy; it does not mean an empty value.
    pub(super) fn require_index(self) -> Result<Self, Error> {
        let response = self.require_success()?;
        let is_consuls = response.status == StatusCode::OK && response.meta.index.is_some();
        if is_consuls { Ok(response) } else { Err(response.not_consul()) }
    }

    /// Checks that a write succeeded. The response of an agent to a write is empty.
    pub(super) fn require_written(self) -> Result<(), Error> {
        let response = self.require_success()?;
        if response.body.trim_ascii().is_empty() { Ok(()) } else { Err(response.not_consul()) }
    }

    pub(super) fn not_consul(&self) -> Error {
        let what = match (self.status.is_redirection(), self.is_html(), self.body.is_empty()) {
            (true, ..) => "a redirection",
            (_, true, _) => "an HTML page",
            (.., true) => "an empty response",
            _ if self.meta.index.is_some() => "a status that Consul does not use for a read",
            _ => "a body without X-Consul-Index, or an unexpected body",
        };
        Error::NotConsul { call: self.call.clone(), what: format!("{what} ({})", self.status) }
    }

    /// Whether the body is HTML for a browser. The value of a key may be HTML too, but its response has an index.
    fn is_html(&self) -> bool {
        self.meta.index.is_none() && self.body.trim_ascii_start().starts_with(b"<")
    }

    /// Parses the body as JSON. It is an error if `is_consuls` rejects the value.
    pub(super) fn json_matching<T: DeserializeOwned>(&self, is_consuls: impl Fn(&T) -> bool) -> Result<T, Error> {
        let value = self.json()?;
        if is_consuls(&value) { Ok(value) } else { Err(self.malformed("names or ids are missing")) }
    }

    /// Parses the body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.is_html() {
            return Err(self.not_consul());
        }
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error))
    }

    pub(super) fn malformed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Malformed { call: self.call.clone(), source: source.into() }
    }
}

/// The body on one line, or the standard name of the status if the body is empty.
fn error_text(status: StatusCode, body: &[u8]) -> String {
    let text = one_line(&String::from_utf8_lossy(body), MAX_ERROR_TEXT);
    if text.is_empty() { status.canonical_reason().unwrap_or("no reason given").to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response_of(status: u16, body: &str) -> Result<ApiResponse, Error> {
        let meta = ResponseMeta::from(&HeaderMap::new());
        let status = StatusCode::from_u16(status).expect("a status");
        ApiResponse { call: "GET /v1/x".into(), status, meta, body: body.into() }.require_success()
    }

    #[test]
    fn statuses_are_mapped_to_errors() {
        assert!(response_of(200, "").is_ok());
        for status in [400, 404, 405, 413] {
            assert!(matches!(response_of(status, ""), Err(Error::Refused { .. })), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(response_of(status, ""), Err(Error::Denied { .. })), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(response_of(status, ""), Err(Error::ServerError { .. })), "{status}");
        }
    }

    #[test]
    fn responses_that_are_not_from_an_agent_are_errors() {
        let is_not_consuls = |status, body| matches!(response_of(status, body), Err(Error::NotConsul { .. }));
        for (status, body) in [(301, ""), (302, "moved"), (404, "<html>"), (503, " <!DOCTYPE html>"), (400, "\n<p>")] {
            assert!(is_not_consuls(status, body), "{status} {body:?}");
        }
        assert!(!is_not_consuls(403, "<html>"), "it may ask for user and password");
        let good = |body| response_of(200, body).expect("200");
        assert!(matches!(good("<html>").require_index(), Err(Error::NotConsul { .. })));
        assert!(matches!(good("{}").require_index(), Err(Error::NotConsul { .. })));
        for (status, is_consuls) in [(200, true), (201, false), (204, false), (206, false)] {
            let mut response = response_of(status, "").expect("a success");
            response.meta.index = Some(7);
            assert_eq!(response.require_index().is_ok(), is_consuls, "{status}");
        }
        assert!(matches!(good("<html>").require_written(), Err(Error::NotConsul { .. })));
        assert!(matches!(good("{\"ok\":true}").require_written(), Err(Error::NotConsul { .. })));
        assert!(good("\n").require_written().is_ok());
        assert!(matches!(good("<html>").json::<String>(), Err(Error::NotConsul { .. })));
        assert!(matches!(good("7").json::<String>(), Err(Error::Malformed { .. })));
        assert!(good("\"\"").json_matching(|text: &String| !text.is_empty()).is_err());
    }

    #[test]
    fn an_error_contains_the_response_on_one_line_of_limited_length() {
        let error_text_of = |status, body: &str| response_of(status, body).expect_err("an error").to_string();
        assert_eq!(error_text_of(400, "Invalid\n service\r\n"), "GET /v1/x: 400: Invalid service");
        assert_eq!(error_text_of(500, ""), "GET /v1/x: 500: Internal Server Error");
        assert_eq!(error_text_of(500, &"ü".repeat(1000)).matches('ü').count(), MAX_ERROR_TEXT);
        assert!(
            error_text_of(403, "Permission denied")
                .ends_with("Permission denied; change the ACL token or its policies")
        );
    }

    #[test]
    fn missing_or_invalid_headers_have_defaults() {
        let missing = ResponseMeta::from(&HeaderMap::new());
        assert_eq!(
            missing,
            ResponseMeta { index: None, known_leader: true, last_contact: Duration::ZERO, filtered: false }
        );
        let mut headers = HeaderMap::new();
        headers.insert("x-consul-index", "many".parse().expect("a value"));
        headers.insert("x-consul-knownleader", "false".parse().expect("a value"));
        headers.insert("x-consul-lastcontact", "1500".parse().expect("a value"));
        let invalid = ResponseMeta::from(&headers);
        assert_eq!(
            (invalid.index, invalid.known_leader, invalid.last_contact),
            (None, false, Duration::from_millis(1500))
        );
    }
}
