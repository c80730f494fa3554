//! The way from a path to what it stands for, link by link. Pure: the file system is asked through a function.
//!
//! A file's content can change in more places than its own directory: `web.hbs -> ..data/web.hbs`, `..data ->
//! ..2026_01_02`, as Kubernetes mounts it, changes when `..data` does. Every entry that the way leads through counts.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    path::{Component, Path, PathBuf},
};

/// As the kernel has it: more links than that are a ring.
const MOST_LINKS: usize = 40;

/// What a name in a directory stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathEntry {
    /// A link that says this.
    Link(PathBuf),
    /// Anything else that is there.
    Exists,
    /// Nothing, or nothing that we may see.
    Missing,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResolvedPath {
    /// The entries whose replacement changes what the path stands for: each a directory without links in its path, and
    /// a name in it.
    pub(crate) steps: Vec<(PathBuf, OsString)>,
    /// What the path stands for, without links; as far as it exists, and the first name that does not.
    pub(crate) end: PathBuf,
}

/// Follows an absolute path.
pub(crate) fn resolve_links(path: &Path, look: impl Fn(&Path) -> PathEntry) -> ResolvedPath {
    let (mut steps, mut here, mut links) = (Vec::new(), PathBuf::from("/"), 0);
    let mut ahead: VecDeque<OsString> = names(path).collect();
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let entry = here.join(&name);
        match look(&entry) {
            PathEntry::Link(target) if links < MOST_LINKS => {
                steps.push((here.clone(), name));
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                names(&target).rev().for_each(|name| ahead.push_front(name));
            }
            PathEntry::Exists if !ahead.is_empty() => here = entry,
            PathEntry::Exists | PathEntry::Missing | PathEntry::Link(_) => {
                steps.push((here, name));
                return ResolvedPath { steps, end: entry };
            }
        }
    }
    ResolvedPath { steps, end: here }
}

/// Asks the real file system.
pub(crate) fn read_entry(path: &Path) -> PathEntry {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => std::fs::read_link(path).map_or(PathEntry::Missing, PathEntry::Link),
        Ok(_) => PathEntry::Exists,
        Err(_) => PathEntry::Missing,
    }
}

/// The parts of a path that lead somewhere.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(path, target)`; everything else is there, but for what has `gone` in its path.
    fn way(path: &str, links: &[(&str, &str)]) -> (Vec<String>, String) {
        let way = resolve_links(Path::new(path), |path| {
            if path.to_string_lossy().contains("gone") {
                return PathEntry::Missing;
            }
            let link = links.iter().find(|(from, _)| Path::new(from) == path);
            link.map_or(PathEntry::Exists, |(_, to)| PathEntry::Link(to.into()))
        });
        let steps = way.steps.iter().map(|(directory, name)| format!("{} {}", directory.display(), name.display()));
        (steps.collect(), way.end.display().to_string())
    }

    #[test]
    fn every_entry_on_the_way_counts() {
        type Links = &'static [(&'static str, &'static str)];
        const SWAP: Links = &[("/t/a", "..data/a"), ("/t/..data", "..1")];
        const CHAIN: Links = &[("/etc/x", "/srv/y"), ("/srv/y", "../opt/./z")];
        let cases: [(&str, Links, &[&str], &str); 9] = [
            ("/t/a", &[], &["/t a"], "/t/a"),
            ("/t/./b/../a", &[], &["/t a"], "/t/a"),
            ("/t/a", SWAP, &["/t a", "/t ..data", "/t/..1 a"], "/t/..1/a"),
            ("/etc/x/c", CHAIN, &["/etc x", "/srv y", "/opt/z c"], "/opt/z/c"),
            // A link's `..` is that of the place where it lies, and not the text's.
            ("/etc/x/../c", &[("/etc/x", "/a/b")], &["/etc x", "/a c"], "/a/c"),
            ("/t/gone/b/c", &[], &["/t gone"], "/t/gone"),
            ("/t/a", &[("/t/a", "gone/a")], &["/t a", "/t gone"], "/t/gone"),
            ("/t/..", &[], &[], "/"),
            ("/", &[], &[], "/"),
        ];
        for (path, links, steps, end) in cases {
            let expected = (steps.iter().map(ToString::to_string).collect(), end.to_owned());
            assert_eq!(way(path, links), expected, "{path}");
        }
    }

    #[test]
    fn a_ring_of_links_ends() {
        let (steps, end) = way("/a/x", &[("/a", "/b"), ("/b", "/a")]);
        assert_eq!((steps.len(), end.as_str()), (MOST_LINKS + 1, "/a"));
    }
}
