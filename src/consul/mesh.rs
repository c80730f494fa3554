//! `/v1/agent/connect/ca`: the certificates of the service mesh.

use serde::Deserialize;

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest, health::null_is_default, path};

/// The root certificates of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaRootList {
    /// The id of the root that signs new certificates.
    #[serde(rename = "ActiveRootID")]
    pub active_root_id: String,
    /// The trust domain of the mesh.
    pub trust_domain: String,
    /// In the order of the agent.
    #[serde(deserialize_with = "null_is_default")]
    pub roots: Vec<RootCert>,
}

/// A root certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootCert {
    /// The id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The display name.
    pub name: String,
    /// The certificate, PEM.
    pub root_cert: String,
    /// The intermediate certificates, PEM.
    #[serde(deserialize_with = "null_is_default")]
    pub intermediate_certs: Vec<String>,
    /// Whether this root signs new certificates.
    pub active: bool,
}

/// The certificate of a service, with its private key.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeafCert {
    /// The serial number, in hex.
    pub serial_number: String,
    /// The certificate, PEM.
    #[serde(rename = "CertPEM")]
    pub cert_pem: String,
    /// The private key, PEM. A secret.
    #[serde(rename = "PrivateKeyPEM")]
    pub private_key_pem: String,
    /// The name of the service.
    pub service: String,
    /// The SPIFFE id of the service.
    #[serde(rename = "ServiceURI")]
    pub service_uri: String,
    /// The start of the validity, RFC 3339.
    pub valid_after: String,
    /// The end of the validity, RFC 3339.
    pub valid_before: String,
}

/// Leaves the private key out.
impl std::fmt::Debug for LeafCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeafCert").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Client {
    /// The root certificates of the mesh.
    ///
    /// # Errors
    /// As for any read. [`Error::ServerError`] if the mesh is disabled.
    pub async fn ca_roots(&self, read: &QueryOptions<'_>) -> Result<Reply<CaRootList>, Error> {
        let response = self.read_local(ApiRequest::get("/v1/agent/connect/ca/roots"), read).await?;
        Ok(Reply { value: response.json()?, meta: response.meta })
    }

    /// The certificate of a service. The service need not be registered. The agent renews the certificate before it
    /// expires.
    ///
    /// # Errors
    /// As for any read. Needs `service:write`.
    pub async fn ca_leaf(&self, service: &str, read: &QueryOptions<'_>) -> Result<Reply<LeafCert>, Error> {
        let call = ApiRequest::get(path::with_name("/v1/agent/connect/ca/leaf", service)?);
        let response = self.read_local(call, read).await?;
        Ok(Reply { value: response.json()?, meta: response.meta })
    }
}
