//! Logs a problem when it begins and when it is over, not at each attempt. Formats errors.

use std::{
    error::Error,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::supervise;

/// The condition of something that a task depends on. The task's status follows it.
#[derive(Debug)]
pub struct Condition {
    subject: String,
    /// A field of the log lines, if the subject is a target.
    target_name: Option<String>,
    problem: Mutex<Option<OngoingProblem>>,
}

#[derive(Debug)]
struct OngoingProblem {
    reason: String,
    since: Instant,
}

impl Condition {
    /// No problem so far. Each log line begins with `subject`: `Consul at http://127.0.0.1:8500`.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), target_name: None, problem: Mutex::new(None) }
    }

    /// The condition of a target.
    pub(crate) fn for_target(name: &str) -> Self {
        Self { target_name: Some(name.to_owned()), ..Self::new(format!("target {name}")) }
    }

    /// Logs a warning if the problem is new or its reason has changed, else at level debug.
    pub fn report_problem(&self, error: &(dyn Error + 'static)) {
        let reason = error_chain(error);
        let mut problem = self.lock();
        supervise::current().report_problem(&self.subject, &reason);
        let since = problem.as_ref().map_or_else(Instant::now, |problem| problem.since);
        if problem.as_ref().is_some_and(|problem| problem.reason == reason) {
            tracing::debug!(target_name = self.target_name, reason, "{}: still {reason}", self.subject);
        } else {
            tracing::warn!(target_name = self.target_name, reason, "{}: {reason}; retrying", self.subject);
            *problem = Some(OngoingProblem { reason, since });
        }
    }

    /// Logs the recovery if there was a problem.
    pub fn report_ok(&self) {
        let mut problem = self.lock();
        supervise::current().report_ok(&self.subject);
        if let Some(OngoingProblem { since, .. }) = problem.take() {
            let after = format_seconds(since.elapsed());
            tracing::info!(target_name = self.target_name, "{}: recovered after {after}", self.subject);
        }
    }

    /// The ongoing problem: the subject and the reason.
    pub fn current_problem(&self) -> Option<String> {
        self.lock().as_ref().map(|problem| format!("{}: {}", self.subject, problem.reason))
    }

    fn lock(&self) -> MutexGuard<'_, Option<OngoingProblem>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `0.4 s`, `57 s`.
pub(crate) fn format_seconds(duration: Duration) -> String {
    let digits = usize::from(duration < Duration::from_secs(10));
    format!("{:.digits$} s", duration.as_secs_f64())
}

/// An error with all its causes on one line.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Only the last cause, without the operating system's error number: the causes in between describe libraries.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    text.rsplit_once(" (os error ").map_or(text.as_str(), |(text, _)| text).to_owned()
}

/// The kind of the last I/O error among the causes.
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
    fn an_error_is_formatted_with_its_causes() {
        assert!(error_chain(&WrappedError(std::fmt::Error)).starts_with("outer: an error occurred"));
        assert!(root_cause(&WrappedError(std::fmt::Error)).starts_with("an error occurred"));
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!((root_cause(&refused), io_kind(&refused)), ("Connection refused".into(), Some(refused.kind())));
    }

    #[test]
    fn a_duration_is_formatted_in_seconds() {
        assert_eq!(format_seconds(Duration::from_millis(449)), "0.4 s");
        assert_eq!(format_seconds(Duration::from_millis(56_900)), "57 s");
    }
}
