//! New files under names that nobody knows yet.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path};

use tempfile::{Builder, NamedTempFile};

/// Makes an empty file that only we can read; it goes when it is dropped. Write to it by `as_file`: an error must not
/// hold the name, which is another one at each try, or the same trouble would be told at each.
///
/// # Errors
/// As of `open`.
pub(crate) fn create(builder: &Builder<'_, '_>, directory: &Path) -> io::Result<NamedTempFile> {
    builder
        .make_in(directory, |path| fs::File::options().read(true).write(true).create_new(true).mode(0o600).open(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_has_the_same_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let trouble = |directory: &Path| create(&Builder::new(), directory).expect_err("it fails").to_string();
        let none = directory.path().join("none");
        assert_eq!(trouble(&none), trouble(&none));
        create(&Builder::new(), directory.path()).expect("it can be made");
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
    }
}
