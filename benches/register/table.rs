//! Figures on the screen.

use std::time::Duration;

/// Begins a part.
pub(super) fn title(text: &str) {
    println!("\n{text}");
}

/// One figure.
pub(super) fn row(name: &str, figure: impl std::fmt::Display) {
    println!("  {name:<58} {figure:>14}");
}

/// Milliseconds with one digit more than a person needs.
pub(super) fn format_ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Seconds.
pub(super) fn format_seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The value below which `share` (0 to 1) of all lie.
pub(super) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().checked_sub(1).expect("at least one measurement");
    times[(last as f64 * share).round() as usize]
}
