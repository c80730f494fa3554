//! Colours, on a terminal only. Pure, except [`Colours::for_stream`].

use std::{fmt, io::IsTerminal};

use anstyle::{AnsiColor, Style};

/// Whether output has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// ANSI colours.
    On,
    /// No colours.
    #[default]
    Off,
}

/// The role of a piece of text, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRole {
    /// Success.
    Success,
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// Additional information.
    Note,
    /// A line that a diff adds.
    Added,
    /// A line that a diff removes.
    Removed,
    /// `@@ -1 +1 @@` in a diff.
    HunkHeader,
    /// The name of a file in a diff.
    FileHeader,
}

impl Colours {
    /// On if `out` is a terminal and `NO_COLOR` is unset or empty.
    pub fn for_stream(out: &impl IsTerminal) -> Self {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !is_refused { Self::On } else { Self::Off }
    }

    /// Whether colours are on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }

    /// `text` in the colour of its role.
    pub fn paint<T: fmt::Display>(self, role: TextRole, text: T) -> Painted<T> {
        Painted { style: if self.is_on() { role.style() } else { Style::new() }, text }
    }

    /// A unified diff of one file, each line in its colour.
    pub fn diff(self, unified: &str) -> String {
        let paint = |(number, line): (usize, &str)| {
            let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
            match diff_line_role(number, line) {
                Some(role) => format!("{}{end}", self.paint(role, line)),
                None => format!("{line}{end}"),
            }
        };
        unified.split_inclusive('\n').enumerate().map(paint).collect()
    }
}

/// Only the first two lines are headers: a removed line may begin with two more dashes.
fn diff_line_role(number: usize, line: &str) -> Option<TextRole> {
    match line.as_bytes() {
        [b'-' | b'+', ..] if number < 2 => Some(TextRole::FileHeader),
        [b'+', ..] => Some(TextRole::Added),
        [b'-', ..] => Some(TextRole::Removed),
        [b'@', ..] => Some(TextRole::HunkHeader),
        _ => None,
    }
}

impl TextRole {
    fn style(self) -> Style {
        let plain = |colour: AnsiColor| colour.on_default();
        match self {
            Self::Success => plain(AnsiColor::Green).bold(),
            Self::Error => plain(AnsiColor::Red).bold(),
            Self::Warning => plain(AnsiColor::Yellow).bold(),
            Self::Note => plain(AnsiColor::Cyan).bold(),
            Self::Added => plain(AnsiColor::Green),
            Self::Removed => plain(AnsiColor::Red),
            Self::HunkHeader => plain(AnsiColor::Cyan),
            Self::FileHeader => Style::new().bold(),
        }
    }
}

/// The result of [`Colours::paint`].
#[derive(Clone, Copy, Debug)]
pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_nothing_is_added() {
        let diff = "--- /a\n+++ /a\n@@ -1 +1 @@\n-a\n+b\n c\n\\ No newline at end of file\n";
        assert_eq!(Colours::Off.diff(diff), diff);
        assert_eq!(Colours::Off.paint(TextRole::Error, 1).to_string(), "1");
    }

    #[test]
    fn each_line_of_a_diff_has_its_colour() {
        let diff = Colours::On.diff("--- /a\n+++ /a\n@@ -1 +1 @@\n--- a\n+b\n c");
        let expected = [
            "\x1b[1m--- /a\x1b[0m",
            "\x1b[1m+++ /a\x1b[0m",
            "\x1b[36m@@ -1 +1 @@\x1b[0m",
            "\x1b[31m--- a\x1b[0m",
            "\x1b[32m+b\x1b[0m",
            " c",
        ];
        assert_eq!(diff, expected.join("\n"));
    }
}
