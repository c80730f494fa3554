//! Reads and replaces files: staged beside the file, then renamed over it.

mod error;

use std::{
    ffi::{OsStr, OsString},
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

pub use self::error::FileError;
use super::settings::SymlinkPolicy;
pub(crate) use crate::sys::path_resolver::{PathResolver, resolve};
use crate::sys::{regular_file, temp_file};

/// Follows the destination's name in the name of a temporary file. The name also has a leading dot, so that no include
/// pattern matches it.
const TEMPORARY_INFIX: &str = ".portreeve-";

/// The mode bit set-user-id.
const SET_USER: u32 = 0o4000;
/// The mode bit set-group-id. New files in a directory with this bit belong to the directory's group.
const SET_GROUP: u32 = 0o2000;

/// The mode and owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The attributes that the settings ask for; `None` keeps the present value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileAttrs {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) symlinks: SymlinkPolicy,
    /// Whether missing directories are created.
    pub(crate) create_dirs: bool,
}

impl FileAttrs {
    /// Whether a file has all of them.
    pub(crate) fn matches(&self, access: Access) -> bool {
        let is_met = |expected: Option<u32>, actual: u32| expected.is_none_or(|expected| expected == actual);
        is_met(self.mode, access.mode) && is_met(self.uid, access.uid) && is_met(self.gid, access.gid)
    }
}

/// The file at a destination.
#[derive(Debug)]
pub(crate) struct PresentFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) access: Access,
}

/// The access that a new file was to have, and the one that it has, because the kernel did not allow the former.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LostAccess {
    expected: Access,
    actual: Access,
}

impl fmt::Display for LostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { expected: was, actual: is } = self;
        write!(
            f,
            "its owner and mode {}:{} {:04o} cannot be kept by user {}; they are {}:{} {:04o} now. Let portreeve run as \
             that user, give it the capability CAP_CHOWN, or set `user`, `group` and `mode`",
            was.uid,
            was.gid,
            was.mode,
            nix::unistd::geteuid(),
            is.uid,
            is.gid,
            is.mode
        )
    }
}

/// A temporary file with the new content, beside its destination.
#[derive(Debug)]
pub(crate) struct StagedFile {
    temporary: NamedTempFile,
    /// The destination with its symlinks resolved.
    real_path: PathBuf,
    access: Access,
    /// The part of `access` that must be set.
    required: FileAttrs,
    lost_access: Option<LostAccess>,
}

/// How a file was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SwapResult {
    /// Whether the destination is a mount point, and so was overwritten. Otherwise it was replaced atomically: readers
    /// see the old content or the new one.
    pub(crate) in_place: bool,
    /// The access that could not be kept.
    pub(crate) lost_access: Option<LostAccess>,
}

/// The real path of a destination.
fn resolve_with_policy(destination: &Path, symlinks: SymlinkPolicy) -> Result<PathBuf, FileError> {
    if symlinks == SymlinkPolicy::Refuse
        && fs::symlink_metadata(destination).is_ok_and(|metadata| metadata.is_symlink())
    {
        return Err(FileError::Symlink(destination.to_owned()));
    }
    resolve(destination).map_err(|source| FileError::new("found", destination, source))
}

/// Reads the file at `destination`; `None` if there is none.
pub(crate) fn read(destination: &Path, symlinks: SymlinkPolicy) -> Result<Option<PresentFile>, FileError> {
    let failed = |source| FileError::new(error::READ_ACTION, destination, source);
    let is_refused = symlinks == SymlinkPolicy::Refuse;
    let opened = if is_refused { regular_file::open_nofollow(destination) } else { regular_file::open(destination) };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if is_refused && error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err(FileError::Symlink(destination.to_owned()));
        }
        Err(error) if regular_file::is_not_regular(&error) => {
            return Err(FileError::NotAFile(destination.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(PresentFile { bytes, access: Access::of(&metadata) }))
}

impl Access {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() }
    }
}

