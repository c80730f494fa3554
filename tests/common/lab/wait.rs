//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// How long a thing may take that takes a second or two on a machine that has time.
pub const LONG: Duration = Duration::from_secs(60);

/// Looks again and again until `look` has found it. An `Err` is the state that was seen instead; when
/// the limit has passed, the panic says what was waited for and the last state.
#[track_caller]
pub fn wait_until<T, S: Display>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, S>) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match look() {
            Ok(found) => return found,
            Err(state) if begun.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; the last state: {state}")
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
