//! Signals by name and number, as Docker accepts them. Pure.

use nix::sys::signal::Signal;

use crate::sys::signal_name;

/// The signal of `docker stop` if the image does not define one.
pub(super) const DEFAULT_STOP_SIGNAL: i32 = Signal::SIGTERM as i32;

/// Docker's own numbers for `RTMIN` and `RTMAX`.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Reads `15`, `TERM`, `SIGTERM`, `sigterm` or `SIGRTMIN+3`.
pub(super) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return offset_of(offset, '+').map(|offset| RTMIN + offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return offset_of(offset, '-').map(|offset| RTMAX - offset);
    }
    signal_name::parse(name).map(|signal| signal as i32)
}

fn offset_of(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_that_docker_accepts_is_parsed() {
        let cases = [
            ("15", Some(15)),
            ("TERM", Some(15)),
            ("SIGQUIT", Some(3)),
            ("sigusr1", Some(10)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-1", Some(63)),
            ("", None),
            ("SIGNOPE", None),
            ("RTMIN3", None),
        ];
        for (text, number) in cases {
            assert_eq!(parse(text), number, "{text:?}");
        }
    }
}
