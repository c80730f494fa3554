//! `/v1/kv`: single keys.

use super::{Client, Error, Read, Reply, client::Call, path};

impl Client {
    /// The value of `key`, or `None` if there is no such key.
    ///
    /// # Errors
    /// As for any read; [`Error::Malformed`] for a value that is not UTF-8; [`Error::Unnameable`] for a key that an URL
    /// cannot name (a part that is empty, `.` or `..`).
    pub async fn kv_get(&self, key: &str, read: &Read<'_>) -> Result<Reply<Option<String>>, Error> {
        // Raw: the index and the 404 are the same as with JSON, and the value needs no decoding.
        let call = Call::get(path::with_key("/v1/kv", key)?).with("raw", "");
        let response = self.read_any(call, read).await?;
        // A 404 without an index is somebody else's (a proxy's, say): it tells nothing of the key.
        if response.status == reqwest::StatusCode::NOT_FOUND && response.stamp.index.is_some() {
            return Ok(Reply { value: None, stamp: response.stamp });
        }
        let mut response = response.success()?;
        let value = String::from_utf8(std::mem::take(&mut response.body)).map_err(|error| response.malformed(error))?;
        Ok(Reply { value: Some(value), stamp: response.stamp })
    }
}
