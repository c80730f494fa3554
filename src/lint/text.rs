//! Text with variables that Compose replaces. Pure.

/// A scalar of a Compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ComposeText {
    /// As it was written.
    pub(super) raw: String,
    /// The text that the container gets, with [`ComposeText::UNKNOWN_VALUE`] in place of each variable.
    pub(super) value: String,
}

impl ComposeText {
    /// The placeholder for the value of a variable.
    pub(super) const UNKNOWN_VALUE: char = '\u{fffd}';

    /// Reads `$$`, `$NAME` and `${NAME…}`.
    pub(super) fn parse(raw: &str) -> Self {
        let (mut value, mut rest) = (String::new(), raw);
        while let Some((before, after)) = rest.split_once('$') {
            value.push_str(before);
            let name = |text: &str| {
                text.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_')).unwrap_or(text.len())
            };
            let (piece, length) = match after.chars().next() {
                Some('$') => ('$', 1),
                Some('{') => (Self::UNKNOWN_VALUE, braces_length(after)),
                Some(char) if char.is_ascii_alphabetic() || char == '_' => (Self::UNKNOWN_VALUE, name(after)),
                _ => ('$', 0),
            };
            value.push(piece);
            rest = &after[length..];
        }
        value.push_str(rest);
        Self { raw: raw.to_owned(), value }
    }

    /// A value that only the shell that runs Compose knows.
    pub(super) fn unknown() -> Self {
        Self { raw: String::new(), value: Self::UNKNOWN_VALUE.to_string() }
    }

    /// Whether it contains no variable.
    pub(super) fn is_known(&self) -> bool {
        !self.value.contains(Self::UNKNOWN_VALUE)
    }
}

/// The length of `{…}`, with nested braces.
fn braces_length(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_placeholders() {
        let cases = [
            ("plain", "plain"),
            ("a$$b", "a$b"),
            ("${PORT:-80}:80", "\u{fffd}:80"),
            ("${A:-${B}}x", "\u{fffd}x"),
            ("$A/b", "\u{fffd}/b"),
            ("5$", "5$"),
            ("${open", "\u{fffd}"),
            ("$$SERVICE_IP", "$SERVICE_IP"),
        ];
        for (raw, value) in cases {
            assert_eq!(ComposeText::parse(raw).value, value, "{raw}");
        }
        assert!(
            !ComposeText::parse("$A").is_known()
                && ComposeText::parse("a").is_known()
                && !ComposeText::unknown().is_known()
        );
    }
}
