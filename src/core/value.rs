//! Values as people, env files and Go programs write them. Pure.

use std::str::FromStr;

/// A value without surrounding whitespace, and without quotes around the whole of it.
pub fn clean(text: &str) -> &str {
    let text = trim(text);
    let unquoted = ['"', '\''].iter().find_map(|quote| {
        let inner = text.strip_prefix(*quote)?.strip_suffix(*quote)?;
        (!inner.contains(*quote)).then_some(inner)
    });
    unquoted.map_or(text, clean)
}

/// A value without surrounding whitespace and invisible characters.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|char: char| char.is_whitespace() || is_invisible(char) || char == '\0')
}

/// A number of decimal digits. Rust would accept a sign, too.
pub fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Invisible characters that are copied together with text: zero-width and direction marks.
pub fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Whether a character cannot be seen: a control character, or one without a width.
pub fn is_unprintable(char: char) -> bool {
    char.is_control() || is_invisible(char)
}

/// The text on one line, with runs of white space replaced by one space, and cut after `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Exactly the values that Go's `strconv.ParseBool` accepts.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitespace_and_quotes_around_a_value_are_removed() {
        let cases = [
            ("/health\r", "/health"),
            (" /health ", "/health"),
            ("\"/health\"", "/health"),
            ("'10s'\r\n", "10s"),
            ("\" GET \"", "GET"),
            ("\u{feff}x\t", "x"),
            ("/health\u{200b}", "/health"),
            ("\u{a0}/health", "/health"),
            ("\"a\" \"b\"", "\"a\" \"b\""),
            ("{\"a\": \"b\"}", "{\"a\": \"b\"}"),
            ("\"", "\""),
            ("\"\"", ""),
            ("'it''s'", "'it''s'"),
            (" \r\n", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_number_has_no_sign() {
        assert_eq!(
            (parse_number("80"), parse_number("0"), parse_number("65535")),
            (Some(80_u16), Some(0), Some(65_535))
        );
        for wrong in ["+80", "-1", "", " 80", "8 0", "70000", "80/tcp", "８０"] {
            assert_eq!(parse_number::<u16>(wrong), None, "{wrong:?}");
        }
    }
}
