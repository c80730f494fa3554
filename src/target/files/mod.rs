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
use crate::sys::temp_file;

/// Between the destination's name and the random end of a temporary file's name. With the leading dot no pattern of a
/// config language matches it.
const TEMPORARY_INFIX: &str = ".portreeve-";

/// The bits of a mode that mean more than access: run as the owner, or as the group; for a directory, the group goes on
/// to what is made in it.
const SET_USER: u32 = 0o4000;
const SET_GROUP: u32 = 0o2000;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// What the user wants of a file besides its content; what is not set is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileAttrs {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) symlinks: SymlinkPolicy,
    /// Whether to make directories that are missing.
    pub(crate) create_dirs: bool,
}

impl FileAttrs {
    /// Whether a file has all that is wished for.
    pub(crate) fn matches(&self, access: Access) -> bool {
        let is = |wanted: Option<u32>, is: u32| wanted.is_none_or(|wanted| wanted == is);
        is(self.mode, access.mode) && is(self.uid, access.uid) && is(self.gid, access.gid)
    }
}

/// What lies at a destination.
#[derive(Debug)]
pub(crate) struct PresentFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) access: Access,
}

/// Whose a file was to stay, and whose it is, since the kernel did not allow that.
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

/// A new content, on the disk beside its destination, and ready to take its place.
#[derive(Debug)]
pub(crate) struct StagedFile {
    temporary: NamedTempFile,
    /// The destination with its symlinks followed.
    real_path: PathBuf,
    access: Access,
    /// What of that has to be reached.
    required: FileAttrs,
    lost_access: Option<LostAccess>,
}

/// How a file was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SwapResult {
    /// The destination is a mount point and cannot be renamed over. Otherwise readers see the old content or the new one,
    /// never a mixture.
    pub(crate) in_place: bool,
    /// What of its access was lost.
    pub(crate) lost_access: Option<LostAccess>,
}

/// The file that a destination means.
fn resolve_with_policy(destination: &Path, symlinks: SymlinkPolicy) -> Result<PathBuf, FileError> {
    if symlinks == SymlinkPolicy::Refuse
        && fs::symlink_metadata(destination).is_ok_and(|metadata| metadata.is_symlink())
    {
        return Err(FileError::Symlink(destination.to_owned()));
    }
    resolve(destination).map_err(|source| FileError::new("found", destination, source))
}

