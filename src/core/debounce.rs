//! Debounce: delays changes by a quiet period, a minimum interval and a random splay. Urgent changes are not delayed.
//!
//! ```text
//! change --> [quiet: no change for MIN, at most MAX] --> [interval since the last one] --> [splay] --> take
//!       \--> urgent ----------------------------------------------------------------------------------> take
//! ```
//!
//! A state machine. Pure: the owner passes the time and the random delay.

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use serde::Deserialize;

/// A longer time is a mistake in the configuration.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How changes are delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The quiet period that combines successive changes. Default: none, so each change counts on its own.
    pub quiet: Option<QuietRange>,
    /// Whether the first change after a quiet period skips that period; only later changes wait for it. Default: true.
    pub leading: bool,
    /// The minimum time between two deferrable changes. An earlier change is delayed, never lost. Default: 1 s.
    pub interval: Duration,
    /// The maximum random delay of each change. Default: 0.
    pub splay: Duration,
}

/// `MIN` or `MIN:MAX`, such as `500ms:2s`: wait until there was no change for MIN, at most MAX. Default of MAX: 4 times
/// MIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct QuietRange {
    /// The time without a change.
    pub min: Duration,
    /// The maximum wait of the first change of a series.
    pub max: Duration,
}

/// Why a text is not a [`QuietRange`].
#[derive(Debug, thiserror::Error)]
pub enum QuietRangeError {
    /// It is not one or two durations.
    #[error("{0:?} is not MIN or MIN:MAX such as \"500ms\" or \"500ms:2s\"")]
    InvalidForm(String, #[source] humantime::DurationError),
    /// MAX is less than MIN.
    #[error("{0:?}: MAX is less than MIN")]
    MaxBelowMin(String),
}

/// Whether a change can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It can, with this random delay of at most the splay. In a series of changes, the delay of the first one counts.
    Deferrable(Duration),
    /// It cannot.
    Urgent,
}

/// The pending change of one target, and the times of the last changes.
#[derive(Debug)]
pub struct Debounce {
    settings: Settings,
    pending: Option<PendingChange>,
    /// The time of the last change, taken or not.
    last_change: Option<Instant>,
    /// The time when the last deferrable change was applied. Urgent changes neither wait for the interval nor start
    /// one.
    last_applied: Option<Instant>,
    /// Whether the last change that was taken was deferrable.
    counts_for_interval: bool,
}

/// A change that is not taken yet.
#[derive(Debug)]
struct PendingChange {
    first: Instant,
    last: Instant,
    /// Whether it came after a quiet period.
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
    /// The key whose time is longer than a day, which is a mistake.
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
    /// Starts without a change.
    pub fn new(settings: Settings) -> Self {
        Self { settings, pending: None, last_change: None, last_applied: None, counts_for_interval: false }
    }

    /// Records a change.
    pub fn change(&mut self, now: Instant, urgency: Urgency) {
        let is_leading = self.settings.leading && self.is_quiet(now);
        self.last_change = Some(now);
        let (is_urgent, delay) = match urgency {
            Urgency::Deferrable(delay) => (false, delay),
            Urgency::Urgent => (true, Duration::ZERO),
        };
        let new = PendingChange { first: now, last: now, is_leading, is_urgent, delay };
        let pending = self.pending.get_or_insert(new);
        pending.last = now;
        pending.is_urgent |= is_urgent;
    }

    /// Drops the pending change, because the state equals the one that was taken last.
    pub fn cancel(&mut self, now: Instant) {
        self.last_change = Some(now);
        self.pending = None;
    }

    /// When the pending change can be taken. `None` if there is none.
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

