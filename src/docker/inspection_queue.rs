//! The queue of containers to inspect, with retries. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The delay after the first failed inspection of a container. It doubles with each further failure.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The maximum delay.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What events have reported about a container since its last inspection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerEvents {
    /// Whether there was an event. If not, only a list has caused the inspection.
    pub(super) has_event: bool,
    /// The last exit, unless the container was started after it.
    pub(super) exit: Option<ContainerExit>,
    /// The last time of each signal that the engine sent to it.
    pub(super) signals: BTreeMap<i32, Timestamp>,
    /// The times of its starts.
    pub(super) starts: Vec<Timestamp>,
}

/// The exit of a container's main process, from an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerExit {
    pub(super) at: Timestamp,
    /// `None` if the event does not contain it.
    pub(super) exit_code: Option<i64>,
}

impl ContainerEvents {
    /// Adds later events.
    pub(super) fn merge(&mut self, later: Self) {
        self.has_event |= later.has_event;
        let before = self.exit.filter(|_| later.starts.is_empty());
        self.exit = match (before, later.exit) {
            // Of `die` and `destroy`, only `die` has the exit code.
            (Some(before), Some(later)) => {
                Some(ContainerExit { exit_code: later.exit_code.or(before.exit_code), ..later })
            }
            (before, later) => later.or(before),
        };
        self.signals.extend(later.signals);
        self.starts.extend(later.starts);
    }
}

/// The containers that wait for an inspection, are being inspected, or wait for a retry. A container is never inspected
/// twice at the same time. The events of a failed inspection are kept for the next one.
#[derive(Debug, Default)]
pub(super) struct InspectionQueue {
    waiting: BTreeMap<String, ContainerEvents>,
    running: BTreeMap<String, ContainerEvents>,
    failed: BTreeMap<String, FailedInspection>,
}

/// A container whose last inspection failed.
#[derive(Debug)]
struct FailedInspection {
    events: ContainerEvents,
    attempts: u32,
    retry_at: Instant,
}

impl InspectionQueue {
    /// Adds a container. If it is being inspected, it is inspected again afterwards.
    pub(super) fn add(&mut self, id: String, events: ContainerEvents) {
        self.waiting.entry(id).or_default().merge(events);
    }

    /// The next container to inspect, which counts as running from now on.
    pub(super) fn start(&mut self, now: Instant) -> Option<String> {
        let is_idle = |id: &&String| !self.running.contains_key(*id);
        let mut due = self.failed.iter().filter(|(_, failed)| failed.retry_at <= now).map(|(id, _)| id);
        let id = self.waiting.keys().find(is_idle).or_else(|| due.find(is_idle))?.clone();
        let mut events = self.failed.get_mut(&id).map(|failed| std::mem::take(&mut failed.events)).unwrap_or_default();
        events.merge(self.waiting.remove(&id).unwrap_or_default());
        self.running.insert(id.clone(), events);
        Some(id)
    }

    /// Records a successful inspection. Returns the events that were known when it began.
    pub(super) fn finish(&mut self, id: &str) -> ContainerEvents {
        self.failed.remove(id);
        self.running.remove(id).unwrap_or_default()
    }

    /// Records a failed inspection, which is retried after a delay. Returns the number of failures in a row.
    pub(super) fn fail(&mut self, id: &str, now: Instant) -> u32 {
        let events = self.running.remove(id).unwrap_or_default();
        let attempts = self.failed.get(id).map_or(0, |failed| failed.attempts) + 1;
        let wait = RETRY_MIN.saturating_mul(1 << (attempts - 1).min(16)).min(RETRY_MAX);
        self.failed.insert(id.to_owned(), FailedInspection { events, attempts, retry_at: now + wait });
        attempts
    }

    /// The exit of a container since its last successful inspection, from events.
    pub(super) fn exit(&self, id: &str) -> Option<ContainerExit> {
        let failed = self.failed.get(id).map(|failed| &failed.events);
        let mut all = ContainerEvents::default();
        for events in failed.into_iter().chain(self.running.get(id)).chain(self.waiting.get(id)) {
            all.merge(events.clone());
        }
        all.exit
    }

