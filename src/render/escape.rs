//! What may go from a registry into a file: a value cannot break out of the file's language.
//!
//! Whoever may register a service or write a key would otherwise write the router's configuration. The rule for nginx:
//! a value that is printed is one word. White space, control characters and `; { } " ' \ $ #` are all that nginx's
//! parser treats apart, inside and outside of quotes; a value that holds one of them is refused, never changed.

use crate::target::Escape;

impl Escape {
    /// The character that keeps `value` from being printed as it is.
    pub(super) fn offence(self, value: &str) -> Option<char> {
        match self {
            Self::Nginx => value.chars().find(|c| c.is_whitespace() || c.is_control() || r#";{}"'\$#"#.contains(*c)),
            Self::None => None,
        }
    }

    /// `value` as one quoted text of the language; the error is a character that has no notation there.
    pub(super) fn quote(self, value: &str) -> Result<String, char> {
        // nginx reads \n, \r, \t in a text, but gives `$` its meaning everywhere.
        if self == Self::Nginx
            && let Some(offence) = value.chars().find(|c| *c == '$' || c.is_control() && !"\n\r\t".contains(*c))
        {
            return Err(offence);
        }
        let mut quoted = String::with_capacity(value.len() + 2);
        quoted.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                _ => quoted.push(c),
            }
        }
        quoted.push('"');
        Ok(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_treats_apart_is_refused() {
        for value in ["a;b", "a b", "a\nb", "a{", "}", "\"", "'", "a\\", "$host", "#", "\u{0}", "\u{a0}"] {
            assert!(Escape::Nginx.offence(value).is_some(), "{value:?}");
            assert_eq!(Escape::None.offence(value), None);
        }
        for value in ["web.example.com", "10.0.0.1:80", "[fd00::1]:80", "/a/b-c_d?e=f&g=%20,~@!*+", "größe", ""] {
            assert_eq!(Escape::Nginx.offence(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_quoted_text_stays_one_text() {
        assert_eq!(Escape::Nginx.quote("say \"hi\";\n\\"), Ok(r#""say \"hi\";\n\\""#.to_owned()));
        assert_eq!(Escape::Nginx.quote("$host"), Err('$'));
        assert_eq!(Escape::None.quote("$host"), Ok("\"$host\"".to_owned()));
    }
}
