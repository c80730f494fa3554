//! One answer of an agent: its status, what its headers say of it, and its body.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;

use super::Error;

/// The longest piece of an agent's own words that we repeat, in characters.
const MAX_ERROR_TEXT: usize = 300;

/// A complete answer, good or bad.
#[derive(Debug)]
pub(super) struct ApiResponse {
    pub(super) call: String,
    pub(super) status: StatusCode,
    pub(super) meta: ResponseMeta,
    pub(super) body: Vec<u8>,
}

/// What the headers of an answer say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseMeta {
    /// `X-Consul-Index`: where the data stood; missing on calls that cannot block.
    pub index: Option<u64>,
    /// `X-Consul-Knownleader`; true where it is missing.
    pub known_leader: bool,
    /// `X-Consul-Lastcontact`: how long ago the server that answered had heard of the leader.
    pub last_contact: Duration,
    /// `X-Consul-Results-Filtered-By-ACLs`: the token may not see everything that would belong here.
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
    /// Itself if the call was carried out.
    pub(super) fn require_success(self) -> Result<Self, Error> {
        let status = self.status.as_u16();
        if self.status.is_success() {
            return Ok(self);
        }
        // An agent redirects its web pages only, and never answers with one.
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

    /// Itself if the call was carried out and the answer has an `X-Consul-Index`, as all blocking queries do. An agent
    /// answers them only with 200: a 204 comes from a proxy, and is not an empty value.
    pub(super) fn require_index(self) -> Result<Self, Error> {
        let response = self.require_success()?;
        let is_consuls = response.status == StatusCode::OK && response.meta.index.is_some();
        if is_consuls { Ok(response) } else { Err(response.not_consul()) }
    }

    /// Nothing if the call was carried out: an agent has nothing to say of a write.
    pub(super) fn require_written(self) -> Result<(), Error> {
        let response = self.require_success()?;
        if response.body.trim_ascii().is_empty() { Ok(()) } else { Err(response.not_consul()) }
    }

    pub(super) fn not_consul(&self) -> Error {
        let what = match (self.status.is_redirection(), self.is_html(), self.body.is_empty()) {
            (true, ..) => "a redirection",
            (_, true, _) => "an HTML page",
            (.., true) => "nothing",
            _ if self.meta.index.is_some() => "a status that Consul never gives to a read",
            _ => "a text without X-Consul-Index, or where there should be none",
        };
        Error::NotConsul { call: self.call.clone(), what: format!("{what} ({})", self.status) }
    }

    /// Whether it is meant for a browser. A value of a key may be a page as well, but comes with an index.
    fn is_html(&self) -> bool {
        self.meta.index.is_none() && self.body.trim_ascii_start().starts_with(b"<")
    }

    /// The body, read as JSON of which `is_consuls` holds.
    pub(super) fn json_matching<T: DeserializeOwned>(&self, is_consuls: impl Fn(&T) -> bool) -> Result<T, Error> {
        let value = self.json()?;
        if is_consuls(&value) { Ok(value) } else { Err(self.malformed("it lacks names or ids")) }
    }

    /// The body, read as JSON.
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

/// The agent's own words on one line, or the usual name of the status where there are none.
fn error_text(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MAX_ERROR_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None if text.is_empty() => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<ApiResponse, Error> {
        let stamp = ResponseMeta::from(&HeaderMap::new());
        let status = StatusCode::from_u16(status).expect("a status");
        ApiResponse { call: "GET /v1/x".into(), status, meta: stamp, body: body.into() }.require_success()
    }

    #[test]
    fn only_what_cannot_succeed_later_is_final() {
        assert!(answered(200, "").is_ok());
        for status in [400, 404, 405, 413] {
            assert!(matches!(answered(status, ""), Err(Error::Refused { .. })), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(answered(status, ""), Err(Error::Denied { .. })), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(answered(status, ""), Err(Error::ServerError { .. })), "{status}");
        }
    }

    #[test]
    fn what_no_agent_answers_is_trouble() {
        let is_not_consuls = |status, body| matches!(answered(status, body), Err(Error::NotConsul { .. }));
        for (status, body) in [(301, ""), (302, "moved"), (404, "<html>"), (503, " <!DOCTYPE html>"), (400, "\n<p>")] {
            assert!(is_not_consuls(status, body), "{status} {body:?}");
        }
        assert!(!is_not_consuls(403, "<html>"), "perhaps it asks for user and password");
        let good = |body| answered(200, body).expect("200");
        assert!(matches!(good("<html>").require_index(), Err(Error::NotConsul { .. })));
        assert!(matches!(good("{}").require_index(), Err(Error::NotConsul { .. })));
        for (status, is_consuls) in [(200, true), (201, false), (204, false), (206, false)] {
            let mut response = answered(status, "").expect("a success");
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
    fn an_error_repeats_the_agents_words_on_one_line_and_not_without_end() {
        let said = |status, body: &str| answered(status, body).expect_err("an error").to_string();
        assert_eq!(said(400, "Invalid\n service\r\n"), "GET /v1/x: 400: Invalid service");
        assert_eq!(said(500, ""), "GET /v1/x: 500: Internal Server Error");
        assert_eq!(said(500, &"ü".repeat(1000)).matches('ü').count(), MAX_ERROR_TEXT);
        assert!(
            said(403, "Permission denied")
                .ends_with("Permission denied; the ACL token, or what it may do, has to change")
        );
    }

    #[test]
    fn headers_that_are_missing_or_odd_take_nothing_for_granted() {
        let plain = ResponseMeta::from(&HeaderMap::new());
        assert_eq!(
            plain,
            ResponseMeta { index: None, known_leader: true, last_contact: Duration::ZERO, filtered: false }
        );
        let mut headers = HeaderMap::new();
        headers.insert("x-consul-index", "many".parse().expect("a value"));
        headers.insert("x-consul-knownleader", "false".parse().expect("a value"));
        headers.insert("x-consul-lastcontact", "1500".parse().expect("a value"));
        let odd = ResponseMeta::from(&headers);
        assert_eq!((odd.index, odd.known_leader, odd.last_contact), (None, false, Duration::from_millis(1500)));
    }
}
