//! One change, and how long it took until requests were affected.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portreeve_lab::stream::Sample;

/// A change, and its effect on the answers.
pub(crate) struct Change {
    /// `host-1  docker run web-1`
    pub(crate) what: String,
    /// From Docker's `start` event to the first answer of the new instance.
    pub(crate) first: Option<Duration>,
    /// From Docker's `kill` event to the last answer of the old instance; zero if there was no later answer.
    pub(crate) last: Option<Duration>,
}

/// The time of the first answer of the container `name`, as started at `since` or later.
pub(crate) fn first_answer(samples: &[Sample], name: &str, since: SystemTime) -> Option<SystemTime> {
    answers(samples, name, |started| started >= since).min()
}

/// The time of the last answer of the container `name`, as started before `since`.
pub(crate) fn last_answer(samples: &[Sample], name: &str, since: SystemTime) -> Option<SystemTime> {
    answers(samples, name, |started| started < since).max()
}

fn answers<'a>(
    samples: &'a [Sample],
    name: &'a str,
    is_meant: impl Fn(SystemTime) -> bool + 'a,
) -> impl Iterator<Item = SystemTime> + 'a {
    samples.iter().filter_map(move |sample| {
        let instance = sample.outcome.as_ref().ok()?;
        let started = UNIX_EPOCH + Duration::from_nanos(u64::try_from(instance.started).ok()?);
        (instance.name == name && is_meant(started)).then_some(sample.ended)
    })
}
