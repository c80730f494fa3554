//! What a registration changes of an entry, in words. Pure.

use crate::registry::{Entry, Instance};

/// Each visible field that differs, `FIELD OLD -> NEW`. Weights, further addresses and most of a check are not visible in
/// an entry.
pub(super) fn differences(entry: &Entry, instance: &Instance) -> Vec<String> {
    let mut differs = Vec::new();
    let mut note = |what: &str, old: String, new: String| {
        if old != new {
            differs.push(format!("{what} {old} -> {new}"));
        }
    };
    note("name", entry.name.clone(), instance.name.clone());
    note("address", format!("{}:{}", entry.address, entry.port), format!("{}:{}", instance.address, instance.port));
    if !instance.tag_override {
        let list = |tags: &[String]| if tags.is_empty() { "(none)".to_owned() } else { tags.join(",") };
        note("tags", list(&entry.tags), list(&instance.tags));
    }
    // Without the values: what came from a container's environment does not belong into a log.
    for key in entry.meta.keys().filter(|key| instance.meta.get(*key) != entry.meta.get(*key)) {
        let what = if instance.meta.contains_key(key) { "changed" } else { "removed" };
        differs.push(format!("meta {key} {what}"));
    }
    let new = instance.meta.keys().filter(|key| !entry.meta.contains_key(*key));
    differs.extend(new.map(|key| format!("meta {key} added")));
    if !entry.has_checks(instance) {
        differs.push("a check is missing or another".to_owned());
    }
    differs
}

/// The same on one line, where something else than these fields may be all that differs.
pub(super) fn differences_on_one_line(entry: &Entry, instance: &Instance) -> String {
    let differs = differences(entry, instance);
    match (differs.is_empty(), entry.owner == instance.owner) {
        (false, _) => differs.join(", "),
        (true, false) => "another run of the container".to_owned(),
        (true, true) => "its checks, weights or further addresses".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::instance;

    #[test]
    fn what_differs_is_named() {
        let old = Entry::expected(&Instance { tags: vec!["a".into()], ..instance("web", "1") });
        let mut new = instance("web", "1");
        assert_eq!(differences(&old, &new), ["tags a -> (none)"]);
        new.port = 81;
        new.tags = vec!["a".into()];
        new.meta.insert("host".into(), "a.example".into());
        let port = old.port;
        let moved = format!("address {0}:{port} -> {0}:81", old.address);
        assert_eq!(differences(&old, &new), [moved, "meta host added".to_owned()]);
        let mut again = instance("web", "2");
        again.tags = vec!["a".into()];
        assert_eq!(differences(&old, &again), [""; 0]);
        assert_eq!(differences_on_one_line(&old, &again), "another run of the container");
    }
}
