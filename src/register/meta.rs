//! Metadata that travels with a service, within what Consul accepts. Pure.

use std::collections::BTreeMap;

use super::{metadata::PortMetadata, value_problems};
use crate::{consul::limits, registry::META_PREFIX};

/// Keys that configure the registration itself.
const REGISTRATION_KEYS: [&str; 7] = ["address", "advertise_port", "id", "name", "ready", "tag_override", "tags"];

/// The most pairs for the container: all that Consul accepts, without the five of the ownership marks.
const MAX_PAIRS: usize = limits::MAX_META_PAIRS - 5;
/// What a note says of a value that should not be there, after the name of the variable or label.
pub(crate) const SECRET_NOTE: &str =
    "looks like a secret: it becomes Meta, which everybody reads who may read the service";

/// Everything that is left of a port's metadata. What Consul would refuse is made safe or dropped, with a note each: one
/// odd label must not cost the whole service.
pub(super) fn meta(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::new();
    for (key, setting) in
        metadata.iter().filter(|(key, _)| !REGISTRATION_KEYS.contains(key) && !key.starts_with("check_"))
    {
        let safe = limits::to_meta_key(key);
        if value_problems::is_secret(key, setting.value) {
            notes.push(format!("{} {SECRET_NOTE}", setting.name));
        }
        let odd = setting.value.chars().find(|char| char.is_control() && !"\n\r\t".contains(*char));
        let reason = if let Some(problem) = limits::meta_problem(&safe, setting.value) {
            problem
        } else if let Some(odd) = odd {
            format!("its value contains {odd:?}")
        } else if safe.starts_with(META_PREFIX) {
            "its key is reserved for Portreeve".to_owned()
        } else if meta.len() == MAX_PAIRS {
            format!("there are {MAX_PAIRS} others already, the limit")
        } else {
            meta.insert(safe, setting.value.to_owned());
            continue;
        };
        notes.push(format!("{} is left out of Meta: {reason}", setting.name));
    }
    meta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{fixture::container, metadata::Metadata};

    fn made(pairs: &[(&str, &str)]) -> (BTreeMap<String, String>, Vec<String>) {
        let container = pairs.iter().fold(container("web"), |container, (name, value)| container.env(name, value));
        let mut notes = Vec::new();
        let metadata = Metadata::read(&container);
        (meta(&metadata.for_port("80/tcp".parse().expect("a port")), &mut notes), notes)
    }

    #[test]
    fn what_is_left_travels() {
        let (meta, notes) = made(&[
            ("SERVICE_NAME", "x"),
            ("SERVICE_REGION", "us2"),
            ("SERVICE_CHECK_HTTP", "/"),
            ("SERVICE_IGNORE", ""),
            ("SERVICE_my.zone", "v"),
        ]);
        let pairs: Vec<_> = meta.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["ignore=", "my_zone=v", "region=us2"]);
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn what_looks_like_a_secret_is_told() {
        let (meta, notes) = made(&[("SERVICE_DB_PASSWORD", "x"), ("SERVICE_REGION", "eu")]);
        assert_eq!((meta.len(), notes), (2, vec![format!("SERVICE_DB_PASSWORD {SECRET_NOTE}")]));
    }

    #[test]
    fn what_consul_refuses_is_left_out_with_a_note() {
        let long = "v".repeat(513);
        let (meta, notes) = made(&[
            ("SERVICE_LONG", &long),
            ("SERVICE_consul-x", "1"),
            ("SERVICE_portreeve-engine", "forged"),
            ("SERVICE_OK", "1"),
            ("SERVICE_BELL", "a\u{7}b"),
        ]);
        assert_eq!(meta.keys().collect::<Vec<_>>(), ["ok"]);
        assert_eq!(notes.len(), 4);
        assert!(
            notes.iter().any(|note| note == "SERVICE_LONG is left out of Meta: its value is longer than 512 bytes")
        );
        let many: Vec<_> = (0..70).map(|n| format!("SERVICE_K{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
        let (meta, notes) = made(&many);
        assert_eq!((meta.len(), notes.len()), (59, 11));
    }
}
