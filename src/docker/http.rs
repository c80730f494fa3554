//! The HTTP client of one engine: unix socket or TCP, certificates, API version.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use reqwest::{Certificate, Identity, Method, RequestBuilder, Response};
use serde_json::Value;

use super::{
    error::{CallFailure, Error, innermost_cause},
    settings::Endpoint,
};
use crate::sys::regular_file;

/// The time limit of a call; for the event stream, until the response begins.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The newest API version whose answers were tested.
const MAX_API_VERSION: (u32, u32) = (1, 53);

/// An HTTP client with a negotiated API version. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    address: String,
    client: reqwest::Client,
    base: String,
    socket: Option<String>,
}

impl HttpClient {
    /// Reads the certificates and negotiates the API version.
    pub(super) async fn connect(endpoint: &Endpoint, address: &str) -> Result<Self, Error> {
        let failed = |failure| Error { address: address.to_owned(), failure };
        let mut http = Self::new(endpoint, address).map_err(failed)?;
        match http.json(Method::GET, "/version", &[], "report its version", ANSWER_TIMEOUT).await {
            Ok(version) => http.base.extend(version_prefix(&version["ApiVersion"])),
            // A proxy in front of the engine may refuse this call. Without a version in the path, the engine uses its
            // newest.
            Err(Error { failure: CallFailure::Status { status, .. }, .. }) if status.is_client_error() => {}
            Err(error) => return Err(error),
        }
        Ok(http)
    }

    fn new(endpoint: &Endpoint, address: &str) -> Result<Self, CallFailure> {
        // Fails only if a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("portreeve/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .no_gzip()
            .no_proxy();
        let (builder, base, socket) = match endpoint {
            Endpoint::Unix(path) => (
                builder.tls_certs_only([]).unix_socket(path.clone()),
                "http://localhost".to_owned(),
                Some(path.clone()),
            ),
            Endpoint::Http(url) => (builder.tls_certs_only([]), url.clone(), None),
            Endpoint::Tls { url, certs } => {
                let (authorities, identity) = certificates(certs)?;
                (builder.tls_certs_only(authorities).identity(identity), url.clone(), None)
            }
        };
        let client = builder.build().map_err(|error| CallFailure::from_request(&error, "connect", CONNECT_TIMEOUT))?;
        Ok(Self { address: address.to_owned(), client, base, socket })
    }

    /// Sends a call and parses the JSON response; `Null` if the response is empty.
    pub(super) async fn json(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        action: &'static str,
        within: Duration,
    ) -> Result<Value, Error> {
        let request = self.request(method, path, query).timeout(within);
        let response = self.send(request, action, within).await?;
        let body =
            response.bytes().await.map_err(|error| self.error(CallFailure::from_request(&error, action, within)))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| self.error(CallFailure::UnexpectedForm { action, reason: error.to_string() }))
    }

    /// Sends a call whose response has no end.
    pub(super) async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
        action: &'static str,
    ) -> Result<Response, Error> {
        let request = self.request(Method::GET, path, query);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.send(request, action, ANSWER_TIMEOUT)).await;
        answer.unwrap_or_else(|_| Err(self.error(CallFailure::TimedOut { action, within: ANSWER_TIMEOUT })))
    }

    pub(super) fn error(&self, failure: CallFailure) -> Error {
        Error { address: self.address.clone(), failure }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base)).query(query)
    }

    async fn send(&self, request: RequestBuilder, action: &'static str, within: Duration) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| {
            let failure = match CallFailure::from_request(&error, action, within) {
                CallFailure::Refused if self.socket.as_deref().is_some_and(exists_but_is_not_a_socket) => {
                    CallFailure::NotASocket
                }
                failure => failure,
            };
            self.error(failure)
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let details: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = details["message"].as_str().unwrap_or_default().to_owned();
        Err(self.error(CallFailure::Status { action, status, message }))
    }
}

fn exists_but_is_not_a_socket(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket())
}

/// The prefix of each path: the API version of the engine, at most [`MAX_API_VERSION`]. `None` if the version is
/// invalid.
fn version_prefix(version: &Value) -> Option<String> {
    let (major, minor) = version.as_str()?.split_once('.')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    let (major, minor) = MAX_API_VERSION.min((major, minor));
    Some(format!("/v{major}.{minor}"))
}

fn certificates(dir: &Path) -> Result<(Vec<Certificate>, Identity), CallFailure> {
    let read = |name: &str| {
        let file = dir.join(name);
        regular_file::read(&file, regular_file::MAX_BYTES).map_err(|source| CallFailure::Certificate { file, source })
    };
    let unusable = |name: &str| {
        let file = dir.join(name);
        move |error: reqwest::Error| CallFailure::Certificate {
            file,
            source: io::Error::other(innermost_cause(&error)),
        }
    };
    let authorities = Certificate::from_pem_bundle(&read("ca.pem")?).map_err(unusable("ca.pem"))?;
    let mut pem = read("cert.pem")?;
    pem.push(b'\n');
    pem.extend(read("key.pem")?);
    Ok((authorities, Identity::from_pem(&pem).map_err(unusable("cert.pem"))?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_older_of_both_versions_is_used() {
        let cases = [
            (json!("1.41"), Some("/v1.41")),
            (json!("1.53"), Some("/v1.53")),
            (json!("1.60"), Some("/v1.53")),
            (json!("2.0"), Some("/v1.53")),
            (json!("1"), None),
            (json!(1.41), None),
            (json!(null), None),
        ];
        for (version, expected) in cases {
            assert_eq!(version_prefix(&version).as_deref(), expected, "{version}");
        }
    }
}
