//! Converts keys and their values.

use crate::{consul::KvEntry, registry::KeyPair};

/// The keys, sorted by the bytes of their paths.
pub(in crate::consul) fn pairs(prefix: &str, entries: Vec<KvEntry>) -> Vec<KeyPair> {
    let mut pairs: Vec<_> = entries.into_iter().map(|entry| pair(prefix, entry)).collect();
    pairs.sort_by(|a, b| a.path.cmp(&b.path));
    pairs
}

fn pair(prefix: &str, entry: KvEntry) -> KeyPair {
    let KvEntry { key: path, value, create_index, modify_index, lock_index, flags, session } = entry;
    // A value that is not UTF-8 must not fail a template that does not use it.
    let value = String::from_utf8(value).ok();
    let key = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/').to_owned();
    KeyPair { path, key, value, create_index, modify_index, lock_index, flags, session }
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
    fn keys_are_shortened_decoded_and_sorted() {
        let pairs = pairs("a/", entries(&[("a/b/c", Some("w7w=")), ("a/", None), ("a/b", Some(""))]));
        let found: Vec<_> = pairs.iter().map(|pair| (&*pair.path, &*pair.key, pair.value.as_deref())).collect();
        assert_eq!(found, [("a/", "", Some("")), ("a/b", "b", Some("")), ("a/b/c", "b/c", Some("ü"))]);
        let KeyPair { create_index, modify_index, lock_index, flags, session, .. } = &pairs[0];
        assert_eq!((*create_index, *modify_index, *lock_index, *flags, session.as_str()), (1, 2, 3, 7, ""));
    }

    #[test]
    fn a_value_that_is_not_text_does_not_affect_the_others() {
        let pairs = pairs("", entries(&[("a", Some("YQ==")), ("bad", Some("/w=="))]));
        assert_eq!([pairs[0].value.as_deref(), pairs[1].value.as_deref()], [Some("a"), None]);
    }

    #[test]
    fn a_value_that_is_not_base64_is_an_error() {
        let invalid =
            json!([{"Key": "a", "Value": "%", "Flags": 0, "CreateIndex": 1, "ModifyIndex": 1, "LockIndex": 0}]);
        assert!(serde_json::from_value::<Vec<KvEntry>>(invalid).is_err());
    }
}
