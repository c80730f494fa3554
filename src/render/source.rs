//! The text of a template's or partial's file.

use std::{fs, io, io::Read, path::Path};

use crate::watched::open;

/// More than any template; a device has no end at all.
const LARGEST: u64 = 16 * 1024 * 1024;

/// Reads a file whole. Never waits: a pipe without a writer would hold up everything else that is read.
///
/// # Errors
/// What cannot be read, is no regular file, is larger than 16 MiB or is not UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    // To open a device may do something already.
    let found = fs::metadata(path)?;
    if found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if !found.is_file() {
        return unfit("it is no regular file".to_owned());
    }
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return unfit("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return unfit("it is larger than 16 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .or_else(|error| unfit(format!("it is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to() + 1)))
}

fn unfit(reason: String) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::InvalidData, reason))
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn only_a_text_of_a_sensible_size_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("text"), "ä\r\n").expect("a file");
        fs::write(at("binary"), b"ab\xff").expect("a file");
        fs::File::create(at("large")).and_then(|file| file.set_len(LARGEST + 1)).expect("a file");
        mkfifo(&at("pipe"), Mode::S_IRWXU).expect("a pipe");
        assert_eq!(read(&at("text")).expect("a text"), "ä\r\n");
        let reason = |path: &Path| read(path).expect_err("no text").to_string();
        assert_eq!(reason(&at("binary")), "it is not UTF-8 text, from byte 3 on");
        assert_eq!(reason(&at("large")), "it is larger than 16 MiB");
        assert_eq!(reason(directory.path()), "it is a directory");
        for path in [at("pipe").as_path(), Path::new("/dev/zero")] {
            assert_eq!(reason(path), "it is no regular file");
        }
        assert!(reason(&at("none")).starts_with("No such file"), "{}", reason(&at("none")));
    }
}
