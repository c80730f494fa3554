//! Where the Docker engine is. Pure.

use std::path::PathBuf;

use serde::Deserialize;

/// The `[docker]` table of the configuration file, and `DOCKER_*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`. Default `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// Speak TLS on `tcp://`, and verify the engine's certificate. Default false.
    #[serde(default)]
    pub tls_verify: bool,
    /// A directory with `ca.pem`, `cert.pem` and `key.pem`. Needed with `tls_verify`.
    pub cert_path: Option<PathBuf>,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(String),
    Http(String),
    Tls { address: String, certs: PathBuf },
}

/// What is wrong with the settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// None of the known forms.
    #[error("Docker host {0:?} is not of the form unix:///path, tcp://host:port or http://host:port")]
    Host(String),
    /// TLS needs a client certificate.
    #[error(
        "Docker host {0:?} with TLS needs the directory of ca.pem, cert.pem and key.pem: set DOCKER_CERT_PATH or [docker] cert_path"
    )]
    NoCertificates(String),
}

impl Settings {
    /// What stands in log lines.
    pub fn address(&self) -> &str {
        self.host.as_deref().unwrap_or("unix:///var/run/docker.sock")
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, SettingsError> {
        let host = self.address();
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Endpoint::Unix(path.to_owned())),
            Some(("tcp" | "https", address)) if self.tls_verify && !address.is_empty() => match &self.cert_path {
                Some(certs) => Ok(Endpoint::Tls { address: format!("tcp://{address}"), certs: certs.clone() }),
                None => Err(SettingsError::NoCertificates(host.to_owned())),
            },
            Some(("tcp" | "http", address)) if !address.is_empty() => Ok(Endpoint::Http(format!("http://{address}"))),
            _ => Err(SettingsError::Host(host.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, tls_verify: bool, certs: Option<&str>) -> Result<Endpoint, SettingsError> {
        Settings { host: Some(host.into()), tls_verify, cert_path: certs.map(Into::into) }.endpoint()
    }

    #[test]
    fn every_form_of_a_host() {
        assert_eq!(Settings::default().endpoint(), Ok(Endpoint::Unix("/var/run/docker.sock".into())));
        assert_eq!(endpoint("unix:///tmp/d.sock", true, None), Ok(Endpoint::Unix("/tmp/d.sock".into())));
        assert_eq!(endpoint("tcp://h:2375", false, None), Ok(Endpoint::Http("http://h:2375".into())));
        let tls = Endpoint::Tls { address: "tcp://h:2376".into(), certs: "/c".into() };
        assert_eq!(endpoint("tcp://h:2376", true, Some("/c")), Ok(tls));
        assert!(matches!(endpoint("tcp://h:2376", true, None), Err(SettingsError::NoCertificates(_))));
        for bad in ["", "h:2375", "ssh://h", "unix://", "tcp://", "unix://rel"] {
            assert!(matches!(endpoint(bad, false, None), Err(SettingsError::Host(_))), "{bad:?}");
        }
    }
}
