//! Replaces the files of a target together.

use std::path::PathBuf;

use super::{
    files::{self, FileAttrs, FileError, StagedFile, SwapResult},
    journal::Journal,
    plan::FileState,
    settings::SymlinkPolicy,
};
use crate::sys::blocking::blocking;

/// The change of one file.
#[derive(Debug)]
pub(super) enum FileOperation {
    /// The staged file replaces it.
    Swap(StagedFile),
    /// It is removed.
    Remove(SymlinkPolicy),
    /// It gets its former content and access; with `None` it is removed.
    Restore(Option<FileState>, FileAttrs),
}

/// Changes one file after the other, until the first error. This is one piece of blocking work, so it is completed even
/// if the returned future is dropped: stopping Portreeve never leaves only some of the files changed.
///
/// Returns the result for each file that was changed; `None` for one that was removed.
pub(super) async fn apply_operations(
    operations: Vec<(PathBuf, FileOperation)>,
    journal: Journal,
) -> (Vec<Option<SwapResult>>, Result<(), FileError>) {
    let all = move || {
        let mut done = Vec::with_capacity(operations.len());
        for (path, operation) in operations {
            let swapped = match operation {
                FileOperation::Swap(staged) => staged.swap().map(Some),
                FileOperation::Remove(symlinks) => files::remove(&path, symlinks).map(|()| None),
                FileOperation::Restore(former, attrs) => restore_former(path, former, attrs, &journal),
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

/// Writes the former content, or removes the file.
fn restore_former(
    path: PathBuf,
    former: Option<FileState>,
    attrs: FileAttrs,
    journal: &Journal,
) -> Result<Option<SwapResult>, FileError> {
    let Some(FileState { digest, access }) = former else {
        return files::remove(&path, attrs.symlinks).map(|()| None);
    };
    match journal.former_content(digest) {
        Ok(Some(bytes)) => files::stage(&path, &bytes, attrs, Some(access))?.swap().map(Some),
        Ok(None) => Err(FileError::FormerLost(path)),
        Err(source) => Err(FileError::FormerUnreadable { path, source }),
    }
}
