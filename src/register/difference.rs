//! What a registration changes of an entry, in words. Pure.

use crate::registry::{Entry, Instance};

/// Each visible field that differs, `FIELD OLD -> NEW`. Checks, weights and further addresses are not visible in an
/// entry; where only they differ, or only the container's run, that is said as such.
pub(super) fn difference(entry: &Entry, instance: &Instance) -> Vec<String> {
    let mut differs = Vec::new();
    let mut note = |what: &str, old: String, new: String| {
        if old != new {
            differs.push(format!("{what} {old} -> {new}"));
        }
    };
    note("name", entry.name.clone(), instance.name.clone());
    note("address", format!("{}:{}", entry.address, entry.port), format!("{}:{}", instance.address, instance.port));
    if !instance.tag_override {
        note("tags", entry.tags.join(","), instance.tags.join(","));
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
    if differs.is_empty() {
        let same_run = entry.owner == instance.owner;
        differs.push(if same_run { "its checks, weights or further addresses" } else { "the container's run" }.into());
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::instance;

    #[test]
    fn what_differs_is_named() {
        let old = Entry::registered(&Instance { tags: vec!["a".into()], ..instance("web", "1") });
        let mut new = instance("web", "1");
        assert_eq!(difference(&old, &new), ["tags a -> "]);
        new.port = 81;
        new.tags = vec!["a".into()];
        new.meta.insert("host".into(), "a.example".into());
        let port = old.port;
        let moved = format!("address {0}:{port} -> {0}:81", old.address);
        assert_eq!(difference(&old, &new), [moved, "meta host added".to_owned()]);
        let mut again = instance("web", "2");
        again.tags = vec!["a".into()];
        assert_eq!(difference(&old, &again), ["the container's run"]);
    }
}
