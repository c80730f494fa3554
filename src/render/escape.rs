//! Escaping: a value from the registry cannot change the syntax of the file that it is printed to.
//!
//! Otherwise, anyone who may register a service or write a key could change the router's configuration. A value is
//! either printed unchanged or is an error.
//!
//! - nginx and HAProxy: a value is one word. It must not contain a character with a special meaning inside or outside
//!   quotes: white space, control characters and some punctuation.
//! - JSON: a value is part of a string that the template quotes.
//! - Path: a value is one component, but not a hidden or special one.

use crate::target::Escape;

impl Escape {
    /// Why `value` cannot be printed, as the rest of a sentence that begins with the value. `None` if it can.
    pub(super) fn rejection_reason(self, value: &str) -> Option<String> {
        let offence = self.special_char(value);
        if self == Self::Path {
            return match offence {
                Some(offence) => Some(format!("holds {offence:?}, so it cannot be a part of a path")),
                None if value.is_empty() => Some("is empty, so it cannot be a part of a path".to_owned()),
                None if value.starts_with('.') => {
                    Some("begins with a dot, so it cannot be a part of a path".to_owned())
                }
                None => None,
            };
        }
        offence.map(|offence| {
            format!(
                "holds {offence:?}, which has a meaning of its own in this file; {{{{quote …}}}} makes it one text, \
                 {{{{raw …}}}} trusts it"
            )
        })
    }

    /// The first character with a special meaning.
    pub(super) fn special_char(self, value: &str) -> Option<char> {
        value.chars().find(|c| self.is_special(*c))
    }

    fn is_special(self, c: char) -> bool {
        match self {
            Self::Nginx => c.is_whitespace() || c.is_control() || r#";{}"'\$#"#.contains(c),
            Self::Haproxy => c.is_whitespace() || c.is_control() || r#""'\$#"#.contains(c),
            Self::Json => c.is_control() || r#""\"#.contains(c),
            Self::Path => c == '/' || c.is_control(),
            Self::None => false,
        }
    }

    /// `value` as a quoted string of the language.
    ///
    /// # Errors
    /// A character that a quoted string cannot contain.
    pub(super) fn quote(self, value: &str) -> Result<String, char> {
        let offence = match self {
            // nginx reads \n, \r and \t in a quoted string, but expands `$` everywhere.
            Self::Nginx => value.chars().find(|c| *c == '$' || c.is_control() && !"\n\r\t".contains(*c)),
            Self::Haproxy => value.chars().find(|c| c.is_control()),
            Self::Json => return Ok(serde_json::Value::from(value).to_string()),
            Self::Path | Self::None => None,
        };
        if let Some(offence) = offence {
            return Err(offence);
        }
        let mut quoted = String::with_capacity(value.len() + 2);
        quoted.push('"');
        for c in value.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                '$' if self == Self::Haproxy => quoted.push_str("\\$"),
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
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        registry::{Answer, Query},
        render::{CompiledTemplate, RenderInputs, RenderOutcome},
    };

