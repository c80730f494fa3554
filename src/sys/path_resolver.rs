//! Resolves symlinks in paths.

use std::{
    cell::RefCell,
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use nix::errno::Errno;

use crate::sys::regular_file::is_absent;

/// The largest number of symlinks in one path, as in the kernel.
const MAX_SYMLINKS: usize = 40;

/// Returns the absolute path without symlinks and `..`. Neither the file nor its directory need exist.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut hops = MAX_SYMLINKS;
    resolve_components(&std::path::absolute(path)?, &mut hops)
}

/// Resolves many paths, and each directory only once. Short-lived: it does not notice later changes of symlinks.
#[derive(Debug, Default)]
pub(crate) struct PathResolver {
    resolved_directories: RefCell<HashMap<PathBuf, PathBuf>>,
}

impl PathResolver {
    /// The same as [`resolve()`].
    pub(crate) fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let path = std::path::absolute(path)?;
        let Some((directory, Component::Normal(name))) = path.parent().zip(path.components().next_back()) else {
            return resolve(&path);
        };
        let known = self.resolved_directories.borrow().get(directory).cloned();
        let mut hops = MAX_SYMLINKS;
        let real = match known {
            Some(real) => real,
            None => {
                let real = resolve_components(directory, &mut hops)?;
                self.resolved_directories.borrow_mut().insert(directory.to_owned(), real.clone());
                real
            }
        };
        resolve_name(real, name, &mut hops)
    }
}

fn resolve_components(path: &Path, hops: &mut usize) -> io::Result<PathBuf> {
    let mut real = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => real = resolve_name(real, name, hops)?,
            Component::ParentDir => drop(real.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(real)
}

/// Resolves a name in a directory.
fn resolve_name(directory: PathBuf, name: &OsStr, hops: &mut usize) -> io::Result<PathBuf> {
    let next = directory.join(name);
    match fs::read_link(&next) {
        Ok(link) => {
            *hops = hops.checked_sub(1).ok_or(Errno::ELOOP)?;
            resolve_components(&directory.join(link), hops)
        }
        // It is not a symlink, or does not exist.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput || is_absent(&error) => Ok(next),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_and_parents_are_resolved_whether_or_not_the_path_exists() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = fs::canonicalize(directory.path()).expect("it is there");
        fs::create_dir(root.join("real")).expect("a directory");
        for (link, to) in [("link", "real"), ("chain", "link/../link/x"), ("gone", "no/where"), ("loop", "loop")] {
            symlink(to, root.join(link)).expect("a link");
        }
        let resolver = PathResolver::default();
        let cases = [
            ("real/a", "real/a"),
            ("link/a", "real/a"),
            ("link/../a", "a"),
            ("chain", "real/x"),
            ("gone", "no/where"),
            ("no/../no/./a", "no/a"),
            ("no/where/a", "no/where/a"),
        ];
        for (path, real) in cases {
            assert_eq!(resolve(&root.join(path)).expect(path), root.join(real), "{path}");
            // The first and the second time that its directory is resolved.
            for _ in 0..2 {
                assert_eq!(resolver.resolve(&root.join(path)).expect(path), root.join(real), "{path}");
            }
        }
        assert_eq!(resolve(&root.join("loop")).expect_err("it has no end").raw_os_error(), Some(Errno::ELOOP as i32));
        assert_eq!(resolve(Path::new("/../..")).expect("the root"), Path::new("/"));
    }
}
