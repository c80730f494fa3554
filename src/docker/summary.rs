//! The items of a list of containers. Pure.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::fields;

/// A container in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerSummary {
    /// The name, without Docker's leading slash; empty if the engine did not report it.
    pub(super) name: String,
    /// A hash of the item, apart from fields that change without an event.
    fingerprint: u64,
}

/// The id and summary of each item. An item without an id is left out, since it cannot be inspected.
pub(super) fn summaries(list: &[Value]) -> impl Iterator<Item = (String, ContainerSummary)> {
    list.iter().filter_map(|item| Some((item["Id"].as_str().filter(|id| !id.is_empty())?.to_owned(), summary(item))))
}

fn summary(item: &Value) -> ContainerSummary {
    let mut hasher = DefaultHasher::new();
    for (key, value) in fields::map(item) {
        match key.as_str() {
            "SizeRw" | "SizeRootFs" => {}
            "Status" => without_duration(value.as_str().unwrap_or_default()).hash(&mut hasher),
            _ => (key, value).hash(&mut hasher),
        }
    }
    let name = fields::list(&item["Names"]).find_map(Value::as_str).unwrap_or_default();
    ContainerSummary { name: name.trim_start_matches('/').to_owned(), fingerprint: hasher.finish() }
}

/// The part of the status that does not change with time: `healthy` in `Up 5 minutes (healthy)`.
fn without_duration(status: &str) -> &str {
    status.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fingerprint_changes_with_all_but_the_time() {
        let item = |status: &str, state: &str| summary(&json!({"Id": "a", "Status": status, "State": state}));
        let before = item("Up 5 minutes (healthy)", "running");
        assert_eq!(before, item("Up 6 minutes (healthy)", "running"));
        assert_ne!(before, item("Up 6 minutes (unhealthy)", "running"));
        assert_ne!(before, item("Up 5 minutes (healthy)", "stopping"));
    }

    #[test]
    fn an_invalid_item_does_not_affect_the_others() {
        let odd = [
            json!(null),
            json!("text"),
            json!([]),
            json!({}),
            json!({"Id": null}),
            json!({"Id": 7}),
            json!({"Id": ""}),
            json!({"Id": "a", "Names": null, "Ports": null, "State": "stopped"}),
            json!({"Id": "b", "Names": "text", "Labels": [], "State": {}}),
            json!({"Id": "c", "Names": [null, "/web"], "Created": "soon", "Status": 7}),
        ];
        let named: Vec<_> = summaries(&odd).map(|(id, summary)| (id, summary.name)).collect();
        assert_eq!(named, [("a".into(), "".into()), ("b".into(), "".into()), ("c".into(), "web".to_owned())]);
    }
}