/// Writes `bytes` to a temporary file beside `destination` and syncs it. Its access comes from `attrs`, otherwise from
/// the present file. A restored file gets its `former` access, as far as the kernel allows that.
pub(crate) fn stage(
    destination: &Path,
    bytes: &[u8],
    attrs: FileAttrs,
    former: Option<Access>,
) -> Result<StagedFile, FileError> {
    let failed = |source| FileError::new("staged", destination, source);
    let real = resolve_with_policy(destination, attrs.symlinks)?;
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(FileError::NotAFile(destination.to_owned()));
    };
    if attrs.create_dirs {
        create_directories(directory).map_err(|source| FileError::new("given a directory", destination, source))?;
    }
    let present = match fs::metadata(&real) {
        Ok(metadata) if metadata.is_file() => Some(Access::of(&metadata)),
        Ok(_) => return Err(FileError::NotAFile(destination.to_owned())),
        Err(_) => None,
    };
    let temporary =
        temp_file::create(tempfile::Builder::new().prefix(&temporary_prefix(name)), directory).map_err(failed)?;
    temporary.as_file().write_all(bytes).map_err(failed)?;
    let required = if former.is_some() { FileAttrs::default() } else { attrs };
    let fresh = Access::of(&temporary.as_file().metadata().map_err(failed)?);
    let kept = former.or(present);
    let access = Access {
        mode: required.mode.or(kept.map(|kept| kept.mode)).unwrap_or(0o644),
        uid: required.uid.or(kept.map(|kept| kept.uid)).unwrap_or(fresh.uid),
        gid: required.gid.or(kept.map(|kept| kept.gid)).unwrap_or(fresh.gid),
    };
    let reached = access.apply_to(temporary.as_file(), required).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    let lost_access = (reached != access).then_some(LostAccess { expected: access, actual: reached });
    Ok(StagedFile { temporary, real_path: real, access, required, lost_access })
}

/// Creates missing directories with mode `0755`, independent of the umask, and syncs them.
fn create_directories(directory: &Path) -> io::Result<()> {
    match (create_directory(directory), directory.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(parent)?;
            // Some file systems, such as `/proc`, report this although the parent exists.
            create_directory(directory)
        }
        (created, _) => created,
    }
}

