//! `/v1/kv`: single keys, and all below a prefix.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de};

use super::{
    Client, Error, QueryOptions, Reply,
    client::ApiRequest,
    path,
    response::{ApiResponse, ResponseMeta},
};

/// A key as Consul holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KvEntry {
    /// The whole key.
    pub key: String,
    /// Any bytes.
    #[serde(deserialize_with = "base64_or_null")]
    pub value: Vec<u8>,
    /// The index at which it was made.
    pub create_index: u64,
    /// The index at which it was last changed.
    pub modify_index: u64,
    /// How often it was locked.
    pub lock_index: u64,
    /// A number that belongs to whoever wrote it.
    pub flags: u64,
    /// The session that holds its lock; empty without one.
    #[serde(default)]
    pub session: String,
}

impl Client {
    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    /// As for any read; [`Error::NoText`] for a value that is not UTF-8; [`Error::Unnameable`] for a key that an URL
    /// cannot name (a part that is empty, `.` or `..`).
    pub async fn kv_get(&self, key: &str, read: &QueryOptions<'_>) -> Result<Reply<Option<String>>, Error> {
        // Raw: the index and the 404 are the same as with JSON, and the value needs no decoding.
        let call = ApiRequest::get(path::with_key("/v1/kv", key)?).with("raw", "");
        match existing(self.read_any_status(call, read).await?)? {
            Ok(response) => {
                let value = String::from_utf8(response.body).map_err(|_| Error::NotUtf8 { key: key.to_owned() })?;
                Ok(Reply { value: Some(value), meta: response.meta })
            }
            Err(stamp) => Ok(Reply { value: None, meta: stamp }),
        }
    }

    /// All keys that begin with `prefix`, as they are; nothing means all keys.
    ///
    /// # Errors
    /// As for any read; [`Error::Unnameable`] for a prefix that an URL cannot name. A key that the token may not read
    /// is left out, without an error.
    pub async fn kv_list(&self, prefix: &str, read: &QueryOptions<'_>) -> Result<Reply<Vec<KvEntry>>, Error> {
        let path = if prefix.is_empty() { "/v1/kv/".to_owned() } else { path::with_key("/v1/kv", prefix)? };
        match existing(self.read_any_status(ApiRequest::get(path).with("recurse", ""), read).await?)? {
            Ok(response) => Ok(Reply { value: response.json()?, meta: response.meta }),
            Err(stamp) => Ok(Reply { value: Vec::new(), meta: stamp }),
        }
    }
}

/// What there is, or that there is nothing. A 404 without an index is somebody else's (a proxy's, say): it tells nothing
/// of the key.
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
