//! Reads the file of a template or partial.

use std::{io, path::Path};

use crate::sys::regular_file;

/// Reads the whole file.
///
/// # Errors
/// The file cannot be read, is not regular, is larger than 16 MiB, or is not UTF-8.
pub(super) fn read_template(path: &Path) -> io::Result<String> {
    regular_file::read_text(path, regular_file::MAX_BYTES)
}
