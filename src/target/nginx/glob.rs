//! File name patterns as nginx expands them in `include`: the C library's `glob`, in byte order. Pure.

/// Whether nginx treats a path as a pattern.
pub(super) fn is_pattern(path: &[u8]) -> bool {
    path.iter().any(|byte| b"*?[".contains(byte))
}

/// A pattern that matches `path` only.
pub(super) fn escape(path: &[u8]) -> Vec<u8> {
    if !is_pattern(path) {
        return path.to_vec();
    }
    let mut pattern = Vec::with_capacity(path.len() + 4);
    for byte in path {
        if b"*?[\\".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern
}

/// All paths that match `pattern`, which is absolute. `names` lists a directory; `exists` is called for parts without a
/// pattern.
pub(super) fn expand(
    pattern: &[u8],
    mut names: impl FnMut(&[u8]) -> Vec<Vec<u8>>,
    exists: impl Fn(&[u8]) -> bool,
) -> Vec<Vec<u8>> {
    let mut paths = vec![Vec::new()];
    for part in pattern.split(|byte| *byte == b'/').skip(1) {
        let below = |path: &Vec<u8>, name: &[u8]| [path, b"/".as_slice(), name].concat();
        paths = if is_pattern(part) {
            let mut matching = |path| {
                let mut names = names(if Vec::is_empty(path) { b"/" } else { path });
                names.retain(|name| matches(part, name));
                names.into_iter().map(|name| below(path, &name)).collect::<Vec<_>>()
            };
            paths.iter().flat_map(&mut matching).collect()
        } else {
            paths.iter().map(|path| below(path, &unescape(part))).filter(|path| exists(path)).collect()
        };
    }
    paths.sort();
    paths
}

fn unescape(part: &[u8]) -> Vec<u8> {
    let mut bytes = part.iter();
    let mut literal = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        literal.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    literal
}

/// Whether a file name matches. Only a dot matches a leading dot.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let hidden = name.first() == Some(&b'.') && !pattern.starts_with(b".") && !pattern.starts_with(b"\\.");
    !hidden && matches_rest(pattern, name)
}

fn matches_rest(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], name) => name.is_empty(),
        ([b'*', rest @ ..], name) => (0..=name.len()).any(|at| matches_rest(rest, &name[at..])),
        ([b'?', rest @ ..], [_, name @ ..]) => matches_rest(rest, name),
        ([b'[', rest @ ..], [byte, after @ ..]) => match match_class(rest, *byte) {
            Some((is_in, rest)) => is_in && matches_rest(rest, after),
            None => *byte == b'[' && matches_rest(rest, after),
        },
        ([b'\\', literal, rest @ ..], [byte, name @ ..]) | ([literal, rest @ ..], [byte, name @ ..]) => {
            literal == byte && matches_rest(rest, name)
        }
        (_, []) => false,
    }
}

/// Whether `byte` is in the class that follows a `[`, and the pattern after the class. `None` if the class is not
/// closed.
fn match_class(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let start = usize::from(negated);
    let (mut at, mut is_in) = (start, false);
    loop {
        let mut from = *pattern.get(at)?;
        if from == b']' && at > start {
            return Some((is_in != negated, &pattern[at + 1..]));
        }
        if let Some((class, length)) = named_class(&pattern[at..]) {
            is_in |= class(&byte);
            at += length;
            continue;
        }
        if from == b'\\' {
            at += 1;
            from = *pattern.get(at)?;
        }
        at += 1;
        let mut to = from;
        if pattern.get(at) == Some(&b'-') && !matches!(pattern.get(at + 1), None | Some(b']')) {
            at += 1 + usize::from(pattern[at + 1] == b'\\');
            to = *pattern.get(at)?;
            at += 1;
        }
        is_in |= (from..=to).contains(&byte);
    }
}

type ByteClass = fn(&u8) -> bool;

/// A class such as `[:digit:]` at the start of `pattern`, and its length.
fn named_class(pattern: &[u8]) -> Option<(ByteClass, usize)> {
    let classes: [(&[u8], ByteClass); 7] = [
        (b"[:alnum:]", u8::is_ascii_alphanumeric),
        (b"[:alpha:]", u8::is_ascii_alphabetic),
        (b"[:digit:]", u8::is_ascii_digit),
        (b"[:lower:]", u8::is_ascii_lowercase),
        (b"[:punct:]", u8::is_ascii_punctuation),
        (b"[:upper:]", u8::is_ascii_uppercase),
        (b"[:xdigit:]", u8::is_ascii_hexdigit),
    ];
    classes.iter().find(|(name, _)| pattern.starts_with(name)).map(|(name, class)| (*class, name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_the_c_library() {
        let yes = [
            ("*.conf", "a.conf"),
            ("*", "a"),
            ("*.conf", "a.b.conf"),
            ("a*b*c", "aXbYbc"),
            ("?.conf", "a.conf"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[^a-c]x", "dx"),
            ("[]a]", "]"),
            ("[!]a]", "b"),
            ("[a-]", "-"),
            ("[[:digit:]_]*", "7a"),
            ("[\\]]", "]"),
            ("[a", "[a"),
            ("\\*", "*"),
            (".*", ".a"),
            ("\\.a", ".a"),
        ];
        for (pattern, name) in yes {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        let no = [
            ("*.conf", ".a.conf"),
            ("*", ".a"),
            ("?a", ".a"),
            ("[.]a", ".a"),
            ("*.conf", "a.conf.bak"),
            ("a?", "a"),
            ("[a-c]x", "dx"),
            ("[a-c]", ""),
            ("\\*", "a"),
            ("[[:upper:]]", "a"),
            ("", "a"),
        ];
        for (pattern, name) in no {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_may_be_in_any_part_of_a_path() {
        let tree = ["/e/a/x.conf", "/e/a-b/x.conf", "/e/b/y.conf", "/e/.h/x.conf"];
        let names = |directory: &[u8]| {
            let below = format!("{}/", String::from_utf8_lossy(directory).trim_end_matches('/'));
            let next = |path: &&str| path.strip_prefix(&below)?.split('/').next().map(|name| name.as_bytes().to_vec());
            tree.iter().filter_map(next).collect::<std::collections::BTreeSet<_>>().into_iter().collect()
        };
        let exists = |path: &[u8]| tree.iter().any(|known| known.as_bytes().starts_with(path));
        let expanded = |pattern: &str| {
            let paths = expand(pattern.as_bytes(), names, exists);
            paths.into_iter().map(|path| String::from_utf8(path).expect("ASCII")).collect::<Vec<_>>()
        };
        // Whole paths are sorted, and `-` comes before `/`.
        assert_eq!(expanded("/e/*/x.conf"), ["/e/a-b/x.conf", "/e/a/x.conf"]);
        assert_eq!(expanded("/?/[ab]/*"), ["/e/a/x.conf", "/e/b/y.conf"]);
        assert_eq!(expanded("/e/b/\\y.*"), ["/e/b/y.conf"]);
        assert_eq!(expanded("/n/*"), [""; 0]);
    }

    #[test]
    fn an_escaped_path_matches_only_itself() {
        assert_eq!(escape(b"/a.conf"), b"/a.conf");
        assert!(matches(&escape(b"[a]*\\"), b"[a]*\\"));
        assert!(!matches(&escape(b"[a]*"), b"ab"));
    }
}
