//! `/v1/kv`: a single key, or all keys with a prefix.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de};

use super::{
    Client, Error, QueryOptions, Reply,
    client::ApiRequest,
    path,
    response::{ApiResponse, ResponseMeta},
};

/// A key with its value and attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvEntry {
    /// The full path of the key.
    pub key: String,
    /// The value: any bytes.
    #[serde(deserialize_with = "base64_or_null")]
    pub value: Vec<u8>,
    /// The index of the creation.
    pub create_index: u64,
    /// The index of the last change.
    pub modify_index: u64,
    /// The number of times that it was locked.
    pub lock_index: u64,
    /// An application-defined number.
    pub flags: u64,
    /// The session that holds the lock; empty if none does.
    #[serde(default)]
    pub session: String,
}

impl Client {
    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    /// As for any read. [`Error::NotUtf8`] if the value is not UTF-8. [`Error::InvalidPath`] if a segment of the key is
    /// empty, `.` or `..`, because HTTP software would change the path.
    pub async fn kv_get(&self, key: &str, read: &QueryOptions<'_>) -> Result<Reply<Option<String>>, Error> {
        // `raw` returns the value without base64. Index and 404 are the same as with JSON.
        let call = ApiRequest::get(path::with_key("/v1/kv", key)?).with("raw", "");
        match existing(self.read_any_status(call, read).await?)? {
            Ok(response) => {
                let value = String::from_utf8(response.body).map_err(|_| Error::NotUtf8 { key: key.to_owned() })?;
                Ok(Reply { value: Some(value), meta: response.meta })
            }
            Err(meta) => Ok(Reply { value: None, meta }),
        }
    }

    /// All keys that begin with `prefix`, in the order of Consul. An empty prefix selects all keys.
    ///
    /// # Errors
    /// As for any read. [`Error::InvalidPath`] as for [`kv_get`](Self::kv_get). Keys that the token may not read are
    /// missing, without an error.
    pub async fn kv_list(&self, prefix: &str, read: &QueryOptions<'_>) -> Result<Reply<Vec<KvEntry>>, Error> {
        let path = if prefix.is_empty() { "/v1/kv/".to_owned() } else { path::with_key("/v1/kv", prefix)? };
        match existing(self.read_any_status(ApiRequest::get(path).with("recurse", ""), read).await?)? {
            Ok(response) => Ok(Reply { value: response.json()?, meta: response.meta }),
            Err(meta) => Ok(Reply { value: Vec::new(), meta }),
        }
    }
}

/// The response of an existing key, otherwise the metadata of Consul's 404. A 404 without an index is an error: it is
/// not from Consul, so the key may exist.
fn existing(response: ApiResponse) -> Result<Result<ApiResponse, ResponseMeta>, Error> {
    if response.status == reqwest::StatusCode::NOT_FOUND && response.meta.index.is_some() {
        return Ok(Err(response.meta));
    }
    match response.status {
        reqwest::StatusCode::NOT_FOUND => Err(response.not_consul()),
        _ => response.require_index().map(Ok),
    }
}

fn base64_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    STANDARD.decode(text).map_err(de::Error::custom)
}
