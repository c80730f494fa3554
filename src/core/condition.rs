//! Says once that something is in trouble, and once that it is well again.

use std::{
    error::Error,
    io,
    sync::Mutex,
    time::{Duration, Instant},
};

/// The condition of one thing that we depend on. Clones are not needed: share it by reference.
#[derive(Debug)]
pub struct Condition {
    subject: String,
    /// For the log, if it is a target.
    target_name: Option<String>,
    problem: Mutex<Option<OngoingProblem>>,
}

#[derive(Debug)]
struct OngoingProblem {
    reason: String,
    since: Instant,
}

impl Condition {
    /// Starts as well. `what` begins each log line: `Consul at http://127.0.0.1:8500`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { subject: what.into(), target_name: None, problem: Mutex::new(None) }
    }

    /// That of the target of this name.
    pub(crate) fn for_target(name: &str) -> Self {
        Self { target_name: Some(name.to_owned()), ..Self::new(format!("target {name}")) }
    }

    /// Notes trouble; a warning if it is new or of another kind than before, else a line for those who debug.
    pub fn report_problem(&self, error: &(dyn std::error::Error + 'static)) {
        let reason = error_chain(error);
        let mut trouble = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let since = trouble.as_ref().map_or_else(Instant::now, |trouble| trouble.since);
        if trouble.as_ref().is_some_and(|trouble| trouble.reason == reason) {
            tracing::debug!(target_name = self.target_name, reason, "{}: still {reason}", self.subject);
        } else {
            tracing::warn!(target_name = self.target_name, reason, "{}: {reason}; will try again", self.subject);
            *trouble = Some(OngoingProblem { reason, since });
        }
    }

    /// Notes that all is well; says so if it was not.
    pub fn report_ok(&self) {
        let mut trouble = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(OngoingProblem { since, .. }) = trouble.take() {
            let after = format_seconds(since.elapsed());
            tracing::info!(target_name = self.target_name, "{}: well again after {after}", self.subject);
        }
    }

    /// The trouble that lasts, if there is some, with what is in trouble.
    pub fn current_problem(&self) -> Option<String> {
        let trouble = self.problem.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        trouble.as_ref().map(|trouble| format!("{}: {}", self.subject, trouble.reason))
    }
}

/// As people say it: `0.4 s`, `57 s`.
pub(crate) fn format_seconds(time: Duration) -> String {
    let digits = usize::from(time < Duration::from_secs(10));
    format!("{:.digits$} s", time.as_secs_f64())
}

/// An error with all its causes on one line.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The last cause alone, without the number of the operating system: what is between is about libraries.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    text.rsplit_once(" (os error ").map_or(text.as_str(), |(text, _)| text).to_owned()
}

/// What the operating system said, if it was that.
pub fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct WrappedError(#[source] std::fmt::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        assert!(error_chain(&WrappedError(std::fmt::Error)).starts_with("outer: an error occurred"));
        assert!(root_cause(&WrappedError(std::fmt::Error)).starts_with("an error occurred"));
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!((root_cause(&refused), io_kind(&refused)), ("Connection refused".into(), Some(refused.kind())));
    }

    #[test]
    fn a_duration_is_told_in_seconds() {
        assert_eq!(format_seconds(Duration::from_millis(449)), "0.4 s");
        assert_eq!(format_seconds(Duration::from_millis(56_900)), "57 s");
    }
}
