//! The swap: all files of a target change together.

use std::path::PathBuf;

use super::{
    files::{self, FileAttrs, FileError, StagedFile, SwapResult},
    journal::Journal,
    plan::FileState,
    settings::SymlinkPolicy,
};
use crate::sys::blocking::blocking;

/// What happens to one file.
#[derive(Debug)]
pub(super) enum FileOperation {
    /// What was staged takes its place.
    Swap(StagedFile),
    /// It goes.
    Remove(SymlinkPolicy),
    /// It becomes again what it was; `None`: it goes.
    Restore(Option<FileState>, FileAttrs),
}

/// Replaces one file after the other, to the first error. As this is one piece of blocking work, it runs to its end even
/// if the returned future is dropped: nobody finds half of the files changed because Portreeve was told to stop.
///
/// Returns how each file was swapped that was dealt with; `None`: it was removed.
pub(super) async fn apply_operations(
    replacements: Vec<(PathBuf, FileOperation)>,
    journal: Journal,
) -> (Vec<Option<SwapResult>>, Result<(), FileError>) {
    let all = move || {
        let mut done = Vec::with_capacity(replacements.len());
        for (path, replacement) in replacements {
            let swapped = match replacement {
                FileOperation::Swap(staged) => staged.swap().map(Some),
                FileOperation::Remove(symlinks) => files::remove(&path, symlinks).map(|()| None),
                FileOperation::Restore(former, wish) => restore_former(path, former, wish, &journal),
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
fn restore_former(
    path: PathBuf,
    former: Option<FileState>,
    wish: FileAttrs,
    journal: &Journal,
) -> Result<Option<SwapResult>, FileError> {
    let Some(FileState { digest, access }) = former else {
        return files::remove(&path, wish.symlinks).map(|()| None);
    };
    match journal.former_content(digest) {
        Ok(Some(bytes)) => files::stage(&path, &bytes, wish, Some(access))?.swap().map(Some),
        Ok(None) => Err(FileError::FormerLost(path)),
        Err(source) => Err(FileError::FormerUnreadable { path, source }),
    }
}
