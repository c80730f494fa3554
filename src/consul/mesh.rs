//! `/v1/agent/connect/ca`: the certificates of the mesh.

use serde::Deserialize;

use super::{Client, Error, QueryOptions, Reply, client::ApiRequest, health::null_is_default, path};

/// The certificates of the mesh's authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaRootList {
    /// The id of the one that signs.
    #[serde(rename = "ActiveRootID")]
    pub active_root_id: String,
    /// The mesh's name.
    pub trust_domain: String,
    /// In the agent's order.
    #[serde(deserialize_with = "null_is_default")]
    pub roots: Vec<RootCert>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootCert {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// For people.
    pub name: String,
    /// PEM.
    pub root_cert: String,
    /// PEM.
    #[serde(deserialize_with = "null_is_default")]
    pub intermediate_certs: Vec<String>,
    /// Whether it is the one that signs.
    pub active: bool,
}

/// The certificate of one service, with its key.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeafCert {
    /// In hex.
    pub serial_number: String,
    /// PEM.
    #[serde(rename = "CertPEM")]
    pub cert_pem: String,
    /// PEM. A secret.
    #[serde(rename = "PrivateKeyPEM")]
    pub private_key_pem: String,
    /// The service.
    pub service: String,
    /// Its name in the mesh.
    #[serde(rename = "ServiceURI")]
    pub service_uri: String,
    /// RFC 3339.
    pub valid_after: String,
    /// RFC 3339.
    pub valid_before: String,
}

/// Without the key.
impl std::fmt::Debug for LeafCert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Client {
    /// The certificates of the mesh's authority.
    ///
    /// # Errors
    /// As for any read; [`Error::Trouble`] where the mesh is off.
    pub async fn ca_roots(&self, read: &QueryOptions<'_>) -> Result<Reply<CaRootList>, Error> {
        let response = self.read_local(ApiRequest::get("/v1/agent/connect/ca/roots"), read).await?;
        Ok(Reply { value: response.json()?, meta: response.meta })
    }

    /// The certificate of a service, which need not be registered. The agent renews it in time.
    ///
    /// # Errors
    /// As for any read; needs `service:write`.
    pub async fn ca_leaf(&self, service: &str, read: &QueryOptions<'_>) -> Result<Reply<LeafCert>, Error> {
        let call = ApiRequest::get(path::with_name("/v1/agent/connect/ca/leaf", service)?);
        let response = self.read_local(call, read).await?;
        Ok(Reply { value: response.json()?, meta: response.meta })
    }
}