    /// When the next failed inspection is retried.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let idle = self.failed.iter().filter(|(id, _)| !self.running.contains_key(*id));
        idle.map(|(_, failed)| failed.retry_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_with(signal: i32) -> ContainerEvents {
        ContainerEvents { signals: [(signal, Timestamp::UNIX_EPOCH)].into(), ..ContainerEvents::default() }
    }

    #[test]
    fn an_event_during_an_inspection_causes_another_one() {
        let (mut queue, now) = (InspectionQueue::default(), Instant::now());
        queue.add("a".into(), events_with(15));
        queue.add("a".into(), events_with(2));
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        queue.add("a".into(), events_with(9));
        assert_eq!(queue.start(now), None);
        assert_eq!(queue.finish("a").signals.keys().collect::<Vec<_>>(), [&2, &15]);
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        assert!(queue.finish("a").signals.contains_key(&9));
        assert_eq!(queue.start(now), None);
    }

    #[test]
    fn a_failed_inspection_is_retried_with_growing_delays_and_keeps_its_events() {
        let (mut queue, mut now) = (InspectionQueue::default(), Instant::now());
        queue.add("a".into(), events_with(15));
        let mut waits = Vec::new();
        for tries in 1..=12 {
            assert_eq!(queue.start(now).as_deref(), Some("a"));
            assert_eq!(queue.retry_at(), None);
            assert_eq!(queue.fail("a", now), tries);
            assert_eq!(queue.start(now), None);
            let at = queue.retry_at().expect("it failed");
            waits.push(at - now);
            now = at;
        }
        assert_eq!((waits[0], waits[1], waits[11]), (RETRY_MIN, 2 * RETRY_MIN, RETRY_MAX));
        // An event does not wait for the delay.
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        queue.fail("a", now);
        queue.add("a".into(), events_with(9));
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        assert_eq!(queue.finish("a").signals.keys().collect::<Vec<_>>(), [&9, &15]);
        queue.add("a".into(), ContainerEvents::default());
        queue.start(now);
        assert_eq!(queue.fail("a", now), 1, "a success resets the count");
    }

    #[test]
    fn an_exit_counts_until_the_next_start_or_inspection() {
        let (mut queue, now) = (InspectionQueue::default(), Instant::now());
        let exited = |exit_code| Some(ContainerExit { at: Timestamp::UNIX_EPOCH, exit_code });
        let end = || ContainerEvents { has_event: true, exit: exited(Some(1)), ..ContainerEvents::default() };
        let start =
            || ContainerEvents { has_event: true, starts: vec![Timestamp::UNIX_EPOCH], ..ContainerEvents::default() };
        queue.add("a".into(), end());
        assert_eq!(queue.exit("a"), exited(Some(1)));
        queue.start(now);
        queue.add("a".into(), events_with(15));
        assert_eq!(queue.exit("a"), exited(Some(1)), "during an inspection");
        queue.fail("a", now);
        assert_eq!(queue.exit("a"), exited(Some(1)), "after a failure");
        queue.add("a".into(), start());
        assert_eq!(queue.exit("a"), None, "it was started again");
        queue.add("a".into(), end());
        queue.add("a".into(), ContainerEvents { exit: exited(None), ..ContainerEvents::default() });
        assert_eq!(queue.exit("a"), exited(Some(1)), "a removal contains no exit code");
        queue.start(now);
        queue.finish("a");
        assert_eq!(queue.exit("a"), None, "the inspection counts");
    }

    #[test]
    fn a_retry_is_dropped_when_another_inspection_begins() {
        let (mut queue, now) = (InspectionQueue::default(), Instant::now());
        queue.add("a".into(), ContainerEvents::default());
        queue.start(now);
        queue.fail("a", now);
        queue.add("a".into(), ContainerEvents::default());
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        assert_eq!(queue.start(now + RETRY_MAX), None);
    }
}
