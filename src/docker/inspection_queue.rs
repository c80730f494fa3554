//! Which containers have to be inspected, are being inspected, and have to be inspected again. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// The wait after the first failed inspection of a container; it doubles with each further one.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// The longest wait between two failed inspections of a container.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What events said about one container since it was last inspected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerEvents {
    /// Whether an event has reported it, and not only a list.
    pub(super) has_event: bool,
    /// The end that an event has reported, unless the container was started after that.
    pub(super) exit: Option<ContainerExit>,
    /// Signals that the engine sent it, each with the time.
    pub(super) signals: BTreeMap<i32, Timestamp>,
    /// When it was started.
    pub(super) starts: Vec<Timestamp>,
}

/// The end of a container's main process, as an event has reported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerExit {
    pub(super) at: Timestamp,
    /// `None` if the event does not contain it.
    pub(super) exit_code: Option<i64>,
}

impl ContainerEvents {
    /// Adds a later mark.
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

/// No container is inspected twice at the same time, and no mark is lost when an inspection fails.
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
    /// A container has to be inspected.
    pub(super) fn add(&mut self, id: String, mark: ContainerEvents) {
        self.waiting.entry(id).or_default().merge(mark);
    }

    /// The next container to inspect.
    pub(super) fn start(&mut self, now: Instant) -> Option<String> {
        let is_idle = |id: &&String| !self.running.contains_key(*id);
        let mut due = self.failed.iter().filter(|(_, failed)| failed.retry_at <= now).map(|(id, _)| id);
        let id = self.waiting.keys().find(is_idle).or_else(|| due.find(is_idle))?.clone();
        let mut mark = self.failed.get_mut(&id).map(|failed| std::mem::take(&mut failed.events)).unwrap_or_default();
        mark.merge(self.waiting.remove(&id).unwrap_or_default());
        self.running.insert(id.clone(), mark);
        Some(id)
    }

    /// An inspection has brought an answer: what had been said about the container when it began.
    pub(super) fn finish(&mut self, id: &str) -> ContainerEvents {
        self.failed.remove(id);
        self.running.remove(id).unwrap_or_default()
    }

    /// An inspection has failed, and is repeated after a while. How many in a row have failed.
    pub(super) fn fail(&mut self, id: &str, now: Instant) -> u32 {
        let mark = self.running.remove(id).unwrap_or_default();
        let tries = self.failed.get(id).map_or(0, |failed| failed.attempts) + 1;
        let wait = RETRY_MIN.saturating_mul(1 << (tries - 1).min(16)).min(RETRY_MAX);
        self.failed.insert(id.to_owned(), FailedInspection { events: mark, attempts: tries, retry_at: now + wait });
        tries
    }

    /// The end of a container that events have reported since its last successful inspection.
    pub(super) fn exit(&self, id: &str) -> Option<ContainerExit> {
        let failed = self.failed.get(id).map(|failed| &failed.events);
        let mut all = ContainerEvents::default();
        for mark in failed.into_iter().chain(self.running.get(id)).chain(self.waiting.get(id)) {
            all.merge(mark.clone());
        }
        all.exit
    }

    /// When the next failed inspection is repeated.
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
    fn one_inspection_at_a_time_and_one_more_for_what_came_meanwhile() {
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
    fn what_failed_is_repeated_with_growing_waits_and_keeps_its_mark() {
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
        // An event does not wait.
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        queue.fail("a", now);
        queue.add("a".into(), events_with(9));
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        assert_eq!(queue.finish("a").signals.keys().collect::<Vec<_>>(), [&9, &15]);
        queue.add("a".into(), ContainerEvents::default());
        queue.start(now);
        assert_eq!(queue.fail("a", now), 1, "a success begins anew");
    }

    #[test]
    fn an_end_counts_until_the_next_start_or_inspection() {
        let (mut queue, now) = (InspectionQueue::default(), Instant::now());
        let died = |exit_code| Some(ContainerExit { at: Timestamp::UNIX_EPOCH, exit_code });
        let end = || ContainerEvents { has_event: true, exit: died(Some(1)), ..ContainerEvents::default() };
        let start =
            || ContainerEvents { has_event: true, starts: vec![Timestamp::UNIX_EPOCH], ..ContainerEvents::default() };
        queue.add("a".into(), end());
        assert_eq!(queue.exit("a"), died(Some(1)));
        queue.start(now);
        queue.add("a".into(), events_with(15));
        assert_eq!(queue.exit("a"), died(Some(1)), "while it is inspected");
        queue.fail("a", now);
        assert_eq!(queue.exit("a"), died(Some(1)), "after a failure");
        queue.add("a".into(), start());
        assert_eq!(queue.exit("a"), None, "it was started again");
        queue.add("a".into(), end());
        queue.add("a".into(), ContainerEvents { exit: died(None), ..ContainerEvents::default() });
        assert_eq!(queue.exit("a"), died(Some(1)), "a removal tells no exit code");
        queue.start(now);
        queue.finish("a");
        assert_eq!(queue.exit("a"), None, "the inspection tells");
    }

    #[test]
    fn what_failed_and_is_inspected_again_waits_for_nothing() {
        let (mut queue, now) = (InspectionQueue::default(), Instant::now());
        queue.add("a".into(), ContainerEvents::default());
        queue.start(now);
        queue.fail("a", now);
        queue.add("a".into(), ContainerEvents::default());
        assert_eq!(queue.start(now).as_deref(), Some("a"));
        assert_eq!(queue.start(now + RETRY_MAX), None);
    }
}
