//! The swap: all files of a target change together.

use std::path::PathBuf;

use super::{
    files::{self, FileError, Staged, Swapped, Wish},
    journal::Journal,
    plan::Version,
    settings::Symlinks,
};
use crate::sys::blocking::blocking;

/// What happens to one file.
#[derive(Debug)]
pub(super) enum Replacement {
    /// What was staged takes its place.
    Swap(Staged),
    /// It goes.
    Remove(Symlinks),
    /// It becomes again what it was; `None`: it goes.
    Restore(Option<Version>, Wish),
}

/// Replaces one file after the other, to the first error. As this is one piece of blocking work, it runs to its end even
/// if the returned future is dropped: nobody finds half of the files changed because Portreeve was told to stop.
///
/// Returns how each file was swapped that was dealt with; `None`: it was removed.
pub(super) async fn replace(
    replacements: Vec<(PathBuf, Replacement)>,
    journal: Journal,
) -> (Vec<Option<Swapped>>, Result<(), FileError>) {
    let all = move || {
        let mut done = Vec::with_capacity(replacements.len());
        for (path, replacement) in replacements {
            let swapped = match replacement {
                Replacement::Swap(staged) => staged.swap().map(Some),
                Replacement::Remove(symlinks) => files::remove(&path, symlinks).map(|()| None),
                Replacement::Restore(former, wish) => restore(path, former, wish, &journal),
            };
            match swapped {
                Ok(swapped) => done.push(swapped),
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    };
    blocking(all).await
}

/// Puts a former content back, or removes the file.
fn restore(
    path: PathBuf,
    former: Option<Version>,
    wish: Wish,
    journal: &Journal,
) -> Result<Option<Swapped>, FileError> {
    let Some(Version { digest, access }) = former else {
        return files::remove(&path, wish.symlinks).map(|()| None);
    };
    match journal.former(digest) {
        Ok(Some(bytes)) => files::stage(&path, &bytes, wish, Some(access))?.swap().map(Some),
        Ok(None) => Err(FileError::Lost(path)),
        Err(source) => Err(FileError::Saved { path, source }),
    }
}
