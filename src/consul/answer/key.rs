//! Keys below a prefix.

use crate::{
    consul::{Error, KvEntry},
    registry::KeyPair,
};

/// The keys below `prefix` by path, byte by byte.
///
/// # Errors
/// A value that is not UTF-8.
pub(in crate::consul) fn pairs(prefix: &str, entries: Vec<KvEntry>) -> Result<Vec<KeyPair>, Error> {
    let mut pairs = entries.into_iter().map(|entry| pair(prefix, entry)).collect::<Result<Vec<_>, _>>()?;
    pairs.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(pairs)
}

fn pair(prefix: &str, entry: KvEntry) -> Result<KeyPair, Error> {
    let KvEntry { key: path, value, create_index, modify_index, lock_index, flags, session } = entry;
    let Ok(value) = String::from_utf8(value) else { return Err(Error::NoText { key: path }) };
    let key = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/').to_owned();
    Ok(KeyPair { path, key, value, create_index, modify_index, lock_index, flags, session })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(list: &[(&str, Option<&str>)]) -> Vec<KvEntry> {
        let entry = |(key, value): &(&str, Option<&str>)| json!({"Key": key, "Value": value, "Flags": 7, "CreateIndex": 1, "ModifyIndex": 2, "LockIndex": 3});
        serde_json::from_value(list.iter().map(entry).collect()).expect("what Consul sends")
    }

    #[test]
    fn keys_are_cut_decoded_and_sorted() {
        let pairs = pairs("a/", entries(&[("a/b/c", Some("w7w=")), ("a/", None), ("a/b", Some(""))])).expect("texts");
        let short: Vec<_> = pairs.iter().map(|pair| (&*pair.path, &*pair.key, &*pair.value)).collect();
        assert_eq!(short, [("a/", "", ""), ("a/b", "b", ""), ("a/b/c", "b/c", "ü")]);
        let KeyPair { create_index, modify_index, lock_index, flags, session, .. } = &pairs[0];
        assert_eq!((*create_index, *modify_index, *lock_index, *flags, session.as_str()), (1, 2, 3, 7, ""));
    }

    #[test]
    fn a_value_that_is_no_text_is_named() {
        let error = pairs("", entries(&[("a", Some("YQ==")), ("bad", Some("/w=="))])).expect_err("not UTF-8");
        assert_eq!(error.to_string(), "the value of the key \"bad\" is no text: it is not UTF-8");
    }

    #[test]
    fn what_is_not_base64_is_not_consuls() {
        let odd = json!([{"Key": "a", "Value": "%", "Flags": 0, "CreateIndex": 1, "ModifyIndex": 1, "LockIndex": 0}]);
        assert!(serde_json::from_value::<Vec<KvEntry>>(odd).is_err());
    }
}
