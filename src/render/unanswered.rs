//! Queries that get no answer: each is told once, with its template and its target. Pure.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use super::{
    MissingInput,
    unrendered::{Unrendered, UnrenderedReason},
};
use crate::registry::Query;

/// An answer that takes longer than this is told of.
const OVERDUE_AFTER: Duration = Duration::from_secs(5);
/// How many queries of a template are named in one line.
const MAX_LISTED: usize = 8;

/// Since when which queries have had no answer.
#[derive(Debug, Default)]
pub(super) struct UnansweredQueries(BTreeMap<QueryUse, UnansweredSince>);

/// Target, template, query.
type QueryUse = (String, String, Query);

#[derive(Clone, Copy, Debug)]
struct UnansweredSince {
    since: Instant,
    is_logged: bool,
}

/// The queries of one template that became overdue at one time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OverdueQueries {
    pub(super) target: String,
    pub(super) template: String,
    pub(super) queries: Vec<Query>,
}

impl UnansweredQueries {
    /// Takes what is unanswered now. Gives what is to be told, and how long it takes until there may be more.
    pub(super) fn update(&mut self, open: &[Unrendered], now: Instant) -> (Vec<OverdueQueries>, Option<Duration>) {
        let before = std::mem::take(&mut self.0);
        let new = UnansweredSince { since: now, is_logged: false };
        let since = |subject: QueryUse| {
            let since = before.get(&subject).copied().unwrap_or(new);
            (subject, since)
        };
        self.0 = unanswered(open).map(since).collect();
        let mut overdue: Vec<OverdueQueries> = Vec::new();
        let late = |since: &UnansweredSince| !since.is_logged && now.duration_since(since.since) >= OVERDUE_AFTER;
        for ((target, template, query), since) in self.0.iter_mut().filter(|(_, since)| late(since)) {
            since.is_logged = true;
            match overdue.last_mut().filter(|last| (&last.target, &last.template) == (target, template)) {
                Some(last) => last.queries.push(query.clone()),
                None => overdue.push(OverdueQueries {
                    target: target.clone(),
                    template: template.clone(),
                    queries: vec![query.clone()],
                }),
            }
        }
        let first = self.0.values().filter(|since| !since.is_logged).map(|since| since.since).min();
        (overdue, first.map(|first| (first + OVERDUE_AFTER).saturating_duration_since(now)))
    }
}

fn unanswered(open: &[Unrendered]) -> impl Iterator<Item = QueryUse> {
    open.iter().flat_map(|open| {
        let missing = match &open.reason {
            UnrenderedReason::Missing(missing) => Some(missing),
            UnrenderedReason::Failed(_) => None,
        };
        let queries = missing.into_iter().flatten().filter(|(_, why)| **why == MissingInput::Answer);
        queries.map(|(query, _)| (open.target.clone(), open.template.clone(), query.clone()))
    })
}

impl fmt::Display for OverdueQueries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, template, queries } = self;
        let named: Vec<_> = queries.iter().take(MAX_LISTED).map(ToString::to_string).collect();
        write!(f, "target {target}: {template}: no answer for {} s to {}", OVERDUE_AFTER.as_secs(), named.join(", "))?;
        match queries.len() - named.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more queries"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(template: &str, keys: &[(&str, MissingInput)]) -> Unrendered {
        let missing = keys.iter().map(|(key, why)| (Query::key(*key), *why)).collect();
        Unrendered { target: "web".into(), template: template.into(), reason: UnrenderedReason::Missing(missing) }
    }

    #[test]
    fn each_query_is_told_once_when_it_is_overdue() {
        let (mut unanswered, begin) = (UnansweredQueries::default(), Instant::now());
        let mut note = |open: &[Unrendered], seconds| {
            let (overdue, next) = unanswered.update(open, begin + Duration::from_secs(seconds));
            (overdue.iter().map(ToString::to_string).collect::<Vec<_>>(), next.map(|next| next.as_secs()))
        };
        let a = waits("a.hbs", &[("x", MissingInput::Answer), ("absent", MissingInput::Key)]);
        let both = [a.clone(), waits("b.hbs", &[("x", MissingInput::Answer), ("y", MissingInput::Answer)])];
        assert_eq!(note(std::slice::from_ref(&a), 0), (vec![], Some(5)));
        assert_eq!(note(&both, 4), (vec![], Some(1)));
        assert_eq!(note(&both, 5), (vec!["target web: a.hbs: no answer for 5 s to key \"x\"".to_owned()], Some(4)));
        let later = "target web: b.hbs: no answer for 5 s to key \"x\", key \"y\"".to_owned();
        assert_eq!(note(&both, 9), (vec![later], None));
        assert_eq!(note(&both, 60), (vec![], None));
        assert_eq!(note(&[], 61), (vec![], None));
        assert_eq!(note(&[a], 62), (vec![], Some(5)), "it was answered in between");
    }
}