/// Opens a file to read it, without waiting: a pipe that nobody writes to is at its end.
pub(crate) fn open(path: &Path) -> io::Result<fs::File> {
    fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

/// Reads what lies at `destination`, if anything does.
pub(crate) fn read(destination: &Path, symlinks: SymlinkPolicy) -> Result<Option<PresentFile>, FileError> {
    let failed = |source| FileError::new(error::READ_ACTION, destination, source);
    let follow = if symlinks == SymlinkPolicy::Refuse { nix::libc::O_NOFOLLOW } else { 0 };
    let mut file = match fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK | follow).open(destination) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if follow != 0 && error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err(FileError::Symlink(destination.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile(destination.to_owned()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(PresentFile { bytes, access: Access::of(&metadata) }))
}

impl Access {
    fn of(metadata: &fs::Metadata) -> Self {
        Self { mode: metadata.mode() & 0o7777, uid: metadata.uid(), gid: metadata.gid() }
    }
}

/// Writes `bytes` beside `destination` and onto the disk, with the access that the file is to have: what is wished for, or
/// else what it has. A file that becomes again what it was gets the `former` access, as far as the kernel allows that.
pub(crate) fn stage(
    destination: &Path,
    bytes: &[u8],
    wish: FileAttrs,
    former: Option<Access>,
) -> Result<StagedFile, FileError> {
    let failed = |source| FileError::new("staged", destination, source);
    let real = resolve_with_policy(destination, wish.symlinks)?;
    let (Some(directory), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(FileError::NotAFile(destination.to_owned()));
    };
    if wish.create_dirs {
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
    let required = if former.is_some() { FileAttrs::default() } else { wish };
    let fresh = Access::of(&temporary.as_file().metadata().map_err(failed)?);
    let kept = former.or(present);
    let access = Access {
        mode: required.mode.or(kept.map(|kept| kept.mode)).unwrap_or(0o644),
        uid: required.uid.or(kept.map(|kept| kept.uid)).unwrap_or(fresh.uid),
        gid: required.gid.or(kept.map(|kept| kept.gid)).unwrap_or(fresh.gid),
    };
    let reached = access.apply_to(temporary.as_file(), required).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    let unkept = (reached != access).then_some(LostAccess { expected: access, actual: reached });
    Ok(StagedFile { temporary, real_path: real, access, required, lost_access: unkept })
}

/// Makes the directories that are missing, each readable for everybody whatever our own mask, and brings them onto the
/// disk.
fn create_directories(directory: &Path) -> io::Result<()> {
    match (fs::DirBuilder::new().mode(0o755).create(directory), directory.parent()) {
        (Ok(()), parent) => {
            // What is made below a directory of a group is the group's.
            let inherited = fs::metadata(directory)?.mode() & SET_GROUP;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755 | inherited))?;
            parent.map_or(Ok(()), temp_file::sync_directory)
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_directories(parent)?;
            create_directories(directory)
        }
        (Err(error), _) => Err(error),
    }
}

/// Gives the file at `destination` the mode and owner that are wished for, and leaves its content alone.
pub(crate) fn set_attrs(destination: &Path, wish: FileAttrs) -> Result<(), FileError> {
    let failed = |source| FileError::new("given its mode and owner", destination, source);
    let real = resolve_with_policy(destination, wish.symlinks)?;
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW;
    let file = fs::File::options().read(true).custom_flags(flags).open(real).map_err(failed)?;
    let present = Access::of(&file.metadata().map_err(failed)?);
    let differs = |wanted: Option<u32>, is: u32| wanted.filter(|wanted| *wanted != is);
    let (uid, gid) = (differs(wish.uid, present.uid), differs(wish.gid, present.gid));
    if uid.is_some() || gid.is_some() {
        fchown(&file, uid, gid).map_err(failed)?;
    }
    // After the owner, since a change of the owner takes bits away.
    let mode = wish.mode.unwrap_or(present.mode);
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
    let reached = wish.matches(Access::of(&file.metadata().map_err(failed)?));
    if reached { Ok(()) } else { Err(failed(io::Error::other("the file system does not keep them"))) }
}

impl Access {
    /// Gives it to a file and returns what was reached. What is `required` has to be; the rest would only be kept, and may
    /// be lost: whoever is not root cannot help it.
    fn apply_to(self, file: &fs::File, required: FileAttrs) -> io::Result<Self> {
        let before = Self::of(&file.metadata()?);
        let differs = |wanted: u32, is: u32| Some(wanted).filter(|wanted| *wanted != is);
        let (uid, gid) = (differs(self.uid, before.uid), differs(self.gid, before.gid));
        if (uid.is_some() || gid.is_some())
            && let Err(error) = fchown(file, uid, gid)
        {
            let lost = |asked: Option<u32>, error| {
                if asked.is_none() && is_not_permitted(&error) { Ok(()) } else { Err(error) }
            };
            // Whoever may not give a file to another user may give it to a group of its own.
            if let (Some(_), Some(_)) = (uid, gid) {
                fchown(file, None, gid).or_else(|error| lost(required.gid, error))?;
            }
            lost(if uid.is_some() { required.uid } else { required.gid }, error)?;
        }
        let owned = Self::of(&file.metadata()?);
        let foreign = |bit, is_foreign: bool| if is_foreign && required.mode.is_none() { bit } else { 0 };
        let mode = self.mode & !foreign(SET_USER, owned.uid != self.uid) & !foreign(SET_GROUP, owned.gid != self.gid);
        if mode == owned.mode {
            return Ok(owned);
        }
        // After the owner, since a change of the owner takes bits away.
        match file.set_permissions(fs::Permissions::from_mode(mode)) {
            Err(error) if required.mode.is_some() || !is_not_permitted(&error) => Err(error),
            _ => Ok(Self::of(&file.metadata()?)),
        }
    }
}

/// Whether the kernel or the file system does not let us set an owner or a mode: not ours to give, not kept there at all,
/// or unknown in our user namespace.
fn is_not_permitted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

impl StagedFile {
    /// Takes the destination's place. Call [`sync`] afterwards.
    pub(crate) fn swap(self) -> Result<SwapResult, FileError> {
        let unkept = self.lost_access;
        match self.temporary.persist(&self.real_path) {
            Ok(_) => Ok(SwapResult { in_place: false, lost_access: unkept }),
            Err(failed) if failed.error.raw_os_error() == Some(Errno::EBUSY as i32) => {
                let Self { real_path: real, access, required, .. } = self;
                let written = overwrite(&real, &failed.file, access, required);
                // It is the same file, and keeps its access.
                written.map_err(|source| FileError::new("overwritten", &real, source))?;
                Ok(SwapResult { in_place: true, lost_access: None })
            }
            Err(failed) => Err(FileError::new("replaced", &self.real_path, failed.error)),
        }
    }
}

/// Over the old content rather than after truncating it: if it fails, as much as possible is left of a file.
fn overwrite(real: &Path, from: &NamedTempFile, access: Access, required: FileAttrs) -> io::Result<()> {
    let bytes = fs::read(from.path())?;
    let mut file = fs::File::options().write(true).open(real)?;
    file.write_all(&bytes)?;
    file.set_len(bytes.len() as u64)?;
    access.apply_to(&file, required)?;
    file.sync_all()
}

/// Removes what lies at `destination`, if anything does.
pub(crate) fn remove(destination: &Path, symlinks: SymlinkPolicy) -> Result<(), FileError> {
    match fs::remove_file(resolve_with_policy(destination, symlinks)?) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(FileError::new("removed", destination, error)),
        _ => Ok(()),
    }
}

