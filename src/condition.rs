//! Says once that something is in trouble, and once that it is well again.

use std::sync::Mutex;

/// The condition of one thing that we depend on. Clones are not needed: share it by reference.
#[derive(Debug)]
pub struct Condition {
    what: String,
    trouble: Mutex<Option<String>>,
}

impl Condition {
    /// Starts as well. `what` begins each log line: `Consul at http://127.0.0.1:8500`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), trouble: Mutex::new(None) }
    }

    /// Notes trouble; a warning if it is new or of another kind than before, else a line for those who debug.
    pub fn trouble(&self, error: &(dyn std::error::Error + 'static)) {
        let reason = chain(error);
        let mut trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if trouble.as_ref() == Some(&reason) {
            tracing::debug!("{}: still {reason}", self.what);
        } else {
            tracing::warn!("{}: {reason}; will try again", self.what);
            *trouble = Some(reason);
        }
    }

    /// Notes that all is well; says so if it was not.
    pub fn well(&self) {
        let mut trouble = self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if trouble.take().is_some() {
            tracing::info!("{}: well again", self.what);
        }
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        assert!(chain(&Outer(std::fmt::Error)).starts_with("outer: an error occurred"));
    }
}