/// Creates one directory, unless it exists.
fn create_directory(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(directory) {
        Ok(()) => {
            // The kernel sets this bit below a directory that has it.
            let inherited = fs::metadata(directory)?.mode() & SET_GROUP;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755 | inherited))?;
            directory.parent().map_or(Ok(()), temp_file::sync_directory)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Sets mode and owner of the file at `destination`, and keeps its content.
pub(crate) fn set_attrs(destination: &Path, attrs: FileAttrs) -> Result<(), FileError> {
    let failed = |source| FileError::new("given its mode and owner", destination, source);
    let real = resolve_with_policy(destination, attrs.symlinks)?;
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
    let file = fs::File::options().read(true).custom_flags(flags).open(real).map_err(failed)?;
    let present = Access::of(&file.metadata().map_err(failed)?);
    let differing = |expected: Option<u32>, actual: u32| expected.filter(|expected| *expected != actual);
    let (uid, gid) = (differing(attrs.uid, present.uid), differing(attrs.gid, present.gid));
    if uid.is_some() || gid.is_some() {
        fchown(&file, uid, gid).map_err(failed)?;
    }
    // After the owner, since a change of the owner clears mode bits.
    let mode = attrs.mode.unwrap_or(present.mode);
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    let reached = attrs.matches(Access::of(&file.metadata().map_err(failed)?));
    if reached { Ok(()) } else { Err(failed(io::Error::other("the file system does not keep them"))) }
}

impl Access {
    /// Sets mode and owner of a file, and returns the resulting access. Fails if a `required` attribute cannot be set.
    /// The others may be lost: a process without root's capabilities cannot set them.
    fn apply_to(self, file: &fs::File, required: FileAttrs) -> io::Result<Self> {
        let before = Self::of(&file.metadata()?);
        let differing = |expected: u32, actual: u32| Some(expected).filter(|expected| *expected != actual);
        let (uid, gid) = (differing(self.uid, before.uid), differing(self.gid, before.gid));
        if (uid.is_some() || gid.is_some())
            && let Err(error) = fchown(file, uid, gid)
        {
            let tolerate = |required: Option<u32>, error| {
                if required.is_none() && is_not_permitted(&error) { Ok(()) } else { Err(error) }
            };
            // A process that may not change the user may still set one of its own groups.
            if let (Some(_), Some(_)) = (uid, gid) {
                fchown(file, None, gid).or_else(|error| tolerate(required.gid, error))?;
            }
            tolerate(if uid.is_some() { required.uid } else { required.gid }, error)?;
        }
        let owned = Self::of(&file.metadata()?);
        let foreign = |bit, is_foreign: bool| if is_foreign && required.mode.is_none() { bit } else { 0 };
        let mode = self.mode & !foreign(SET_USER, owned.uid != self.uid) & !foreign(SET_GROUP, owned.gid != self.gid);
        if mode == owned.mode {
            return Ok(owned);
        }
        // After the owner, since a change of the owner clears mode bits.
        match file.set_permissions(fs::Permissions::from_mode(mode)) {
            Err(error) if required.mode.is_some() || !is_not_permitted(&error) => Err(error),
            _ => Ok(Self::of(&file.metadata()?)),
        }
    }
}

/// Whether an owner or a mode may not be set: for lack of permission, or because the file system does not support it,
/// or because the id is unknown in the user namespace.
fn is_not_permitted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

impl StagedFile {
    /// Replaces the destination. Call [`sync_directory`] afterwards.
    pub(crate) fn swap(self) -> Result<SwapResult, FileError> {
        let lost_access = self.lost_access;
        match self.temporary.persist(&self.real_path) {
            Ok(_) => Ok(SwapResult { in_place: false, lost_access }),
            Err(failed) if failed.error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                let Self { real_path: real, access, required, .. } = self;
                let written = overwrite(&real, &failed.file, access, required);
                // It is still the same file, with its access.
                written.map_err(|source| FileError::new("overwritten", &real, source))?;
                Ok(SwapResult { in_place: true, lost_access: None })
            }
            Err(failed) => Err(FileError::new("replaced", &self.real_path, failed.error)),
        }
    }
}

/// Overwrites the old content without truncating it first, so that as much as possible remains if that fails.
fn overwrite(real: &Path, from: &NamedTempFile, access: Access, required: FileAttrs) -> io::Result<()> {
    let bytes = fs::read(from.path())?;
    let mut file = fs::File::options().write(true).open(real)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    access.apply_to(&file, required)?;
    file.sync_all()
}

/// Removes the file at `destination`, if there is one.
pub(crate) fn remove(destination: &Path, symlinks: SymlinkPolicy) -> Result<(), FileError> {
    match fs::remove_file(resolve_with_policy(destination, symlinks)?) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("removed", destination, error)),
        _ => Ok(()),
    }
}

/// Syncs the destination's directory, so that a rename or removal survives a power cut.
pub(crate) fn sync_directory(destination: &Path) -> Result<(), FileError> {
    let sync = |real: PathBuf| temp_file::sync_directory(real.parent().unwrap_or(Path::new("/")));
    resolve(destination).and_then(sync).map_err(|source| FileError::new("synced", destination, source))
}

/// Removes the temporary files for `destination` of an earlier process that was killed.
pub(crate) fn remove_leftovers(destination: &Path) {
    let Ok(real) = resolve(destination) else { return };
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else { return };
    let prefix = temporary_prefix(name);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            temp_file::remove_leftover(&entry.path());
        }
    }
}