/// Brings what was renamed or removed in the destination's directory onto the disk.
pub(crate) fn sync_directory(destination: &Path) -> Result<(), FileError> {
    let sync = |real: PathBuf| temp_file::sync_directory(real.parent().unwrap_or(Path::new("/")));
    resolve(destination).and_then(sync).map_err(|source| FileError::new("brought onto the disk", destination, source))
}

/// Removes what an earlier process staged for `destination` before it was killed.
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

/// How the names of temporary files for `name` begin.
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
    fn a_staged_file_cannot_be_matched_and_disappears_if_it_is_not_used() {
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
        let write = |wish| {
            let swapped =
                stage(&destination, b"new", wish, None).expect("it can be staged").swap().expect("and swapped");
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
    fn a_symlink_is_written_through_even_if_it_leads_to_nothing_yet() {
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
    fn a_file_gets_one_sweep_and_its_neighbours_none() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in [".a.conf.portreeve-x1", ".aa.conf.portreeve-x1", "a.conf", ".a.conf.swp"] {
            fs::write(directory.path().join(name), "").expect("a file");
        }
        remove_leftovers(&directory.path().join("a.conf"));
        assert_eq!(names(directory.path()), [".a.conf.swp", ".aa.conf.portreeve-x1", "a.conf"]);
    }

    #[test]
    fn errors_say_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let error =
            stage(&directory.path().join("no/a.conf"), b"", FileAttrs::default(), None).expect_err("no directory");
        assert!(error.to_string().contains("make it"), "{error}");
        let link = directory.path().join("link");
        symlink("nowhere", &link).expect("a link");
        let wish = FileAttrs { symlinks: SymlinkPolicy::Refuse, ..FileAttrs::default() };
        for refused in [read(&link, wish.symlinks).map(|_| ()), stage(&link, b"", wish, None).map(|_| ())] {
            assert!(matches!(refused, Err(FileError::Symlink(_))), "{refused:?}");
        }
        assert!(remove(&link, wish.symlinks).is_err() && names(directory.path()) == ["link"]);
        for odd in [directory.path(), Path::new("/dev/null"), Path::new("/")] {
            assert!(matches!(read(odd, SymlinkPolicy::Follow), Err(FileError::NotAFile(_))), "{odd:?}");
            assert!(matches!(stage(odd, b"", FileAttrs::default(), None), Err(FileError::NotAFile(_))), "{odd:?}");
        }
    }
}
