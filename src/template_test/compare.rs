//! Compares rendered files with expected ones. Pure, except for reading and writing the expected files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::CaseProblem;
use crate::target::unified_diff;

/// Contents by path, relative to `expected`.
pub(super) type FilesByPath = BTreeMap<PathBuf, Vec<u8>>;

/// The path of a destination's expected file, relative to `expected`.
///
/// A destination below `base`, the directory of the configuration file, keeps its path relative to `base`, because that
/// directory may differ between machines.
pub(super) fn expected_path(destination: &Path, base: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    destination.strip_prefix(base).unwrap_or(destination).components().filter(plain).collect()
}

/// All files below a directory; empty if the directory does not exist.
pub(super) fn read_files(directory: &Path) -> io::Result<FilesByPath> {
    let mut files = FilesByPath::new();
    if directory.exists() {
        collect_files(directory, directory, &mut files)?;
    }
    Ok(files)
}

fn collect_files(root: &Path, directory: &Path, files: &mut FilesByPath) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_files(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Each file that differs, is not expected, or is not rendered.
pub(super) fn compare_files(expected: &FilesByPath, rendered: &FilesByPath) -> Vec<CaseProblem> {
    let all: BTreeSet<_> = expected.keys().chain(rendered.keys()).collect();
    let problem = |path: &PathBuf| {
        let (old, new) = (expected.get(path), rendered.get(path));
        if old == new {
            return None;
        }
        let title = |side: &str, content: Option<&Vec<u8>>| match content {
            Some(_) => format!("{side}/{}", path.display()),
            None => "/dev/null".to_owned(),
        };
        let text = |content: Option<&Vec<u8>>| {
            String::from_utf8_lossy(content.map_or(&[][..], |content| content)).into_owned()
        };
        let diff = unified_diff(&text(old), &text(new), &title("expected", old), &title("rendered", new));
        let file = path.clone();
        Some(match (old, new) {
            (None, _) => CaseProblem::NotExpected { file, diff },
            (_, None) => CaseProblem::NotRendered { file, diff },
            _ => CaseProblem::Differs { file, diff },
        })
    };
    all.into_iter().filter_map(problem).collect()
}

/// Makes the expected files equal to `rendered`.
pub(super) fn update_expected(directory: &Path, expected: &FilesByPath, rendered: &FilesByPath) -> io::Result<()> {
    for (path, content) in rendered.iter().filter(|(path, content)| expected.get(*path) != Some(content)) {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, content)?;
    }
    for path in expected.keys().filter(|path| !rendered.contains_key(*path)) {
        fs::remove_file(directory.join(path))?;
        // Also removes parent directories that are now empty.
        let mut above = path.ancestors().skip(1).map(|above| directory.join(above));
        while above.next().is_some_and(|above| fs::remove_dir(above).is_ok()) {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> FilesByPath {
        list.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn every_difference_is_a_problem() {
        let expected = files(&[("a", "1\n"), ("b", "2\n"), ("c", "3\n")]);
        let rendered = files(&[("a", "1\n"), ("b", "4\n"), ("d", "5\n")]);
        let problems = compare_files(&expected, &rendered);
        let [
            CaseProblem::Differs { diff, .. },
            CaseProblem::NotRendered { file: c, .. },
            CaseProblem::NotExpected { file: d, .. },
        ] = &problems[..]
        else {
            panic!("{problems:?}")
        };
        assert_eq!(diff, "--- expected/b\n+++ rendered/b\n@@ -1 +1 @@\n-2\n+4\n");
        assert_eq!((c, d), (&PathBuf::from("c"), &PathBuf::from("d")));
        assert_eq!(compare_files(&expected, &expected), []);
    }

    #[test]
    fn an_empty_file_is_not_the_same_as_none() {
        let problems = compare_files(&files(&[]), &files(&[("a", "")]));
        assert!(matches!(&problems[..], [CaseProblem::NotExpected { .. }]), "{problems:?}");
    }

    #[test]
    fn after_an_update_no_file_differs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("expected");
        let (old, new) = (files(&[("x/y/a", "1"), ("b", "2")]), files(&[("b", "3"), ("etc/c", "4")]));
        update_expected(&root, &FilesByPath::new(), &old).expect("it is ours");
        assert_eq!(read_files(&root).expect("it is ours"), old);
        update_expected(&root, &old, &new).expect("it is ours");
        assert_eq!(read_files(&root).expect("it is ours"), new);
        assert!(!root.join("x").exists());
        update_expected(&root, &new, &FilesByPath::new()).expect("it is ours");
        assert!(!root.exists());
    }

    #[test]
    fn a_destination_has_one_expected_path() {
        for (destination, base, expected) in [
            ("/etc/nginx/a.conf", "", "etc/nginx/a.conf"),
            ("/etc/nginx/a.conf", "/etc/portreeve", "etc/nginx/a.conf"),
            ("../out/a.conf", "", "out/a.conf"),
            ("/home/me/conf/../out/a.conf", "/home/me/conf", "out/a.conf"),
            ("conf/out/a.conf", "conf", "out/a.conf"),
        ] {
            let path = expected_path(Path::new(destination), Path::new(base));
            assert_eq!(path, PathBuf::from(expected), "{destination}");
        }
    }
}
