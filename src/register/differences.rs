//! Compares an entry with the instance that should replace it. Pure.

use std::collections::BTreeSet;

use crate::registry::{Entry, Instance};

/// One difference that is visible in the registry. Weights, tagged addresses and most of a check are not visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// A field, with its value in the entry and in the instance.
    Field(&'static str, String, String),
    /// A Meta key, with its value in the entry and in the instance; `None` if it is missing there.
    Meta(String, Option<String>, Option<String>),
    /// A check is missing, or was replaced by another one.
    Checks,
}

impl Difference {
    /// For log lines. Values of Meta are left out, since they may come from the container's environment.
    pub(super) fn summary(&self) -> String {
        let shown = |text: &str| if text.is_empty() { "(none)".to_owned() } else { text.to_owned() };
        match self {
            Self::Field(name, old, new) => format!("{name} {} -> {}", shown(old), shown(new)),
            Self::Meta(key, Some(_), Some(_)) => format!("meta {key} changed"),
            Self::Meta(key, Some(_), None) => format!("meta {key} removed"),
            Self::Meta(key, None, _) => format!("meta {key} added"),
            Self::Checks => "a check is missing or was replaced".to_owned(),
        }
    }

    /// For `explain`, with all values.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Field(name, old, new) => format!("{name}: the entry has {old:?}, expected {new:?}"),
            Self::Meta(key, Some(old), Some(new)) => format!("Meta {key}: the entry has {old:?}, expected {new:?}"),
            Self::Meta(key, Some(_), None) => format!("Meta {key}: only in the entry"),
            Self::Meta(key, None, _) => format!("Meta {key}: missing in the entry"),
            Self::Checks => self.summary(),
        }
    }
}

/// All visible differences.
pub(super) fn differences(entry: &Entry, instance: &Instance) -> Vec<Difference> {
    let tags = if instance.tag_override { &entry.tags } else { &instance.tags };
    let fields = [
        ("name", entry.name.clone(), instance.name.clone()),
        ("address", format!("{}:{}", entry.address, entry.port), format!("{}:{}", instance.address, instance.port)),
        ("tags", entry.tags.join(","), tags.join(",")),
    ];
    let fields = fields.into_iter().map(|(name, old, new)| Difference::Field(name, old, new));
    let fields = fields.filter(|field| !matches!(field, Difference::Field(_, old, new) if old == new));
    let keys: BTreeSet<_> = entry.meta.keys().chain(instance.meta.keys()).collect();
    let meta = keys.into_iter().filter_map(|key| {
        let (old, new) = (entry.meta.get(key), instance.meta.get(key));
        (old != new).then(|| Difference::Meta(key.clone(), old.cloned(), new.cloned()))
    });
    let checks = (!entry.has_checks(instance)).then_some(Difference::Checks);
    fields.chain(meta).chain(checks).collect()
}

/// The summary of all visible differences.
pub(super) fn summary(entry: &Entry, instance: &Instance) -> String {
    differences(entry, instance).iter().map(Difference::summary).collect::<Vec<_>>().join(", ")
}

/// The summary for an entry that is known to differ, even if no difference is visible.
pub(super) fn update_summary(entry: &Entry, instance: &Instance) -> String {
    let visible = summary(entry, instance);
    match (visible.is_empty(), entry.owner == instance.owner) {
        (false, _) => visible,
        (true, false) => "another run of the container".to_owned(),
        (true, true) => "its checks, weights or tagged addresses".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::fixture::instance;

    #[test]
    fn each_difference_is_named() {
        let old = Entry::expected(&Instance { tags: vec!["a".into()], ..instance("web", "1") });
        let mut new = instance("web", "1");
        assert_eq!(summary(&old, &new), "tags a -> (none)");
        new.port = 81;
        new.tags = vec!["a".into()];
        new.meta.insert("host".into(), "a.example".into());
        let port = old.port;
        let moved = format!("address {0}:{port} -> {0}:81", old.address);
        assert_eq!(summary(&old, &new), format!("{moved}, meta host added"));
        let mut restarted = instance("web", "2");
        restarted.tags = vec!["a".into()];
        assert_eq!(differences(&old, &restarted), []);
        assert_eq!(update_summary(&old, &restarted), "another run of the container");
    }
}
