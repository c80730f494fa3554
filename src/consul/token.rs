//! The ACL token, from a setting or a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use reqwest::header::HeaderValue;

use super::{ConsulSetupError, Error, Secret};
use crate::sys::regular_file;

/// The maximum size of a token file, in bytes.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// The source of the token.
#[derive(Debug)]
pub(super) enum Token {
    /// No token is set.
    Anonymous,
    /// From a setting. It never changes.
    Fixed(HeaderValue),
    /// From a file that may be rewritten at any time. It is read before each call, which takes microseconds and never
    /// misses a change.
    File(PathBuf),
}

impl Token {
    /// The file takes precedence over the token.
    pub(super) fn new(token: Option<&Secret>, file: Option<&Path>) -> Result<Self, ConsulSetupError> {
        match (file, token.map(Secret::expose)) {
            (Some(path), _) => Ok(Self::File(path.to_owned())),
            (None, None | Some("")) => Ok(Self::Anonymous),
            (None, Some(text)) => header(text)
                .map(Self::Fixed)
                .map_err(|error| ConsulSetupError::Invalid { setting: "token", problem: error.to_string() }),
        }
    }

    /// The value of the header; `None` without a token.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, Error> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::File(path) => {
                let value = regular_file::read_text(path, MAX_FILE_SIZE).and_then(|text| header(&text));
                value.map(Some).map_err(|error| Error::TokenFile { path: path.clone(), source: error.into() })
            }
        }
    }
}

fn header(token: &str) -> io::Result<HeaderValue> {
    let token = token.trim();
    if token.is_empty() {
        // The file may be in the middle of a rewrite. A call without a token could return an empty catalog.
        return Err(io::Error::other("it contains no token"));
    }
    let value = HeaderValue::from_str(token);
    let mut value = value.map_err(|_| io::Error::other("the token contains a line break or a control character"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(token: &Token) -> Option<String> {
        let value = token.header().expect("a token");
        value.map(|value| value.to_str().expect("plain text").to_owned())
    }

    #[test]
    fn a_fixed_token_is_sent_as_it_is_and_never_printed() {
        let token = Token::new(Some(&"s3cret".into()), None).expect("a token");
        assert_eq!(text(&token).as_deref(), Some("s3cret"));
        assert!(!format!("{token:?}").contains("s3cret"));
        assert_eq!(text(&Token::new(Some(&"".into()), None).expect("no token")), None);
        assert!(Token::new(Some(&"a\nb".into()), None).is_err());
    }

    #[test]
    fn a_file_is_read_before_each_call() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("token");
        let token = Token::new(Some(&"ignored".into()), Some(&path)).expect("a token");
        let error = token.header().expect_err("there is no file yet").to_string();
        assert!(error.starts_with("consul.token_file /"), "{error}");
        for (written, read) in [("one\n", "one"), ("two\n", "two"), ("  longer  ", "longer")] {
            fs::write(&path, written).expect("written");
            assert_eq!(text(&token).as_deref(), Some(read));
        }
        for path in ["/dev/zero", "/dev/null", "/proc"] {
            let token = Token::new(None, Some(Path::new(path))).expect("a token");
            assert!(token.header().is_err(), "{path}");
        }
        fs::write(&path, " \n").expect("written");
        assert!(token.header().is_err(), "an empty file is not an anonymous token");
    }
}
