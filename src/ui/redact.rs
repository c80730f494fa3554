//! Removes passwords and tokens from texts that are shown. Pure.

/// Keys of settings whose values are secret.
const SECRET_KEYS: [&str; 4] = ["token", "http_auth", "password", "secret"];

/// Replaces the user, the password and the query of each URL by `***`.
pub fn urls(text: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let end = url.find(|char: char| char.is_whitespace() || "\"'`<>".contains(char)).unwrap_or(url.len());
        let (url, after) = url.split_at(end);
        shown.push_str(before);
        shown.push_str(&authority(url));
        rest = after;
    }
    shown + rest
}

/// Like [`urls`], for a text that is one address, with or without a scheme. The password may contain any character.
pub fn address(text: &str) -> String {
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    format!("{scheme}{}", authority(rest))
}

/// Like [`urls`], for the part after `://`. A password may contain `?` and `#`.
fn authority(url: &str) -> String {
    let host = url.rfind('@').map_or_else(|| url.to_owned(), |at| format!("***{}", &url[at..]));
    let (host, query) = host.find(['?', '#']).map_or((&*host, ""), |at| host.split_at(at));
    match query.get(..1) {
        Some(mark) if query.len() > 1 => format!("{host}{mark}***"),
        _ => format!("{host}{query}"),
    }
}

/// Like [`urls`]; also replaces the values of secret settings in quoted lines of TOML. An unknown key counts as secret.
pub fn configuration(text: &str) -> String {
    let is_unknown = text.contains("unknown field");
    let is_secret = |key: &str| is_unknown || SECRET_KEYS.iter().any(|secret| key.contains(secret));
    let line = |line: &str| match line.split_once('=') {
        Some((key, value)) if !value.is_empty() && is_secret(key) => format!("{key}= ***"),
        _ => line.to_owned(),
    };
    urls(&text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_replaced() {
        let cases = [
            ("unexpected argument 'consul://bob:s3cret@h:1' found", "unexpected argument 'consul://***@h:1' found"),
            ("a http://u:p@a@h/x and tcp://v:w@i", "a http://***@h/x and tcp://***@i"),
            ("\"http://h:1/?token=s3cret\"", "\"http://h:1/?***\""),
            ("http://h:1/a nothing secret", "http://h:1/a nothing secret"),
            ("consul://bob:s3#cr?et@h:1", "consul://***@h:1"),
        ];
        for (text, shown) in cases {
            assert_eq!(urls(text), shown);
        }
        assert_eq!(address("bob:s3cret@h:8500"), "***@h:8500");
        assert_eq!(address("tcp://bob:s3 c\"r'et@h/?token=x"), "tcp://***@h/?***");
        assert_eq!(configuration("1 | token = \"s3cret\n  |  ^^^"), "1 | token = ***\n  |  ^^^");
        assert_eq!(configuration("2 | resync = 5"), "2 | resync = 5");
        assert_eq!(configuration("2 | tokn = 's'\nunknown field `tokn`"), "2 | tokn = ***\nunknown field `tokn`");
    }
}
