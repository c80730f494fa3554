//! Groups the failed inspections by reason, for one log line per reason. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::core::condition::format_seconds;

/// Failures within this time after the first one are logged on one line.
const GROUP_WINDOW: Duration = Duration::from_secs(2);

/// The maximum number of containers that a line names.
const MAX_NAMED: usize = 5;

/// The containers whose inspections fail, by the reason.
#[derive(Debug, Default)]
pub(super) struct InspectionFailures {
    by_reason: BTreeMap<String, FailureGroup>,
}

/// The containers that fail for one reason. The maps are from id to name.
#[derive(Debug)]
struct FailureGroup {
    failing: BTreeMap<String, String>,
    unlogged: BTreeMap<String, String>,
    logged: BTreeMap<String, String>,
    since: Instant,
    log_at: Option<Instant>,
}

impl InspectionFailures {
    /// Records a failed inspection.
    pub(super) fn record_failure(&mut self, id: &str, name: &str, reason: String, now: Instant) {
        if self.by_reason.get(&reason).is_some_and(|group| group.failing.contains_key(id)) {
            return;
        }
        self.forget(id);
        let group = self.by_reason.entry(reason).or_insert_with(|| FailureGroup {
            failing: BTreeMap::new(),
            unlogged: BTreeMap::new(),
            logged: BTreeMap::new(),
            since: now,
            log_at: None,
        });
        group.failing.insert(id.to_owned(), name.to_owned());
        if !group.logged.contains_key(id) {
            group.unlogged.insert(id.to_owned(), name.to_owned());
            group.log_at.get_or_insert(now + GROUP_WINDOW);
        }
    }

    /// Records a successful inspection. Returns a line to log if the container was the last one of a group that was
    /// logged.
    pub(super) fn record_success(&mut self, id: &str, now: Instant) -> Option<String> {
        let FailureGroup { logged, since, .. } = self.forget(id).filter(|group| !group.logged.is_empty())?;
        Some(format!("{}: recovered after {}", names(&logged), format_seconds(now - since)))
    }

    /// Removes a container. Returns its group if the group is empty then.
    fn forget(&mut self, id: &str) -> Option<FailureGroup> {
        let (reason, group) = self.by_reason.iter_mut().find(|(_, group)| group.failing.contains_key(id))?;
        group.failing.remove(id);
        group.unlogged.remove(id);
        let reason = reason.clone();
        let is_empty = group.failing.is_empty();
        is_empty.then(|| self.by_reason.remove(&reason)).flatten()
    }

    /// Records that a container does not exist any more.
    pub(super) fn record_removal(&mut self, id: &str) {
        self.forget(id);
    }

    /// When the next line is due.
    pub(super) fn next_log_at(&self) -> Option<Instant> {
        self.by_reason.values().filter_map(|group| group.log_at).min()
    }

    /// The lines that are due.
    pub(super) fn due_lines(&mut self, now: Instant) -> Vec<String> {
        let due = self.by_reason.iter_mut().filter(|(_, group)| group.log_at.is_some_and(|at| at <= now));
        let lines = due.filter_map(|(reason, group)| {
            group.log_at = None;
            let unlogged = std::mem::take(&mut group.unlogged);
            let line = format!("{}: the entries stay as they are: {reason}; retrying", names(&unlogged));
            let is_new = !unlogged.is_empty();
            group.logged.extend(unlogged);
            is_new.then_some(line)
        });
        lines.collect()
    }
}

/// `container a`, or `containers a, b, c, d, e and 7 others`.
fn names(of: &BTreeMap<String, String>) -> String {
    let named = of.values().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (of.len(), of.len().saturating_sub(MAX_NAMED)) {
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
    fn failures_for_one_reason_share_a_line() {
        let (mut failures, now) = (InspectionFailures::default(), Instant::now());
        for number in 1..=7 {
            failures.record_failure(&number.to_string(), &format!("web-{number}"), "hangs".into(), now);
        }
        failures.record_failure("x", "x", "500".into(), now);
        assert_eq!((failures.next_log_at(), failures.due_lines(now)), (Some(now + GROUP_WINDOW), vec![]));
        let lines = failures.due_lines(now + GROUP_WINDOW);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(
            lines[1],
            "containers web-1, web-2, web-3, web-4, web-5 and 2 others: the entries stay as they are: hangs; retrying"
        );
        failures.record_failure("1", "web-1", "hangs".into(), now + GROUP_WINDOW);
        assert_eq!(failures.next_log_at(), None, "it is logged already");
        for number in 1..=6 {
            assert_eq!(failures.record_success(&number.to_string(), now), None);
        }
        let line = failures.record_success("7", now + GROUP_WINDOW * 30).expect("the last one");
        assert!(line.ends_with("and 2 others: recovered after 60 s"), "{line}");
        failures.record_failure("x", "x", "hangs".into(), now + GROUP_WINDOW);
        assert_eq!(failures.due_lines(now + GROUP_WINDOW * 2).len(), 1, "another reason");
        failures.record_removal("x");
        assert_eq!((failures.record_success("x", now), failures.next_log_at()), (None, None));
    }
}