/// The prefix of the names of temporary files for `name`.
fn temporary_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(TEMPORARY_INFIX);
    prefix
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_that_cannot_be_created_is_an_error() {
        let destination = Path::new("/proc/none/deep/a.conf");
        let attrs = FileAttrs { create_dirs: true, ..FileAttrs::default() };
        let error = stage(destination, b"new", attrs, None).map(drop).expect_err("/proc takes no directories");
        assert!(error.to_string().starts_with("/proc/none/deep/a.conf: the directory is missing"), "{error}");
    }

    #[test]
    fn a_staged_file_matches_no_pattern_and_is_removed_when_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let destination = directory.path().join("a.conf");
        let staged = stage(&destination, b"new", FileAttrs::default(), None).expect("it can be written");
        let name = names(directory.path()).remove(0);
        assert!(name.starts_with(".a.conf.portreeve-") && !name.ends_with(".conf"), "{name}");
        drop(staged);
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn access_is_kept_or_set() {
        let directory = tempfile::tempdir().expect("a directory");
        let destination = directory.path().join("a.conf");
        let write = |attrs| {
            let swapped =
                stage(&destination, b"new", attrs, None).expect("it can be staged").swap().expect("and swapped");
            assert_eq!(swapped, SwapResult { in_place: false, lost_access: None });
            read(&destination, SymlinkPolicy::Follow).expect("it can be read").expect("it is there").access
        };
        assert_eq!(write(FileAttrs::default()).mode, 0o644);
        fs::set_permissions(&destination, fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert_eq!(write(FileAttrs::default()).mode, 0o600);
        assert_eq!(write(FileAttrs { mode: Some(0o4755), ..FileAttrs::default() }).mode, 0o4755);
        assert_eq!(names(directory.path()), ["a.conf"]);
    }

    #[test]
    fn a_symlink_is_followed_even_if_its_target_does_not_exist() {
        let directory = tempfile::tempdir().expect("a directory");
        let link = directory.path().join("link");
        symlink("further", &link).expect("a link");
        fs::create_dir(directory.path().join("real")).expect("a directory");
        symlink("real/a.conf", directory.path().join("further")).expect("a link");
        assert!(read(&link, SymlinkPolicy::Follow).expect("it can be read").is_none());
        stage(&link, b"new", FileAttrs::default(), None).expect("it can be staged").swap().expect("and swapped");
        sync_directory(&link).expect("it can be synced");
        assert_eq!(fs::read(directory.path().join("real/a.conf")).expect("a file"), b"new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        remove(&link, SymlinkPolicy::Follow).expect("it can be removed");
        remove(&link, SymlinkPolicy::Follow).expect("nothing to do");
        assert_eq!(names(&directory.path().join("real")), [""; 0]);
    }

    #[test]
    fn only_leftovers_of_the_file_are_removed() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in [".a.conf.portreeve-x1", ".aa.conf.portreeve-x1", "a.conf", ".a.conf.swp"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        remove_leftovers(&directory.path().join("a.conf"));
        assert_eq!(names(directory.path()), [".a.conf.swp", ".aa.conf.portreeve-x1", "a.conf"]);
    }

    #[test]
    fn errors_name_the_remedy() {
        let directory = tempfile::tempdir().expect("a directory");
        let error =
            stage(&directory.path().join("no/a.conf"), b"", FileAttrs::default(), None).expect_err("no directory");
        assert!(error.to_string().contains("make it"), "{error}");
        let link = directory.path().join("link");
        symlink("nowhere", &link).expect("a link");
        let attrs = FileAttrs { symlinks: SymlinkPolicy::Refuse, ..FileAttrs::default() };
        for refused in [read(&link, attrs.symlinks).map(|_| ()), stage(&link, b"", attrs, None).map(|_| ())] {
            assert!(matches!(refused, Err(FileError::Symlink(_))), "{refused:?}");
        }
        assert!(remove(&link, attrs.symlinks).is_err() && names(directory.path()) == ["link"]);
        for unsuitable in [directory.path(), Path::new("/dev/null"), Path::new("/")] {
            assert!(matches!(read(unsuitable, SymlinkPolicy::Follow), Err(FileError::NotAFile(_))), "{unsuitable:?}");
            assert!(
                matches!(stage(unsuitable, b"", FileAttrs::default(), None), Err(FileError::NotAFile(_))),
                "{unsuitable:?}"
            );
        }
    }
}
