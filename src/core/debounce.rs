//! When a change may go through: a quiet period, a least interval, a random delay, and none of them for what is urgent.
//!
//! ```text
//! change --> [quiet: nothing for MIN, at most MAX] --> [interval since the last one] --> [splay] --> take
//!       \--> urgent, or the first of all ---------------------------------------------------------> take
//! ```
//!
//! A state machine over moments that its owner tells it. Pure: it has no clock, and draws no lots.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use serde::Deserialize;

/// Longer times than this are taken for a mistake.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How much patience changes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Changes that follow each other are one. Default: none, so each goes by itself.
    pub quiet: Option<QuietRange>,
    /// The first change after a calm goes at once; only what follows it is debounced. Default true.
    pub leading: bool,
    /// The least time between two that can wait. What comes earlier is put off, never lost. Default 1 s.
    pub interval: Duration,
    /// A random delay up to this comes before each. Default none.
    pub splay: Duration,
}

/// `MIN` or `MIN:MAX`, such as `500ms:2s`: wait until nothing has changed for MIN, at most MAX. MAX is 4 times MIN unless
/// it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct QuietRange {
    /// Nothing may have changed for so long.
    pub min: Duration,
    /// The first change of a series waits no longer than this.
    pub max: Duration,
}

/// The text of a [`Quiet`] is none.
#[derive(Debug, thiserror::Error)]
pub enum QuietRangeError {
    /// Not a time.
    #[error("{0:?} is not MIN or MIN:MAX such as \"500ms\" or \"500ms:2s\"")]
    InvalidForm(String, #[source] humantime::DurationError),
    /// A series could never be waited for.
    #[error("{0:?}: MAX is less than MIN")]
    MaxBelowMin(String),
}

/// Whether a change can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It can. What is given is its share of the splay, drawn by the owner; that of the first in a series counts.
    Deferrable(Duration),
    /// It cannot.
    Urgent,
}

/// The changes of one thing.
#[derive(Debug)]
pub struct Debounce {
    settings: Settings,
    pending: Option<PendingChange>,
    /// The last change, whatever has become of it.
    last_change: Option<Instant>,
    /// The last patient one that had consequences. What is urgent keeps no interval, and asks none of others.
    last_applied: Option<Instant>,
    /// Whether what went last was patient.
    counts_for_interval: bool,
}

/// What waits.
#[derive(Debug)]
struct PendingChange {
    first: Instant,
    last: Instant,
    /// It came after a calm.
    is_leading: bool,
    is_urgent: bool,
    delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { quiet: None, leading: true, interval: Duration::from_secs(1), splay: Duration::ZERO }
    }
}

impl Settings {
    /// The key whose time is longer than a day, and so taken for a mistake.
    pub fn too_long_key(&self) -> Option<&'static str> {
        let quiet = self.quiet.map_or(Duration::ZERO, |quiet| quiet.max);
        let times = [("quiet", quiet), ("interval", self.interval), ("splay", self.splay)];
        times.iter().find(|(_, time)| *time > MAX_TIME).map(|(key, _)| *key)
    }
}

impl FromStr for QuietRange {
    type Err = QuietRangeError;

    fn from_str(text: &str) -> Result<Self, QuietRangeError> {
        let time = |part: &str| {
            humantime::parse_duration(part.trim())
                .map_err(|source| QuietRangeError::InvalidForm(text.to_owned(), source))
        };
        let (min, max) = match text.split_once(':') {
            Some((min, max)) => (time(min)?, time(max)?),
            None => (time(text)?, time(text)?.saturating_mul(4)),
        };
        if max < min { Err(QuietRangeError::MaxBelowMin(text.to_owned())) } else { Ok(Self { min, max }) }
    }
}

impl TryFrom<String> for QuietRange {
    type Error = QuietRangeError;

    fn try_from(text: String) -> Result<Self, QuietRangeError> {
        text.parse()
    }
}

