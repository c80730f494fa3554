//! nginx's configuration syntax: directives, words, blocks. Pure.
//!
//! Parses as nginx does (`ngx_conf_read_token`), but reports no errors: `nginx -t` does.

use std::ops::Range;

/// One directive; of a directive with a block, the part before the brace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// The number of blocks of this file that enclose it.
    pub(super) depth: usize,
    /// Its name and its arguments; never empty.
    pub(super) words: Vec<Word>,
}

/// One name or argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Without quotes and escapes.
    pub(super) value: Vec<u8>,
    /// Its position, including quotes.
    pub(super) span: Range<usize>,
}

impl Directive {
    pub(super) fn is(&self, name: &str) -> bool {
        self.words[0].value == name.as_bytes()
    }

    /// Its only argument, if it has exactly one.
    pub(super) fn argument(&self) -> Option<&Word> {
        (self.words.len() == 2).then(|| &self.words[1])
    }

    /// From its name to its last word.
    pub(super) fn span(&self) -> Range<usize> {
        self.words[0].span.start..self.words[self.words.len() - 1].span.end
    }
}

/// All directives of a file, in order.
pub(super) fn parse(text: &[u8]) -> Vec<Directive> {
    let mut directives = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' => at += text[at..].iter().position(|byte| *byte == b'\n').unwrap_or(text.len() - at),
            b';' | b'{' => {
                at += 1;
                let is_lua = words.first().is_some_and(|name| name.value.ends_with(b"_by_lua_block"));
                if !words.is_empty() {
                    directives.push(Directive { depth, words: std::mem::take(&mut words) });
                }
                match (byte, is_lua) {
                    (b'{', true) => at = skip_lua(text, at),
                    (b'{', false) => depth += 1,
                    _ => {}
                }
            }
            b'}' => {
                at += 1;
                words.clear();
                depth = depth.saturating_sub(1);
            }
            _ => {
                let word = parse_word(text, at);
                at = word.span.end;
                words.push(word);
            }
        }
    }
    directives
}

fn parse_word(text: &[u8], start: usize) -> Word {
    let quote = Some(text[start]).filter(|byte| matches!(byte, b'"' | b'\''));
    let mut at = start + usize::from(quote.is_some());
    while let Some(&byte) = text.get(at) {
        let ends = match quote {
            Some(quote) => byte == quote,
            // The brace of `${name}` does not begin a block.
            None if byte == b'{' => text[at - 1] != b'$' || at == start,
            None => matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b';'),
        };
        if ends {
            break;
        }
        at += if byte == b'\\' { 2 } else { 1 };
    }
    let end = at.min(text.len());
    let value = unescape(&text[start + usize::from(quote.is_some())..end]);
    Word { value, span: start..(end + usize::from(quote.is_some())).min(text.len()) }
}

/// Resolves the same escapes as nginx. A backslash before any other character is kept.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        let (byte, length) = match (first, after.first()) {
            (b'\\', Some(quoted @ (b'"' | b'\'' | b'\\'))) => (*quoted, 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            _ => (*first, 1),
        };
        value.push(byte);
        rest = &rest[length..];
    }
    value
}

/// A word that nginx reads as `value`.
pub(super) fn quote(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    quoted
}

/// The position after the brace that closes a block of Lua. `start`: the position after the opening brace. Braces in
/// strings and comments are skipped.
fn skip_lua(text: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 1);
    while let Some(&byte) = text.get(at) {
        let rest = &text[at..];
        at += match byte {
            b'"' | b'\'' => string_length(rest, byte),
            b'[' => long_bracket_length(rest).unwrap_or(1),
            b'-' if rest.starts_with(b"--") => match long_bracket_length(&rest[2..]) {
                Some(length) => 2 + length,
                None => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
            },
            b'{' => {
                depth += 1;
                1
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
                1
            }
            _ => 1,
        };
    }
    text.len()
}

