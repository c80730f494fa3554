//! The items that a refusal points at: their values are in its text, or on a line that it names. Pure.

use std::collections::BTreeSet;

use super::{Item, item};
use crate::{render::Answers, target::Files};

/// The items among `suspects` that `reason` points at; `files` are the refused files.
pub(super) fn guess(reason: &str, files: &Files, suspects: &BTreeSet<Item>, answers: &Answers) -> BTreeSet<Item> {
    let mut text = reason.to_owned();
    for (path, product) in files {
        let content = String::from_utf8_lossy(product.text.bytes());
        for line in lines(reason, &path.display().to_string()) {
            text.push('\n');
            text.push_str(line.checked_sub(1).and_then(|index| content.lines().nth(index)).unwrap_or_default());
        }
    }
    let points_at = |item: &&Item| {
        let label = item.to_string();
        text.contains(label.trim_end_matches(',')) || item::words(item, answers).iter().any(|word| text.contains(word))
    };
    let mut found: BTreeSet<_> = suspects.iter().filter(points_at).cloned().collect();
    // An instance is named with its service.
    if found.iter().any(|item| !matches!(item, Item::Service(_))) {
        found.retain(|item| !matches!(item, Item::Service(_)));
    }
    found
}

/// The line numbers of `path` in a text such as `… in /etc/nginx/conf.d/web.conf:12`.
fn lines<'a>(reason: &'a str, path: &'a str) -> impl Iterator<Item = usize> {
    let after = reason.split(path).skip(1).filter_map(|rest| rest.strip_prefix(':'));
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        registry::{Answer, Query, ServiceRecord},
        target::Product,
    };

    #[test]
    fn a_line_or_a_name_in_the_reason_points_at_an_instance() {
        let record = |id: &str, address: &str| ServiceRecord {
            name: "web".into(),
            id: id.into(),
            address: address.into(),
            port: 80,
            ..ServiceRecord::default()
        };
        let records = Answer::Service(vec![record("a", "10.0.0.1"), record("b", "nope.invalid")]);
        let services = Answer::Services([("web".to_owned(), Vec::new())].into());
        let answers: Answers =
            [(Query::service("web"), Arc::new(records)), (Query::services(), Arc::new(services))].into();
        let suspects = item::changed(&Answers::new(), &answers);
        let files =
            Files::from([("/c".into(), Arc::new(Product::new(0, "server 10.0.0.1:80;\nserver nope.invalid:80;\n")))]);
        let b = Item::Instance { service: "web".into(), node: String::new(), id: "b".into() };
        let guessed = |reason: &str| guess(reason, &files, &suspects, &answers);
        assert_eq!(guessed("[emerg] host not found in upstream in /c:2"), [b.clone()].into());
        assert_eq!(guessed("holds ';' (service \"web\", instance \"b\" on node \"\")"), [b].into());
        assert_eq!(guessed("holds ';' (service \"web\")"), [Item::Service("web".into())].into());
        assert_eq!(guessed("no memory"), BTreeSet::new());
    }
}
