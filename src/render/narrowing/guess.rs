//! Guesses the culprits from the reason of a rejection: their values are in its text, or on a line of a file that it
//! names. Pure.

use std::collections::BTreeSet;

use super::{AnswerItem, item};
use crate::{render::Answers, target::DesiredFiles};

/// The items among `suspects` that `reason` points at; `files` are the rejected files.
pub(super) fn guess_culprits(
    reason: &str,
    files: &DesiredFiles,
    suspects: &BTreeSet<AnswerItem>,
    answers: &Answers,
) -> BTreeSet<AnswerItem> {
    let mut text = reason.to_owned();
    for (path, file) in files {
        let content = String::from_utf8_lossy(file.content.bytes());
        for line in named_lines(reason, &path.display().to_string()) {
            text.push('\n');
            text.push_str(line.checked_sub(1).and_then(|index| content.lines().nth(index)).unwrap_or_default());
        }
    }
    let points_at = |item: &&AnswerItem| {
        let label = item.to_string();
        text.contains(label.trim_end_matches(','))
            || item::printable_values(item, answers).iter().any(|word| text.contains(word))
    };
    let mut found: BTreeSet<_> = suspects.iter().filter(points_at).cloned().collect();
    // An instance is named with its service.
    if found.iter().any(|item| !matches!(item, AnswerItem::Service(_))) {
        found.retain(|item| !matches!(item, AnswerItem::Service(_)));
    }
    found
}

/// The line numbers of `path` in a text such as `… in /etc/nginx/conf.d/web.conf:12`.
fn named_lines<'a>(reason: &'a str, path: &'a str) -> impl Iterator<Item = usize> {
    let after = reason.split(path).skip(1).filter_map(|rest| rest.strip_prefix(':'));
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        registry::{Answer, Query, ServiceRecord},
        target::DesiredFile,
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
        let suspects = item::changed_items(&Answers::new(), &answers);
        let files = DesiredFiles::from([(
            "/c".into(),
            Arc::new(DesiredFile::new(0, "server 10.0.0.1:80;\nserver nope.invalid:80;\n")),
        )]);
        let b = AnswerItem::Instance { service: "web".into(), node: String::new(), id: "b".into() };
        let guessed = |reason: &str| guess_culprits(reason, &files, &suspects, &answers);
        assert_eq!(guessed("[emerg] host not found in upstream in /c:2"), [b.clone()].into());
        assert_eq!(guessed("holds ';' (service \"web\", instance \"b\" on node \"\")"), [b].into());
        assert_eq!(guessed("holds ';' (service \"web\")"), [AnswerItem::Service("web".into())].into());
        assert_eq!(guessed("no memory"), BTreeSet::new());
    }
}
