//! The paths of calls, with names and keys escaped. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Error;

const NAME_CHARS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');
const KEY_CHARS: &AsciiSet = &NAME_CHARS.remove(b'/');

/// `prefix` and a name as one segment.
pub(super) fn with_name(prefix: &str, name: &str) -> Result<String, Error> {
    let path = format!("{prefix}/{}", utf8_percent_encode(name, NAME_CHARS));
    if matches!(name, "" | "." | "..") { Err(Error::InvalidPath { path }) } else { Ok(path) }
}

/// `prefix` and a key. The slashes of the key separate segments.
pub(super) fn with_key(prefix: &str, key: &str) -> Result<String, Error> {
    let path = format!("{prefix}/{}", utf8_percent_encode(key, KEY_CHARS));
    // A slash at the end belongs to the key. HTTP software removes any other empty segment.
    let mut segments = key.strip_suffix('/').unwrap_or(key).split('/');
    if segments.any(|segment| matches!(segment, "" | "." | "..")) { Err(Error::InvalidPath { path }) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_escaped_or_refused() {
        assert_eq!(with_name("/s", "a/b c?d#%").expect("a name"), "/s/a%2Fb%20c%3Fd%23%25");
        assert_eq!(with_name("/s", "host:web-1:80").expect("a name"), "/s/host:web-1:80");
        assert_eq!(with_key("/kv", "app/ü?&=+").expect("a key"), "/kv/app/%C3%BC%3F%26%3D%2B");
        assert_eq!(with_key("/kv", "dir/").expect("a key"), "/kv/dir/");
        for name in ["", ".", ".."] {
            assert!(with_name("/s", name).is_err(), "{name:?}");
        }
        for key in ["", "/", "/a", "a//b", "a/../b", "./a", "a/.."] {
            assert!(with_key("/kv", key).is_err(), "{key:?}");
        }
    }
}
