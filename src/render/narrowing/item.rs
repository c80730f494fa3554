//! Items: the parts of answers that can be restored separately. Instances, names of services, nodes and keys. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    mem::discriminant,
    sync::Arc,
};

use crate::{
    registry::{Answer, KeyPair, NodeRecord, NodeService, NodeServices, Query, ServiceRecord},
    render::Answers,
};

/// A part of answers. The same instance in the answers to two queries is one item.
///
/// The order is the one in which a search adds them: what a template queries first comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::render) enum AnswerItem {
    /// A name in the list of services.
    Service(String),
    /// A node, by name.
    Node(String),
    /// A key, by its whole path.
    Key(String),
    /// An instance of a service.
    Instance { service: String, node: String, id: String },
}

impl AnswerItem {
    /// The name of the service, also of an instance.
    pub(super) fn service(&self) -> Option<&str> {
        match self {
            Self::Service(name) | Self::Instance { service: name, .. } => Some(name),
            Self::Node(_) | Self::Key(_) => None,
        }
    }

    /// The id of the instance.
    pub(super) fn instance(&self) -> Option<&str> {
        if let Self::Instance { id, .. } = self { Some(id) } else { None }
    }
}

/// The content of an item in an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ItemContent<'a> {
    Instance(&'a ServiceRecord),
    OnNode(&'a NodeService),
    Tags(&'a [String]),
    Node(&'a NodeRecord),
    Pair(&'a KeyPair),
    Value(&'a str),
}

/// All items of an answer.
fn items<'a>(query: &Query, answer: &'a Answer) -> BTreeMap<AnswerItem, ItemContent<'a>> {
    match (query, answer) {
        (_, Answer::Service(records)) => {
            records.iter().map(|record| (instance_item(record), ItemContent::Instance(record))).collect()
        }
        (_, Answer::Services(services)) => {
            services.iter().map(|(name, tags)| (AnswerItem::Service(name.clone()), ItemContent::Tags(tags))).collect()
        }
        (_, Answer::Nodes(nodes)) => nodes.iter().map(|node| (node_item(node), ItemContent::Node(node))).collect(),
        (_, Answer::Node(Some(node))) => node
            .services
            .iter()
            .map(|service| (node_service_item(node, service), ItemContent::OnNode(service)))
            .collect(),
        (_, Answer::Keys(pairs)) => pairs.iter().map(|pair| (key_item(pair), ItemContent::Pair(pair))).collect(),
        (Query::Key { path, .. }, Answer::Key(Some(value))) => {
            [(AnswerItem::Key(path.clone()), ItemContent::Value(value))].into()
        }
        _ => BTreeMap::new(),
    }
}

/// The items that differ between `good` and `newest`.
pub(super) fn changed_items(good: &Answers, newest: &Answers) -> BTreeSet<AnswerItem> {
    let mut changed = BTreeSet::new();
    for (query, answer) in newest {
        let before = good.get(query);
        if before.is_some_and(|before| Arc::ptr_eq(before, answer)) {
            continue;
        }
        let now = items(query, answer);
        let before = before.map(|before| items(query, before)).unwrap_or_default();
        changed.extend(now.iter().filter(|(item, part)| before.get(item) != Some(part)).map(|(item, _)| item.clone()));
        changed.extend(before.into_keys().filter(|item| !now.contains_key(item)));
    }
    changed
}

/// Whether more than half of the items of one kind would be left out. Then the template is probably wrong, and must not
/// empty the files in effect.
pub(super) fn leaves_out_most<'i>(
    culprits: impl Iterator<Item = &'i AnswerItem>,
    good: &Answers,
    newest: &Answers,
) -> bool {
    let (known, all) = (changed_items(&Answers::new(), good), changed_items(&Answers::new(), newest));
    let left_out: Vec<_> = culprits.filter(|item| !known.contains(*item)).collect();
    let of_kind = |item: &AnswerItem| all.iter().filter(|other| discriminant(*other) == discriminant(item)).count();
    let like =
        |item: &&AnswerItem| left_out.iter().filter(|other| discriminant(**other) == discriminant(*item)).count();
    left_out.iter().any(|item| like(item) * 2 > of_kind(item))
}

/// The answers that contain the item.
pub(super) fn occurrences(item: &AnswerItem, answers: &Answers) -> Answers {
    let is_named = |query: &Query| match (query, item) {
        (Query::Key { path, .. }, AnswerItem::Key(key)) => path == key,
        (Query::Service(query), AnswerItem::Instance { service, .. }) => query.name == *service,
        _ => false,
    };
    let occurs = |(query, answer): &(&Query, &Arc<Answer>)| is_named(query) || items(query, answer).contains_key(item);
    answers.iter().filter(occurs).map(|(query, answer)| (query.clone(), Arc::clone(answer))).collect()
}

/// Whether no answer contains the item.
pub(super) fn is_absent(item: &AnswerItem, answers: &Answers) -> bool {
    !answers.iter().any(|(query, answer)| items(query, answer).contains_key(item))
}

/// Whether two answers to `query` have the same content for the item.
pub(super) fn has_same_content(item: &AnswerItem, query: &Query, one: &Answer, other: &Answer) -> bool {
    items(query, one).get(item) == items(query, other).get(item)
}

/// The values of the item in the answers that may be printed in a file.
pub(super) fn printable_values(item: &AnswerItem, answers: &Answers) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for (query, answer) in answers {
        match items(query, answer).get(item) {
            Some(ItemContent::Instance(ServiceRecord { address, port, meta, .. })) => {
                words.insert(format!("{address}:{port}"));
                words.insert(format!("[{address}]:{port}"));
                words.extend(meta.values().cloned());
            }
            Some(ItemContent::OnNode(NodeService { address, port, meta, .. })) => {
                words.insert(format!("{address}:{port}"));
                words.extend(meta.values().cloned());
            }
            Some(ItemContent::Pair(KeyPair { value: Some(value), .. })) => drop(words.insert(value.clone())),
            Some(ItemContent::Value(value)) => drop(words.insert((*value).to_owned())),
            _ => {}
        }
    }
    words.retain(|word| word.len() > 2);
    words
}

/// `newest`, in which the items of `restored` are as in `good`: with the earlier content, absent, or present again.
pub(super) fn restore_items(good: &Answers, newest: &Answers, restored: &BTreeSet<AnswerItem>) -> Answers {
    let mut merged = newest.clone();
    if restored.is_empty() {
        return merged;
    }
    for (query, answer) in &mut merged {
        let before = good.get(query).map(Arc::as_ref);
        if let Some(restored) = merge(query, answer, before, restored) {
            *answer = Arc::new(restored);
        }
    }
    // Queries that a template makes only because of restored items.
    for (query, answer) in good {
        merged.entry(query.clone()).or_insert_with(|| Arc::clone(answer));
    }
    merged
}

/// The answers with these items and no others.
pub(super) fn only_items(answers: &Answers, items: &BTreeSet<AnswerItem>) -> Answers {
    let none = Answers::new();
    let bare = restore_items(&none, answers, &changed_items(&none, answers));
    restore_items(answers, &bare, items)
}

/// `None` if the answer does not change.
fn merge(query: &Query, newest: &Answer, good: Option<&Answer>, restored: &BTreeSet<AnswerItem>) -> Option<Answer> {
    Some(match (newest, good) {
        (Answer::Service(now), good) => {
            let good = if let Some(Answer::Service(good)) = good { &good[..] } else { &[] };
            Answer::Service(merge_list(now, good, restored, instance_item, |record| {
                (record.node.clone(), record.id.clone())
            })?)
        }
        (Answer::Services(now), good) => {
            let none = BTreeMap::new();
            let good = if let Some(Answer::Services(good)) = good { good } else { &none };
            let is_restored = |name: &String| restored.contains(&AnswerItem::Service(name.clone()));
            let mut merged = now.clone();
            merged.retain(|name, _| !is_restored(name));
            merged.extend(
                good.iter().filter(|(name, _)| is_restored(name)).map(|(name, tags)| (name.clone(), tags.clone())),
            );
            Answer::Services(merged)
        }
        (Answer::Nodes(now), good) => {
            let good = if let Some(Answer::Nodes(good)) = good { &good[..] } else { &[] };
            Answer::Nodes(merge_list(now, good, restored, node_item, |node| (node.node.clone(), node.address.clone()))?)
        }
        (Answer::Node(Some(now)), good) => {
            let good = if let Some(Answer::Node(Some(good))) = good { &good.services[..] } else { &[] };
            let sorted = |service: &NodeService| (service.name.clone(), service.id.clone());
            let services =
                merge_list(&now.services, good, restored, |service| node_service_item(now, service), sorted)?;
            Answer::Node(Some(NodeServices { node: now.node.clone(), services }))
        }
        (Answer::Keys(now), good) => {
            let good = if let Some(Answer::Keys(good)) = good { &good[..] } else { &[] };
            Answer::Keys(merge_list(now, good, restored, key_item, |pair| (pair.path.clone(), String::new()))?)
        }
        (Answer::Key(_), good) => match query {
            Query::Key { path, .. } if restored.contains(&AnswerItem::Key(path.clone())) => {
                good.cloned().unwrap_or(Answer::Key(None))
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// The list keeps its order. Returning items are inserted in order if it is sorted, otherwise appended. `None` if the
/// list does not change.
fn merge_list<T: Clone>(
    now: &[T],
    good: &[T],
    restored: &BTreeSet<AnswerItem>,
    item: impl Fn(&T) -> AnswerItem,
    rank: impl Fn(&T) -> (String, String),
) -> Option<Vec<T>> {
    let is_restored = |member: &T| restored.contains(&item(member));
    let returning: Vec<_> = good.iter().filter(|member| is_restored(member)).cloned().collect();
    if returning.is_empty() && !now.iter().any(is_restored) {
        return None;
    }
    let mut merged: Vec<_> = now.iter().filter(|member| !is_restored(member)).cloned().collect();
    merged.extend(returning);
    if now.is_sorted_by_key(&rank) {
        merged.sort_by_key(rank);
    }
    Some(merged)
}

fn instance_item(record: &ServiceRecord) -> AnswerItem {
    let ServiceRecord { name, node, id, .. } = record;
    AnswerItem::Instance { service: name.clone(), node: node.clone(), id: id.clone() }
}

fn node_service_item(node: &NodeServices, service: &NodeService) -> AnswerItem {
    AnswerItem::Instance { service: service.name.clone(), node: node.node.node.clone(), id: service.id.clone() }
}

fn node_item(node: &NodeRecord) -> AnswerItem {
    AnswerItem::Node(node.node.clone())
}

fn key_item(pair: &KeyPair) -> AnswerItem {
    AnswerItem::Key(pair.path.clone())
}

impl fmt::Display for AnswerItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "service {name:?}"),
            Self::Node(name) => write!(f, "node {name:?}"),
            Self::Key(path) => write!(f, "key {path:?}"),
            Self::Instance { service, node, id } => write!(f, "service {service:?}, instance {id:?} on node {node:?},"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, port: u16) -> ServiceRecord {
        ServiceRecord { name: "web".into(), node: "n".into(), id: id.into(), port, ..ServiceRecord::default() }
    }

    fn answers(records: &[(&str, u16)], names: &[&str], key: Option<&str>) -> Answers {
        let records = records.iter().map(|(id, port)| record(id, *port)).collect();
        let names = names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
        let key = Answer::Key(key.map(str::to_owned));
        let answers = [Answer::Service(records), Answer::Services(names), key];
        [Query::service("web"), Query::services(), Query::key("k")].into_iter().zip(answers.map(Arc::new)).collect()
    }

    #[test]
    fn every_change_can_be_restored() {
        let good = answers(&[("a", 1), ("b", 2), ("c", 3)], &["api", "web"], Some("1"));
        let newest = answers(&[("b", 9), ("c", 3), ("d", 4)], &["new", "web"], None);
        let id = |id: &str| AnswerItem::Instance { service: "web".into(), node: "n".into(), id: id.into() };
        let all = changed_items(&good, &newest);
        let names = ["api", "new"].map(|name| AnswerItem::Service(name.into()));
        let expected = names.into_iter().chain([AnswerItem::Key("k".into()), id("a"), id("b"), id("d")]);
        assert_eq!(all, expected.collect());
        assert_eq!(restore_items(&good, &newest, &BTreeSet::new()), newest);
        assert_eq!(restore_items(&good, &newest, &all), good);
        let some = restore_items(&good, &newest, &[id("a"), id("d")].into());
        assert_eq!(some, answers(&[("a", 1), ("b", 9), ("c", 3)], &["new", "web"], None));
        let two = [id("a"), AnswerItem::Service("web".into())].into();
        assert_eq!(only_items(&good, &two), answers(&[("a", 1)], &["web"], None));
        // Without an earlier answer it is left out.
        assert_eq!(
            restore_items(&Answers::new(), &newest, &changed_items(&Answers::new(), &newest)),
            answers(&[], &[], None)
        );
    }
}
