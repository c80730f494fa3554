//! Text in which Compose puts variables. Pure.

/// A scalar of a Compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ComposeText {
    /// As it was written.
    pub(super) raw: String,
    /// As the container gets it, with [`Text::HOLE`] where a variable is put in.
    pub(super) value: String,
}

impl ComposeText {
    /// Stands for what a variable brings.
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

    /// What only the shell that runs Compose knows.
    pub(super) fn unknown() -> Self {
        Self { raw: String::new(), value: Self::UNKNOWN_VALUE.to_string() }
    }

    /// Whether there is no variable in it.
    pub(super) fn is_known(&self) -> bool {
        !self.value.contains(Self::UNKNOWN_VALUE)
    }
}

/// How long `{…}` is, with other braces inside.
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
    fn variables_leave_holes() {
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
