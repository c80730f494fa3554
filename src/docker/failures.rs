//! Log lines about containers that cannot be inspected: one line for all that fail for the same reason. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::core::condition::in_seconds;

/// Failures within this time after the first one are logged together with it.
const TOGETHER: Duration = Duration::from_secs(2);

/// The most containers that a line names.
const NAMED: usize = 5;

/// The containers whose inspections fail, by reason.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_reason: BTreeMap<String, Group>,
}

/// The containers that fail for one reason. The maps are from ids to names.
#[derive(Debug)]
struct Group {
    failing: BTreeMap<String, String>,
    untold: BTreeMap<String, String>,
    told: BTreeMap<String, String>,
    since: Instant,
    tell_at: Option<Instant>,
}

impl Failures {
    /// The inspection of a container has failed.
    pub(super) fn add(&mut self, id: &str, name: &str, reason: String, now: Instant) {
        if self.by_reason.get(&reason).is_some_and(|group| group.failing.contains_key(id)) {
            return;
        }
        self.forget(id);
        let group = self.by_reason.entry(reason).or_insert_with(|| Group {
            failing: BTreeMap::new(),
            untold: BTreeMap::new(),
            told: BTreeMap::new(),
            since: now,
            tell_at: None,
        });
        group.failing.insert(id.to_owned(), name.to_owned());
        if !group.told.contains_key(id) {
            group.untold.insert(id.to_owned(), name.to_owned());
            group.tell_at.get_or_insert(now + TOGETHER);
        }
    }

    /// The inspection of a container has succeeded. Returns a line to log if no other container of its group fails.
    pub(super) fn over(&mut self, id: &str, now: Instant) -> Option<String> {
        let Group { told, since, .. } = self.forget(id).filter(|group| !group.told.is_empty())?;
        Some(format!("{}: well again after {}", names(&told), in_seconds(now - since)))
    }

    /// Removes a container. Returns its group if it was the last one in it.
    fn forget(&mut self, id: &str) -> Option<Group> {
        let (reason, group) = self.by_reason.iter_mut().find(|(_, group)| group.failing.contains_key(id))?;
        group.failing.remove(id);
        group.untold.remove(id);
        let reason = reason.clone();
        let is_empty = group.failing.is_empty();
        is_empty.then(|| self.by_reason.remove(&reason)).flatten()
    }

    /// There is no such container any more.
    pub(super) fn gone(&mut self, id: &str) {
        self.forget(id);
    }

    /// When the next line is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.by_reason.values().filter_map(|group| group.tell_at).min()
    }

    /// The lines that are due.
    pub(super) fn news(&mut self, now: Instant) -> Vec<String> {
        let due = self.by_reason.iter_mut().filter(|(_, group)| group.tell_at.is_some_and(|at| at <= now));
        let news = due.filter_map(|(reason, group)| {
            group.tell_at = None;
            let untold = std::mem::take(&mut group.untold);
            let line = format!("{}: the entries stay as they are: {reason}; will try again", names(&untold));
            let is_news = !untold.is_empty();
            group.told.extend(untold);
            is_news.then_some(line)
        });
        news.collect()
    }
}

/// `container a`, or `containers a, b, c, d, e and 7 others`.
fn names(of: &BTreeMap<String, String>) -> String {
    let named = of.values().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (of.len(), of.len().saturating_sub(NAMED)) {
        (1, _) => format!("container {named}"),
        (_, 0) => format!("containers {named}"),
        (_, 1) => format!("containers {named} and 1 other"),
        (_, others) => format!("containers {named} and {others} others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_all_that_fail_for_one_reason() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 1..=7 {
            failures.add(&number.to_string(), &format!("web-{number}"), "hangs".into(), now);
        }
        failures.add("x", "x", "500".into(), now);
        assert_eq!((failures.due(), failures.news(now)), (Some(now + TOGETHER), vec![]));
        let lines = failures.news(now + TOGETHER);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(
            lines[1],
            "containers web-1, web-2, web-3, web-4, web-5 and 2 others: the entries stay as they are: hangs; will try again"
        );
        failures.add("1", "web-1", "hangs".into(), now + TOGETHER);
        assert_eq!(failures.due(), None, "that is no news");
        for number in 1..=6 {
            assert_eq!(failures.over(&number.to_string(), now), None);
        }
        let well = failures.over("7", now + TOGETHER * 30).expect("the last one");
        assert!(well.ends_with("and 2 others: well again after 60 s"), "{well}");
        failures.add("x", "x", "hangs".into(), now + TOGETHER);
        assert_eq!(failures.news(now + TOGETHER * 2).len(), 1, "another reason");
        failures.gone("x");
        assert_eq!((failures.over("x", now), failures.due()), (None, None));
    }
}
