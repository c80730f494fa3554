//! The Meta of an instance: the metadata that does not configure the registration. Pure.

use std::collections::BTreeMap;

use super::{metadata::PortMetadata, value_problems};
use crate::{consul::limits, registry::META_PREFIX};

/// Keys that configure the registration itself.
const REGISTRATION_KEYS: [&str; 7] = ["address", "advertise_port", "id", "name", "ready", "tag_override", "tags"];

/// The maximum number of pairs from the metadata: the limit of Consul, less the five that Portreeve adds (owner and
/// digest).
const MAX_PAIRS: usize = limits::MAX_META_PAIRS - 5;
/// The note about a value that should not be in Meta; it follows the name of the variable or label.
pub(crate) const SECRET_NOTE: &str =
    "looks like a secret: it becomes Meta, which everyone can read who may read the service";

/// The remaining metadata of a port. Characters that Consul refuses in a key are replaced. A pair that it would still
/// refuse is left out with a note, because one invalid label must not prevent the registration of the whole service.
pub(super) fn meta(metadata: &PortMetadata<'_>, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::new();
    for (key, setting) in
        metadata.iter().filter(|(key, _)| !REGISTRATION_KEYS.contains(key) && !key.starts_with("check_"))
    {
        let meta_key = limits::to_meta_key(key);
        if value_problems::is_secret(key, setting.value) {
            notes.push(format!("{} {SECRET_NOTE}", setting.name));
        }
        let control_character = setting.value.chars().find(|char| char.is_control() && !"\n\r\t".contains(*char));
        let reason = if let Some(problem) = limits::meta_problem(&meta_key, setting.value) {
            problem
        } else if let Some(control_character) = control_character {
            format!("its value contains {control_character:?}")
        } else if meta_key.starts_with(META_PREFIX) {
            "its key is reserved for Portreeve".to_owned()
        } else if meta.len() == MAX_PAIRS {
            format!("there are {MAX_PAIRS} others already, the limit")
        } else {
            meta.insert(meta_key, setting.value.to_owned());
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
    fn the_remaining_metadata_becomes_meta() {
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
    fn a_value_that_looks_like_a_secret_is_noted() {
        let (meta, notes) = made(&[("SERVICE_DB_PASSWORD", "x"), ("SERVICE_REGION", "eu")]);
        assert_eq!((meta.len(), notes), (2, vec![format!("SERVICE_DB_PASSWORD {SECRET_NOTE}")]));
    }

    #[test]
    fn a_pair_that_consul_refuses_is_left_out_with_a_note() {
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
