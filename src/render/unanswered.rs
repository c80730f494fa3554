//! Queries without an answer: each is logged once, with its template and its target. Pure.

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

/// A query is logged if its answer takes longer than this.
const OVERDUE_AFTER: Duration = Duration::from_secs(5);
/// How many queries of a template one line names.
const MAX_LISTED: usize = 8;

/// The unanswered queries, and since when each is unanswered.
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
    /// Replaces the unanswered queries by those of these templates. Returns the queries to log now, and the time until
    /// others may become overdue.
    pub(super) fn update(
        &mut self,
        unrendered: &[Unrendered],
        now: Instant,
    ) -> (Vec<OverdueQueries>, Option<Duration>) {
        let before = std::mem::take(&mut self.0);
        let new = UnansweredSince { since: now, is_logged: false };
        let entry = |query: QueryUse| {
            let since = before.get(&query).copied().unwrap_or(new);
            (query, since)
        };
        self.0 = unanswered(unrendered).map(entry).collect();
        let mut overdue: Vec<OverdueQueries> = Vec::new();
        let is_due = |since: &UnansweredSince| !since.is_logged && now.duration_since(since.since) >= OVERDUE_AFTER;
        for ((target, template, query), since) in self.0.iter_mut().filter(|(_, since)| is_due(since)) {
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

fn unanswered(unrendered: &[Unrendered]) -> impl Iterator<Item = QueryUse> {
    unrendered.iter().flat_map(|template| {
        let missing = match &template.reason {
            UnrenderedReason::Missing(missing) => Some(missing),
            UnrenderedReason::Failed(_) => None,
        };
        let queries = missing.into_iter().flatten().filter(|(_, reason)| **reason == MissingInput::Answer);
        queries.map(|(query, _)| (template.target.clone(), template.template.clone(), query.clone()))
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

    fn unrendered(template: &str, keys: &[(&str, MissingInput)]) -> Unrendered {
        let missing = keys.iter().map(|(key, reason)| (Query::key(*key), *reason)).collect();
        Unrendered { target: "web".into(), template: template.into(), reason: UnrenderedReason::Missing(missing) }
    }

    #[test]
    fn each_query_is_logged_once_when_it_is_overdue() {
        let (mut unanswered, begin) = (UnansweredQueries::default(), Instant::now());
        let mut update = |templates: &[Unrendered], seconds| {
            let (overdue, next) = unanswered.update(templates, begin + Duration::from_secs(seconds));
            (overdue.iter().map(ToString::to_string).collect::<Vec<_>>(), next.map(|next| next.as_secs()))
        };
        let a = unrendered("a.hbs", &[("x", MissingInput::Answer), ("absent", MissingInput::Key)]);
        let both = [a.clone(), unrendered("b.hbs", &[("x", MissingInput::Answer), ("y", MissingInput::Answer)])];
        assert_eq!(update(std::slice::from_ref(&a), 0), (vec![], Some(5)));
        assert_eq!(update(&both, 4), (vec![], Some(1)));
        assert_eq!(update(&both, 5), (vec!["target web: a.hbs: no answer for 5 s to key \"x\"".to_owned()], Some(4)));
        let later = "target web: b.hbs: no answer for 5 s to key \"x\", key \"y\"".to_owned();
        assert_eq!(update(&both, 9), (vec![later], None));
        assert_eq!(update(&both, 60), (vec![], None));
        assert_eq!(update(&[], 61), (vec![], None));
        assert_eq!(update(&[a], 62), (vec![], Some(5)), "it was answered in between");
    }
}
