//! One change, and how long it took until the requests felt it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::lab::stream::Sample;

/// A change that has been seen in the answers.
pub struct Change {
    /// `host-1  docker run web-1`
    pub what: String,
    /// From Docker's `start` event to the first answer of the new life.
    pub first: Option<Duration>,
    /// From Docker's `kill` event to the last answer of the old life; zero if there was none after it.
    pub last: Option<Duration>,
}

/// When a life of the container `name` that began after `born` gave its first answer.
pub fn first_answer(samples: &[Sample], name: &str, born: SystemTime) -> Option<SystemTime> {
    answers(samples, name, |started| started >= born).min()
}

/// When the lives of the container `name` that began before `born` gave their last answer.
pub fn last_answer(samples: &[Sample], name: &str, born: SystemTime) -> Option<SystemTime> {
    answers(samples, name, |started| started < born).max()
}

fn answers<'a>(
    samples: &'a [Sample],
    name: &'a str,
    life: impl Fn(SystemTime) -> bool + 'a,
) -> impl Iterator<Item = SystemTime> + 'a {
    samples.iter().filter_map(move |sample| {
        let instance = sample.outcome.as_ref().ok()?;
        let started = UNIX_EPOCH + Duration::from_nanos(u64::try_from(instance.started).ok()?);
        (instance.name == name && life(started)).then_some(sample.ended)
    })
}
