//! Prints figures.

use std::time::Duration;

/// Prints the title of a part.
pub(super) fn title(text: &str) {
    println!("\n{text}");
}

/// Prints a figure with its name.
pub(super) fn row(name: &str, figure: impl std::fmt::Display) {
    println!("  {name:<58} {figure:>14}");
}

pub(super) fn format_ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

pub(super) fn format_seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The quantile `share` (0 to 1) of the times.
pub(super) fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().checked_sub(1).expect("at least one measurement");
    times[(last as f64 * share).round() as usize]
}