    /// Takes the pending change if it is due. Returns whether it was.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_due = self.due_at().is_some_and(|due| due <= now);
        if let Some(pending) = self.pending.take_if(|_| is_due) {
            self.counts_for_interval = !pending.is_urgent;
        }
        is_due
    }

    /// Records that the change that was taken was applied. If it was deferrable, the interval starts.
    pub fn note_applied(&mut self, now: Instant) {
        if self.counts_for_interval {
            self.last_applied = Some(now);
        }
    }

    fn is_quiet(&self, now: Instant) -> bool {
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

    /// The times at which changes are taken, in milliseconds. They are checked every millisecond and applied
    /// immediately.
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
    fn deferrable_changes() {
        let deferrable = |times: &[u64]| times.iter().map(|at| (*at, DEFERRABLE)).collect::<Vec<_>>();
        let cases: [(&str, Settings, &[u64], &[u64]); 9] = [
            ("without settings each change is taken on its own", settings(None, true, 0), &[0, 10, 11], &[0, 10, 11]),
            (
                "the interval delays changes and loses none",
                settings(None, true, 100),
                &[0, 10, 20, 250],
                &[0, 100, 250],
            ),
            ("changes after the first one are debounced", settings(Some((50, 200)), true, 0), &[0, 10, 40], &[0, 90]),
            ("leading = false: the first one too", settings(Some((50, 200)), false, 0), &[0, 10, 40], &[90]),
            ("no quiet period: at most MAX", settings(Some((50, 80)), true, 0), &[0, 40, 80, 120, 160], &[0, 120, 210]),
            (
                "after a quiet period the next one is taken immediately",
                settings(Some((50, 200)), true, 0),
                &[0, 50, 60],
                &[0, 50, 110],
            ),
            (
                "the first one waits for the interval, not for the quiet period",
                settings(Some((50, 90)), true, 300),
                &[0, 200, 290],
                &[0, 300],
            ),
            (
                "quiet period and interval: the later one counts",
                settings(Some((50, 90)), false, 300),
                &[0, 60, 400],
                &[50, 350, 650],
            ),
            ("a single change", settings(Some((50, 90)), false, 300), &[7], &[57]),
        ];
        for (name, settings, changes, expected) in cases {
            assert_eq!(taken(settings, &deferrable(changes)), expected, "{name}");
        }
    }

    #[test]
    fn an_urgent_change_is_taken_immediately_together_with_the_pending_one() {
        let settings = settings(Some((50, 200)), false, 1000);
        let changes =
            [(0, DEFERRABLE), (100, DEFERRABLE), (110, Urgency::Urgent), (120, DEFERRABLE), (130, Urgency::Urgent)];
        assert_eq!(taken(settings, &changes), [50, 110, 130]);
    }

    #[test]
    fn an_urgent_change_does_not_start_an_interval() {
        let changes = [(0, Urgency::Urgent), (10, DEFERRABLE), (20, Urgency::Urgent), (30, DEFERRABLE)];
        assert_eq!(taken(settings(None, true, 1000), &changes), [0, 10, 20, 1010]);
    }

    #[test]
    fn the_splay_is_added_and_that_of_the_first_change_counts() {
        let changes = [(0, Urgency::Deferrable(ms(30))), (10, Urgency::Deferrable(ms(500)))];
        assert_eq!(taken(settings(Some((50, 200)), false, 0), &changes), [90]);
        assert_eq!(taken(settings(None, true, 0), &changes), [30]);
    }

    #[test]
    fn a_cancelled_change_is_not_taken() {
        let (mut debounce, begin) = (Debounce::new(settings(Some((50, 200)), false, 0)), Instant::now());
        debounce.change(begin, DEFERRABLE);
        debounce.cancel(begin + ms(10));
        assert_eq!(debounce.due_at(), None);
        assert!(!debounce.take(begin + ms(1000)));
    }

    #[test]
    fn a_quiet_range_is_one_or_two_durations() {
        let read = |text: &str| text.parse::<QuietRange>().map_err(|error| error.to_string());
        assert_eq!(read("500ms"), Ok(QuietRange { min: ms(500), max: ms(2000) }));
        assert_eq!(read("5s:10s"), Ok(QuietRange { min: ms(5000), max: ms(10000) }));
        assert!(read("5s:1s").expect_err("MAX is too small").contains("MAX is less than MIN"));
        for text in ["", "5", "5s:", ":5s", "1s:2s:3s"] {
            assert!(read(text).expect_err(text).contains("is not MIN or MIN:MAX"), "{text}");
        }
        let long = Settings { splay: 2 * MAX_TIME, ..Settings::default() };
        assert_eq!((long.too_long_key(), Settings::default().too_long_key()), (Some("splay"), None));
    }

    proptest! {
        #[test]
        fn no_change_is_lost_early_or_too_late(
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
                let taken_at = taken.iter().find(|taken| *taken >= change);
                prop_assert!(taken_at.is_some_and(|taken_at| taken_at - change <= wait), "{} in {:?}", change, taken);
            }
        }
    }
}