impl Debounce {
    /// Nothing has changed yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, pending: None, last_change: None, last_applied: None, counts_for_interval: false }
    }

    /// Something has changed, or has changed again.
    pub fn change(&mut self, now: Instant, urgency: Urgency) {
        let is_calm = self.is_calm(now);
        self.last_change = Some(now);
        let (urgent, delay) = match urgency {
            Urgency::Deferrable(delay) => (false, delay),
            Urgency::Urgent => (true, Duration::ZERO),
        };
        let leads = self.settings.leading && is_calm;
        let pending = self.pending.get_or_insert(PendingChange {
            first: now,
            last: now,
            is_leading: leads,
            is_urgent: urgent,
            delay,
        });
        pending.last = now;
        pending.is_urgent |= urgent;
    }

    /// It is again as it was when the last change went through: nothing waits.
    pub fn cancel(&mut self, now: Instant) {
        self.last_change = Some(now);
        self.pending = None;
    }

    /// When what waits may go; nothing if nothing waits.
    pub fn due_at(&self) -> Option<Instant> {
        let pending = self.pending.as_ref()?;
        if pending.is_urgent {
            return Some(pending.last);
        }
        let quiet = match self.settings.quiet {
            Some(QuietRange { min, max }) if !pending.is_leading => (pending.last + min).min(pending.first + max),
            _ => pending.first,
        };
        let interval = self.last_applied.map(|at| at + self.settings.interval);
        Some(interval.map_or(quiet, |interval| quiet.max(interval)) + pending.delay)
    }

    /// What waits goes, if its time has come.
    pub fn take(&mut self, now: Instant) -> bool {
        let goes = self.due_at().is_some_and(|due| due <= now);
        if let Some(pending) = self.pending.take_if(|_| goes) {
            self.counts_for_interval = !pending.is_urgent;
        }
        goes
    }

    /// What went has had consequences: the next has to keep the interval, if what went had to.
    pub fn note_applied(&mut self, now: Instant) {
        if self.counts_for_interval {
            self.last_applied = Some(now);
        }
    }

    fn is_calm(&self, now: Instant) -> bool {
        let min = self.settings.quiet.map_or(Duration::ZERO, |quiet| quiet.min);
        self.last_change.is_none_or(|changed| now >= changed + min)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFERRABLE: Urgency = Urgency::Deferrable(Duration::ZERO);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn settings(quiet: Option<(u64, u64)>, leading: bool, interval: u64) -> Settings {
        let quiet = quiet.map(|(min, max)| QuietRange { min: ms(min), max: ms(max) });
        Settings { quiet, leading, interval: ms(interval), splay: Duration::ZERO }
    }

    /// When changes at these times, in milliseconds, go through: looked at every millisecond, and done in no time.
    fn taken(settings: Settings, changes: &[(u64, Urgency)]) -> Vec<u64> {
        let (mut debounce, begin) = (Debounce::new(settings), Instant::now());
        let mut taken = Vec::new();
        let mut changes = changes.iter().peekable();
        let mut at = 0;
        while changes.peek().is_some() || debounce.due_at().is_some() {
            let now = begin + ms(at);
            while let Some((_, urgency)) = changes.next_if(|(when, _)| *when <= at) {
                debounce.change(now, *urgency);
            }
            if debounce.take(now) {
                debounce.note_applied(now);
                taken.push(at);
            }
            at += 1;
        }
        taken
    }

    #[test]
    fn when_changes_go_through() {
        let patient = |times: &[u64]| times.iter().map(|at| (*at, DEFERRABLE)).collect::<Vec<_>>();
        let cases: [(&str, Settings, &[u64], &[u64]); 9] = [
            ("without settings each goes by itself", settings(None, true, 0), &[0, 10, 11], &[0, 10, 11]),
            ("the interval puts off, and loses nothing", settings(None, true, 100), &[0, 10, 20, 250], &[0, 100, 250]),
            ("what follows the first one is debounced", settings(Some((50, 200)), true, 0), &[0, 10, 40], &[0, 90]),
            ("not the first one either", settings(Some((50, 200)), false, 0), &[0, 10, 40], &[90]),
            (
                "no calm comes: the longest wait",
                settings(Some((50, 80)), true, 0),
                &[0, 40, 80, 120, 160],
                &[0, 120, 210],
            ),
            ("a calm, and the next goes at once", settings(Some((50, 200)), true, 0), &[0, 50, 60], &[0, 50, 110]),
            (
                "the first waits for the interval, not for quiet",
                settings(Some((50, 90)), true, 300),
                &[0, 200, 290],
                &[0, 300],
            ),
            ("quiet and interval: the later one", settings(Some((50, 90)), false, 300), &[0, 60, 400], &[50, 350, 650]),
            ("one alone", settings(Some((50, 90)), false, 300), &[7], &[57]),
        ];
        for (what, settings, changes, expected) in cases {
            assert_eq!(taken(settings, &patient(changes)), expected, "{what}");
        }
    }

    #[test]
    fn what_is_urgent_waits_for_nothing_and_takes_along_what_waited() {
        let settings = settings(Some((50, 200)), false, 1000);
        let changes =
            [(0, DEFERRABLE), (100, DEFERRABLE), (110, Urgency::Urgent), (120, DEFERRABLE), (130, Urgency::Urgent)];
        assert_eq!(taken(settings, &changes), [50, 110, 130]);
    }

    #[test]
    fn nobody_waits_for_what_was_urgent() {
        let changes = [(0, Urgency::Urgent), (10, DEFERRABLE), (20, Urgency::Urgent), (30, DEFERRABLE)];
        assert_eq!(taken(settings(None, true, 1000), &changes), [0, 10, 20, 1010]);
    }

    #[test]
    fn the_splay_comes_on_top_and_is_that_of_the_first() {
        let changes = [(0, Urgency::Deferrable(ms(30))), (10, Urgency::Deferrable(ms(500)))];
        assert_eq!(taken(settings(Some((50, 200)), false, 0), &changes), [90]);
        assert_eq!(taken(settings(None, true, 0), &changes), [30]);
    }

    #[test]
    fn what_cancels_out_never_goes() {
        let (mut debounce, begin) = (Debounce::new(settings(Some((50, 200)), false, 0)), Instant::now());
        debounce.change(begin, DEFERRABLE);
        debounce.cancel(begin + ms(10));
        assert_eq!(debounce.due_at(), None);
        assert!(!debounce.take(begin + ms(1000)));
    }

    #[test]
    fn a_quiet_period_is_written_as_two_times() {
        let read = |text: &str| text.parse::<QuietRange>().map_err(|error| error.to_string());
        assert_eq!(read("500ms"), Ok(QuietRange { min: ms(500), max: ms(2000) }));
        assert_eq!(read("5s:10s"), Ok(QuietRange { min: ms(5000), max: ms(10000) }));
        assert!(read("5s:1s").expect_err("wrong").contains("MAX is less than MIN"));
        for text in ["", "5", "5s:", ":5s", "1s:2s:3s"] {
            assert!(read(text).expect_err(text).contains("is not MIN or MIN:MAX"), "{text}");
        }
        let long = Settings { splay: 2 * MAX_TIME, ..Settings::default() };
        assert_eq!((long.too_long_key(), Settings::default().too_long_key()), (Some("splay"), None));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_nothing_is_early_nothing_waits_for_ever(
            pauses in prop::collection::vec(0..120_u64, 1..60),
            quiet in prop::option::of((0..60_u64, 0..100_u64)),
            leading: bool,
            interval in 0..150_u64,
            splay in 0..50_u64,
        ) {
            let settings = settings(quiet.map(|(min, more)| (min, min + more)), leading, interval);
            let mut at = 0;
            let mut changes = Vec::new();
            for pause in pauses {
                at += pause;
                changes.push((at, Urgency::Deferrable(ms((at * 7919) % (splay + 1)))));
            }
            let taken = taken(settings, &changes);
            prop_assert!(taken.windows(2).all(|two| two[1] - two[0] >= interval), "{:?}", taken);
            let wait = quiet.map_or(0, |(min, more)| min + more).max(interval) + splay;
            for (change, _) in &changes {
                let went = taken.iter().find(|taken| *taken >= change);
                prop_assert!(went.is_some_and(|went| went - change <= wait), "{} in {:?}", change, taken);
            }
        }
    }
}