fn string_length(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        at += if byte == b'\\' { 2 } else { 1 };
        if byte == quote {
            break;
        }
    }
    at
}

/// The length of `[[ ... ]]` or `[==[ ... ]==]`.
fn long_bracket_length(text: &[u8]) -> Option<usize> {
    let level = text.strip_prefix(b"[")?.iter().take_while(|byte| **byte == b'=').count();
    (text.get(1 + level) == Some(&b'[')).then_some(())?;
    let close = [b"]".as_slice(), &b"=".repeat(level), b"]"].concat();
    let body = &text[2 + level..];
    let length = body.windows(close.len()).position(|window| window == close).map(|at| at + close.len());
    Some(2 + level + length.unwrap_or(body.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        let join = |directive: Directive| {
            let words: Vec<_> = directive.words.iter().map(|word| String::from_utf8_lossy(&word.value)).collect();
            format!("{}:{}", directive.depth, words.join("|"))
        };
        parse(text.as_bytes()).into_iter().map(join).collect()
    }

    #[test]
    fn directives_have_the_depth_of_their_block() {
        let text = "user www;\nhttp{ include a/*.conf;server {listen 80 default;}\n}include b;";
        assert_eq!(
            parsed(text),
            ["0:user|www", "0:http", "1:include|a/*.conf", "1:server", "2:listen|80|default", "0:include|b"]
        );
    }

    #[test]
    fn comments_quotes_and_escapes() {
        assert_eq!(parsed("a#b # include x;\n'c # d' \"e;{}\";"), ["0:a#b|c # d|e;{}"]);
        assert_eq!(parsed(r#"a "q\"q" 's\'s' b\;c d\\e \include t\tt;"#), [r#"0:a|q"q|s's|b\;c|d\e|\include|t	t"#]);
        assert_eq!(
            parsed("if ($a = \"b\") { set $c \"${d}e\"; return 200 ${f}g; }"),
            ["0:if|($a|=|b|)", "1:set|$c|${d}e", "1:return|200|${f}g"]
        );
        assert_eq!(parsed("a\r\n b;\r\n"), ["0:a|b"]);
    }

    #[test]
    fn lua_blocks_are_skipped() {
        let lua = r#"content_by_lua_block {
            -- a } in a comment
            --[[ a } in
                 a long one ]] local t = { "}", '\'}', [[ } ]], [=[ ]] } ]=], t[1] } -- {
            include x;
        } include y;"#;
        assert_eq!(parsed(lua), ["0:content_by_lua_block", "0:include|y"]);
    }

    #[test]
    fn invalid_syntax_does_not_panic() {
        for text in ["a", "a \"b", "}", "{", "};a;", "a\\", "x_by_lua_block { [[", "x_by_lua_block { 'a"] {
            parsed(text);
        }
        assert_eq!(parsed("a } b;"), ["0:b"]);
    }

    #[test]
    fn a_span_covers_the_word_with_its_quotes() {
        let text = b"include  \"a b\" ;";
        let directives = parse(text);
        assert_eq!(&text[directives[0].span()], b"include  \"a b\"");
        assert_eq!(directives[0].argument().expect("one").value, b"a b");
    }

    proptest! {
        #[test]
        fn a_quoted_word_has_its_original_value(value in prop::collection::vec(any::<u8>(), 0..20)) {
            let text = [b"a ".as_slice(), &quote(&value), b";"].concat();
            let directives = parse(&text);
            prop_assert_eq!(&directives[0].argument().expect("one").value, &value);
        }

        #[test]
        fn no_input_makes_it_panic(text in "[ab{};\"'\\\\#$\n \\[\\]=-]{0,40}(_by_lua_block \\{)?[ab{}\"'\\[\\]=-]{0,20}") {
            let length = text.len();
            prop_assert!(parse(text.as_bytes()).iter().all(|directive| directive.span().end <= length));
        }
    }
}
