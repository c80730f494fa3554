//! The files on the disk as they would be with a candidate in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::target::{Candidate, desired_file::HashedContent, files::PathResolver};

/// The differences from the disk, by the path of the real file (symlinks resolved).
pub(super) struct CandidateOverlay<'a> {
    candidates: BTreeMap<PathBuf, (&'a Path, &'a Arc<HashedContent>)>,
    removed: BTreeSet<PathBuf>,
    /// The file names of all of these.
    names: BTreeSet<OsString>,
    resolver: PathResolver,
}

/// How a file differs from the disk.
pub(super) enum OverlayEntry<'a> {
    /// The candidate has it, with this destination and content.
    Candidate(&'a Path, &'a Arc<HashedContent>),
    /// It does not exist.
    Removed,
}

impl<'a> CandidateOverlay<'a> {
    pub(super) fn new(candidate: &'a Candidate) -> io::Result<Self> {
        let resolver = PathResolver::default();
        let resolve = |(path, content): (&'a PathBuf, &'a Arc<HashedContent>)| {
            Ok((resolver.resolve(path)?, (path.as_path(), content)))
        };
        let candidates: BTreeMap<_, _> = candidate.files.iter().map(resolve).collect::<io::Result<_>>()?;
        let removed: BTreeSet<_> =
            candidate.removed.iter().map(|path| resolver.resolve(path)).collect::<io::Result<_>>()?;
        let names =
            candidates.keys().chain(&removed).filter_map(|path| path.file_name().map(OsStr::to_owned)).collect();
        Ok(Self { candidates, removed, names, resolver })
    }

    /// Whether all files are as on the disk.
    pub(super) fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.removed.is_empty()
    }

    pub(super) fn removes_files(&self) -> bool {
        !self.removed.is_empty()
    }

    /// Whether any entry has the file name of `path`. Needs no access to the disk.
    pub(super) fn has_name_of(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.names.contains(name))
    }

    /// `None` if the file is as on the disk.
    pub(super) fn entry(&self, path: &Path) -> Option<OverlayEntry<'a>> {
        let real = self.resolver.resolve(path).ok()?;
        match self.candidates.get(&real) {
            Some((destination, candidate)) => Some(OverlayEntry::Candidate(destination, candidate)),
            None => self.removed.contains(&real).then_some(OverlayEntry::Removed),
        }
    }

    /// The names in a directory, including directories that do not exist yet. As for nginx, a directory that does not
    /// exist or that it may not read has none.
    pub(super) fn names(&self, directory: &Path) -> io::Result<Vec<Vec<u8>>> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
        let real = self.resolver.resolve(directory).ok();
        let mut names = BTreeSet::new();
        let entries = match fs::read_dir(directory) {
            Ok(entries) => Some(entries),
            Err(error) if counts_as_empty(&error) => None,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry.map_err(failed)?.file_name();
            let is_removed = |real: PathBuf| self.removed.contains(&real);
            if self.removed.is_empty() || !self.resolver.resolve(&directory.join(&name)).is_ok_and(is_removed) {
                names.insert(name.into_vec());
            }
        }
        let below = |path: &PathBuf| path.strip_prefix(real.as_deref()?).ok()?.iter().next().map(OsStr::to_owned);
        names.extend(self.candidates.keys().filter_map(below).map(OsString::into_vec));
        Ok(names.into_iter().collect())
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        match self.entry(path) {
            Some(OverlayEntry::Candidate(..)) => true,
            Some(OverlayEntry::Removed) => false,
            None => fs::symlink_metadata(path).is_ok() || self.creates_directory(path),
        }
    }

    /// Whether a candidate lies below `path`, so that this directory would be created.
    fn creates_directory(&self, path: &Path) -> bool {
        let Ok(real) = self.resolver.resolve(path) else { return false };
        self.candidates.keys().any(|candidate| candidate.starts_with(&real))
    }
}

fn counts_as_empty(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}
