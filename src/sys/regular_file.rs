//! Reads whole files. Only regular files are read: a pipe without a writer would block, and a device may have no end.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::{errno::Errno, fcntl::OFlag};

const MIB: u64 = 1024 * 1024;

/// The largest template, configuration file or certificate that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 16 * MIB;

/// Opens a regular file for reading.
///
/// # Errors
/// It is not a regular file, or cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    open_with(path, OFlag::empty())
}

/// Like [`open`], but a symlink is an error (`ELOOP`).
///
/// # Errors
/// As [`open`].
pub(crate) fn open_nofollow(path: &Path) -> io::Result<fs::File> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(Errno::ELOOP.into());
    }
    open_with(path, OFlag::O_NOFOLLOW)
}

fn open_with(path: &Path, flags: OFlag) -> io::Result<fs::File> {
    // Opening a device may have side effects.
    require_regular(&fs::metadata(path)?)?;
    // It may have been replaced by a pipe in the meantime.
    let file = fs::File::options().read(true).custom_flags((OFlag::O_NONBLOCK | flags).bits()).open(path)?;
    require_regular(&file.metadata()?)?;
    Ok(file)
}

/// Whether the error of [`open`] means that the path is not a regular file.
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData)
}

fn require_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if found.is_file() { Ok(()) } else { Err(invalid_data("it is not a regular file".to_owned())) }
}

/// Whether the error means that the file does not exist, or that a part of its path is not a directory.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// The file cannot be read, is not regular, or is larger.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_open(&open(path)?, limit)
}

fn read_open(file: &fs::File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let size = if limit < MIB { format!("{} KiB", limit / 1024) } else { format!("{} MiB", limit / MIB) };
        return Err(invalid_data(format!("it is larger than {size}")));
    }
    Ok(bytes)
}

/// Reads a regular file of at most `limit` bytes of UTF-8 text.
///
/// # Errors
/// As [`read`], or the file is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    read_open_text(&open(path)?, limit)
}

/// Like [`read_text`], for a file from [`open`].
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_open_text(file: &fs::File, limit: u64) -> io::Result<String> {
    String::from_utf8(read_open(file, limit)?).map_err(|error| {
        invalid_data(format!("it is not UTF-8 text, from byte {} on", error.utf8_error().valid_up_to() + 1))
    })
}

fn invalid_data(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn only_regular_text_files_up_to_the_limit_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("text"), "\u{e4}\r\n").expect("a file");
        fs::write(at("binary"), b"ab\xff").expect("a file");
        fs::File::create(at("large")).and_then(|file| file.set_len(2 * MIB + 1)).expect("a file");
        mkfifo(&at("pipe"), Mode::S_IRWXU).expect("a pipe");
        let read = |path: &Path| read_text(path, 2 * MIB);
        assert_eq!(read(&at("text")).expect("a text"), "\u{e4}\r\n");
        let reason = |path: &Path| read(path).expect_err("it is not text").to_string();
        assert_eq!(reason(&at("binary")), "it is not UTF-8 text, from byte 3 on");
        assert_eq!(reason(&at("large")), "it is larger than 2 MiB");
        assert_eq!(reason(directory.path()), "it is a directory");
        for path in [at("pipe").as_path(), Path::new("/dev/zero")] {
            assert_eq!(reason(path), "it is not a regular file");
        }
        assert!(reason(&at("none")).starts_with("No such file"), "{}", reason(&at("none")));
        assert_eq!(read_text(&at("text"), 1024).expect("a text").len(), 4);
    }
}
