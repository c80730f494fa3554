//! Validates the values of keys, for `register`, `explain` and `lint`. Pure.
//!
//! Each function returns why a value can never work, or `None` if it is valid.

use crate::{
    consul::limits,
    core::value::{is_unprintable, parse_number},
};

/// The methods of RFC 9110 and RFC 5789.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// The longest reasonable interval or timeout of a probe, in seconds.
const MAX_PROBE_SECONDS: f64 = 24.0 * 3600.0;

/// The path of an HTTP check.
pub(super) fn path_problem(text: &str) -> Option<String> {
    let before_path = text.split(['/', '?', '#']).next().unwrap_or_default();
    let names_port =
        before_path.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if text.contains("://") && !text.starts_with('/') || text.starts_with("//") || names_port {
        return Some(format!("{text:?} names a host: write the path alone, as /health"));
    }
    if let Some(invalid) = text.chars().find(|char| is_unprintable(*char) || "\"\\“”‘’".contains(*char)) {
        return Some(format!("{text:?} contains {invalid:?}, which is not allowed in a path"));
    }
    if text.split_once(char::is_whitespace).is_some_and(|(first, _)| METHODS.contains(&first)) {
        return Some(format!("{text:?} begins with a method: write the path alone, and the method as CHECK_METHOD"));
    }
    let query = text.split_once('?').map_or("", |(_, query)| query);
    if query.contains(char::is_whitespace) {
        return Some(format!("{text:?} has a space in its query: write %20"));
    }
    let is_escape =
        |at: usize| text.get(at + 1..at + 3).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let escapes_are_valid = text.match_indices('%').all(|(at, _)| is_escape(at));
    (!escapes_are_valid).then(|| format!("{text:?} has a % without two hexadecimal digits after it: write %25"))
}

/// The method of an HTTP check, in any case.
pub(super) fn method_problem(text: &str) -> Option<String> {
    let known = METHODS.iter().any(|method| method.eq_ignore_ascii_case(text));
    (!known).then(|| format!("{text:?} is not an HTTP method: write GET, HEAD or POST"))
}

/// The name and the value of an HTTP header.
pub(super) fn header_problem(name: &str, value: &str) -> Option<String> {
    let token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    if name.is_empty() || !name.chars().all(token) {
        return Some(format!("{name:?} is not a name of a header"));
    }
    let invalid = value.chars().find(|char| is_unprintable(*char) && *char != '\t')?;
    Some(format!("the header {name} contains {invalid:?}"))
}

/// The interval or the timeout of a check.
pub(super) fn interval_problem(text: &str) -> Option<String> {
    let too_long = || {
        let seconds = limits::duration_seconds(text)?;
        (seconds > MAX_PROBE_SECONDS).then(|| format!("{text:?} is longer than a day"))
    };
    limits::duration_problem(text).or_else(too_long)
}

/// The number of results in a row that change the status of a check.
pub(super) fn count_problem(text: &str) -> Option<String> {
    let is_count = parse_number::<u32>(text).is_some_and(|count| i32::try_from(count).is_ok());
    (!is_count).then(|| format!("{text:?} is not a number"))
}

/// The name of a check.
pub(super) fn check_name_problem(text: &str) -> Option<String> {
    let invalid = text.chars().find(|char| is_unprintable(*char))?;
    Some(format!("it contains {invalid:?}"))
}

/// Whether a key or its value looks like a secret.
pub(crate) fn is_secret(key: &str, value: &str) -> bool {
    const PARTS: [&str; 10] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "credential",
        "apikey",
        "privatekey",
        "accesskey",
        "sshkey",
    ];
    const WORDS: [&str; 8] = ["key", "keys", "pass", "pwd", "pw", "creds", "jwt", "bearer"];
    const BEGINNINGS: [&str; 5] = ["Basic ", "Bearer ", "-----BEGIN ", "eyJ", "ghp_"];
    let key = key.to_ascii_lowercase();
    let words = || key.split(|char: char| !char.is_ascii_alphanumeric());
    let named = PARTS.iter().any(|part| key.contains(part)) || words().any(|word| WORDS.contains(&word));
    let is_public = words().any(|word| word == "public" || word == "pub");
    let login = value.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    let has_login =
        login.is_some_and(|(login, _)| login.split_once(':').is_some_and(|(_, password)| !password.is_empty()));
    let is_credential = BEGINNINGS.iter().any(|beginning| value.starts_with(beginning));
    !value.is_empty() && ((named && !is_public) || has_login || is_credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["/health", "up", "/", "/a?b=c&d=%20", "/a b", "/ünï", "/x:8080/y", "/go?to=http://x/"] {
            assert_eq!(path_problem(good), None, "{good:?}");
        }
        let bad = [
            "http://localhost:8080/health",
            "https://x",
            "localhost:8080/health",
            "//evil/x",
            ":x:1/a",
            "/a\u{7}",
            "/a\nb",
            "/\"x\"",
            "/a?b c",
            "/100%",
            "/%zz",
            "GET /health",
            "HEAD  /",
            "“/health”",
            "/heal\u{200b}th",
        ];
        for bad in bad {
            assert!(path_problem(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn methods_headers_times_and_counts() {
        assert!(["GET", "head", "Post"].into_iter().all(|text| method_problem(text).is_none()));
        assert!(["", "GTE", "GET /", "GET\t", "1"].into_iter().all(|text| method_problem(text).is_some()));
        assert!(header_problem("X-Probe", "a b").is_none());
        assert!(
            [("", "x"), ("a b", "x"), ("A", "x\r\ny")]
                .into_iter()
                .all(|(name, value)| header_problem(name, value).is_some())
        );
        assert!(["10s", "24h", "1m30s"].into_iter().all(|text| interval_problem(text).is_none()));
        assert!(["25h", "9999999999h", "10", "-1s"].into_iter().all(|text| interval_problem(text).is_some()));
        assert!(
            count_problem("3").is_none()
                && ["-1", "+3", "2147483648", "x"].into_iter().all(|text| count_problem(text).is_some())
        );
    }

    #[test]
    fn secrets() {
        for key in ["password", "db_password", "api_key", "token", "aws_secret_access_key", "key", "credentials", "PWD"]
        {
            assert!(is_secret(key, "x"), "{key}");
        }
        for value in ["postgres://bob:s3cret@db/x", "Basic Ym9iOnMzY3JldA==", "eyJhbGciOiJIUzI1NiJ9.e30.x"] {
            assert!(is_secret("upstream", value), "{value}");
        }
        for key in ["region", "host", "keyboard", "public_key", "monkey", "compass"] {
            assert!(!is_secret(key, "x"), "{key}");
        }
        assert!(!is_secret("password", "") && !is_secret("url", "https://x/@y:z"));
    }
}