    /// The output of `text` if the key `v` has this value. `None` if the value is an error.
    fn rendered(text: &str, value: &str, escape: Escape) -> Option<String> {
        let template = CompiledTemplate::compile("t.hbs", text, escape).unwrap_or_else(|error| panic!("{error}"));
        let answers = [(Query::key("v"), Arc::new(Answer::Key(Some(value.to_owned()))))].into();
        let item = serde_json::Value::Null;
        match template.render(RenderInputs { answers: &answers, env: &BTreeMap::new(), item: &item }).outcome {
            RenderOutcome::Text(text) => Some(text),
            RenderOutcome::Failed(error) => {
                assert!(error.reason.contains(r#"key "v""#) || error.reason.contains("quoted"), "{error}");
                None
            }
            RenderOutcome::Missing(missing) => panic!("it waits for {missing:?}"),
        }
    }

    /// Parses lines of words as HAProxy does: quotes, backslashes, comments, variables in double quotes.
    fn words(config: &str) -> Vec<Vec<String>> {
        let mut lines = Vec::new();
        for line in config.split('\n') {
            let (mut words, mut word, mut quote, mut chars) = (Vec::new(), None::<String>, None, line.chars());
            while let Some(c) = chars.next() {
                match (quote, c) {
                    (None, '#') => break,
                    (None, '"' | '\'') => {
                        quote = Some(c);
                        word.get_or_insert_default();
                    }
                    (Some(open), _) if c == open => quote = None,
                    (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
                    (Some('"'), '$') => word.get_or_insert_default().push_str("VARIABLE"),
                    (None, _) if c.is_ascii_whitespace() => words.extend(word.take()),
                    _ => word.get_or_insert_default().push(c),
                }
            }
            assert_eq!(quote, None, "an open quote in {line:?}");
            words.extend(word);
            lines.push(words);
        }
        lines
    }

    fn values() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z;{}\"'$# \n\r\t\\\\.:/,\\[\\]-]{1,12}", "\\PC{1,12}", "[\u{0}-\u{ff}]{1,6}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_value_changes_the_syntax_of_a_haproxy_configuration(value in values()) {
            let bare = r#"a x{{key "v"}}y "{{key "v"}}" '{{key "v"}}' b"#;
            if let Some(text) = rendered(bare, &value, Escape::Haproxy) {
                let expected = vec![vec!["a".to_owned(), format!("x{value}y"), value.clone(), value.clone(), "b".to_owned()]];
                prop_assert_eq!(words(&text), expected);
            }
            if let Some(text) = rendered(r#"a {{quote (key "v")}} b"#, &value, Escape::Haproxy) {
                prop_assert_eq!(words(&text), vec![vec!["a".to_owned(), value, "b".to_owned()]]);
            }
        }

        #[test]
        fn no_value_changes_the_syntax_of_json(value in values()) {
            let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
            if let Some(text) = rendered(r#"{ "a": "x{{key "v"}}", "b": [1] }"#, &value, Escape::Json) {
                prop_assert_eq!(parsed(&text), serde_json::json!({ "a": format!("x{value}"), "b": [1] }));
            }
            for whole in ["quote", "toJSON"] {
                let text = rendered(&format!(r#"{{ "a": {{{{{whole} (key "v")}}}}, "b": [1] }}"#), &value, Escape::Json);
                let text = text.expect("every value can be quoted");
                prop_assert_eq!(parsed(&text), serde_json::json!({ "a": value, "b": [1] }));
            }
        }

        #[test]
        fn a_value_is_one_component_of_a_path(value in values()) {
            for printed in ["{{key \"v\"}}", "{{{key \"v\"}}}", "{{raw (key \"v\")}}"] {
                if let Some(text) = rendered(&format!("/etc/sites/{printed}.conf"), &value, Escape::Path) {
                    let path = std::path::Path::new(&text);
                    let expected = format!("{value}.conf");
                    prop_assert_eq!(path.parent(), Some(std::path::Path::new("/etc/sites")));
                    prop_assert_eq!(path.file_name(), Some(std::ffi::OsStr::new(&expected)));
                    prop_assert!(!text.contains('\0'));
                }
            }
        }
    }

    #[test]
    fn numbers_and_booleans_are_printed_bare_in_json() {
        let text = rendered(
            r#"{ "port": {{#with 80}}{{this}}{{/with}}, "ok": {{eq 1 1}}, "v": {{quote 5}} }"#,
            "",
            Escape::Json,
        );
        assert_eq!(text.as_deref(), Some(r#"{ "port": 80, "ok": true, "v": "5" }"#));
        assert_eq!(rendered("{{toJSON (key \"v\")}}", "a", Escape::Nginx), None, "it is JSON in JSON only");
    }

    const PLAIN: [&str; 7] =
        ["web.example.com", "10.0.0.1:80", "[fd00::1]:80", "/a/b-c_d?e=f&g=%20,~@!*+", "größe", "", "a;b{}"];

    #[test]
    fn special_characters_are_errors() {
        let is_rejected = |escape: Escape, value: &str| escape.rejection_reason(value).is_some();
        for value in ["a b", "a\nb", "\"", "'", "a\\", "$host", "#", "\u{0}", "\u{a0}"] {
            assert!(is_rejected(Escape::Nginx, value) && is_rejected(Escape::Haproxy, value), "{value:?}");
            assert!(!is_rejected(Escape::None, value));
        }
        for value in ["a;b", "a{", "}"] {
            assert!(is_rejected(Escape::Nginx, value) && !is_rejected(Escape::Haproxy, value), "{value:?}");
        }
        for value in ["\"", "a\\", "a\nb", "\u{0}"] {
            assert!(is_rejected(Escape::Json, value), "{value:?}");
        }
        for value in PLAIN {
            assert_eq!(is_rejected(Escape::Nginx, value), value == "a;b{}", "{value:?}");
            assert!(!is_rejected(Escape::Haproxy, value) && !is_rejected(Escape::Json, value), "{value:?}");
        }
        assert!(!is_rejected(Escape::Json, "it's $5; {a} # b"));
    }

    #[test]
    fn a_value_in_a_path_is_one_component() {
        for (value, expected) in [("a/b", "'/'"), ("", "empty"), ("..", "a dot"), (".a", "a dot"), ("a\u{0}", "'\\0'")]
        {
            let reason = Escape::Path.rejection_reason(value).unwrap_or_else(|| panic!("{value:?} is accepted"));
            assert!(reason.contains(expected), "{reason}");
        }
        assert_eq!(Escape::Path.rejection_reason("shop.example.com v2"), None);
    }

    #[test]
    fn a_quoted_value_is_one_string() {
        assert_eq!(Escape::Nginx.quote("say \"hi\";\n\\"), Ok(r#""say \"hi\";\n\\""#.to_owned()));
        assert_eq!(Escape::Nginx.quote("$host"), Err('$'));
        assert_eq!(Escape::Haproxy.quote("a \"$b\" 'c' \\#"), Ok(r#""a \"\$b\" 'c' \\#""#.to_owned()));
        assert_eq!(Escape::Haproxy.quote("a\nb"), Err('\n'));
        assert_eq!(Escape::Json.quote("a \"b\"\n\u{1}"), Ok(r#""a \"b\"\n\u0001""#.to_owned()));
        assert_eq!(Escape::None.quote("$host"), Ok("\"$host\"".to_owned()));
    }
}
