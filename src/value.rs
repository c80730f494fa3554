//! Values as people, env files and Go's programs write them. Pure.

/// What was meant: without spaces and line ends around it, and without the quotes around all of it.
pub fn clean(text: &str) -> &str {
    let text = trim(text);
    let unquoted = ['"', '\''].iter().find_map(|quote| {
        let inner = text.strip_prefix(*quote)?.strip_suffix(*quote)?;
        (!inner.contains(*quote)).then_some(inner)
    });
    unquoted.map_or(text, clean)
}

/// The same, with the quotes.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}' || char == '\0')
}

/// What Go's `strconv.ParseBool` takes, and nothing else.
pub fn boolean(text: &str) -> Option<bool> {
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
    fn what_stands_around_a_value_does_not_belong_to_it() {
        let cases = [
            ("/health\r", "/health"),
            (" /health ", "/health"),
            ("\"/health\"", "/health"),
            ("'10s'\r\n", "10s"),
            ("\" GET \"", "GET"),
            ("\u{feff}x\t", "x"),
            ("\"a\" \"b\"", "\"a\" \"b\""),
            ("{\"a\": \"b\"}", "{\"a\": \"b\"}"),
            ("\"", "\""),
            ("\"\"", ""),
            ("'it''s'", "'it''s'"),
            (" \r\n", ""),
        ];
        for (written, meant) in cases {
            assert_eq!(clean(written), meant, "{written:?}");
        }
    }
}
