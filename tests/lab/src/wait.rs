//! Waiting for a condition instead of a fixed time.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// The limit for what takes a second or two on an idle machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Calls `attempt` until it returns `Ok`. An `Err` is the state that was seen instead. After the limit, the
/// panic names what was waited for and the last state.
#[track_caller]
pub fn wait_until<T, S: Display>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Result<T, S>) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match attempt() {
            Ok(found) => return found,
            Err(state) if begun.elapsed() > limit => {
                panic!("waited {limit:?} for {what}; the last state: {state}")
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
