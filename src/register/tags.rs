//! Lists of tags. Pure.

/// Splits at commas; `\,` is a comma that belongs to the tag. Tags keep their order, are trimmed, and come once each.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut tags = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        let tag = tags.last_mut().expect("there is always one");
        match char {
            '\\' if rest.next_if_eq(&',').is_some() => tag.push(','),
            ',' => tags.push(String::new()),
            _ => tag.push(char),
        }
    }
    once_each(tags.iter().map(|tag| tag.trim()).filter(|tag| !tag.is_empty()).map(str::to_owned))
}

/// Drops what came before.
pub(super) fn once_each(tags: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut once = Vec::new();
    for tag in tags {
        if !once.contains(&tag) {
            once.push(tag);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_lists() {
        let cases: [(&str, &[&str]); 10] = [
            ("", &[]),
            ("foobar", &["foobar"]),
            ("master,backups", &["master", "backups"]),
            ("foo\\,bar", &["foo,bar"]),
            ("foo,bar\\,baz", &["foo", "bar,baz"]),
            ("\\,foobar\\,", &[",foobar,"]),
            (",,,,foo,,,bar,,,", &["foo", "bar"]),
            (",,\\,,", &[","]),
            (" a , b,a", &["a", "b"]),
            ("a\\b", &["a\\b"]),
        ];
        for (text, tags) in cases {
            assert_eq!(split(text), tags, "{text:?}");
        }
    }
}
