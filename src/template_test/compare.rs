//! What was rendered, beside what is expected. Pure, but for reading and writing the expected files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::Problem;
use crate::target::unified;

/// Contents by path; the paths are those below `expected`.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Where the expected file of a destination lies below `expected`.
pub(super) fn place(destination: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    destination.components().filter(plain).collect()
}

/// All files below a directory; none if there is no such directory.
pub(super) fn read(directory: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    if directory.exists() {
        collect(directory, directory, &mut files)?;
    }
    Ok(files)
}

fn collect(root: &Path, directory: &Path, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Each file that differs, is not expected, or is not rendered.
pub(super) fn compare(expected: &Files, rendered: &Files) -> Vec<Problem> {
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
        let diff = unified(&text(old), &text(new), &title("expected", old), &title("rendered", new));
        let file = path.clone();
        Some(match (old, new) {
            (None, _) => Problem::NotExpected { file, diff },
            (_, None) => Problem::NotRendered { file, diff },
            _ => Problem::Differs { file, diff },
        })
    };
    all.into_iter().filter_map(problem).collect()
}

/// Makes `rendered` what is expected: writes what differs, and removes the rest.
pub(super) fn update(directory: &Path, expected: &Files, rendered: &Files) -> io::Result<()> {
    for (path, content) in rendered.iter().filter(|(path, content)| expected.get(*path) != Some(content)) {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, content)?;
    }
    for path in expected.keys().filter(|path| !rendered.contains_key(*path)) {
        fs::remove_file(directory.join(path))?;
        // Directories that have become empty go as well; the first that has not ends it.
        let mut above = path.ancestors().skip(1).map(|above| directory.join(above));
        while above.next().is_some_and(|above| fs::remove_dir(above).is_ok()) {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn every_difference_is_a_problem() {
        let expected = files(&[("a", "1\n"), ("b", "2\n"), ("c", "3\n")]);
        let rendered = files(&[("a", "1\n"), ("b", "4\n"), ("d", "5\n")]);
        let problems = compare(&expected, &rendered);
        let [Problem::Differs { diff, .. }, Problem::NotRendered { file: c, .. }, Problem::NotExpected { file: d, .. }] =
            &problems[..]
        else {
            panic!("{problems:?}")
        };
        assert_eq!(diff, "--- expected/b\n+++ rendered/b\n@@ -1 +1 @@\n-2\n+4\n");
        assert_eq!((c, d), (&PathBuf::from("c"), &PathBuf::from("d")));
        assert_eq!(compare(&expected, &expected), []);
    }

    #[test]
    fn an_empty_file_is_not_the_same_as_none() {
        let problems = compare(&files(&[]), &files(&[("a", "")]));
        assert!(matches!(&problems[..], [Problem::NotExpected { .. }]), "{problems:?}");
    }

    #[test]
    fn after_an_update_nothing_differs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("expected");
        let (old, new) = (files(&[("x/y/a", "1"), ("b", "2")]), files(&[("b", "3"), ("etc/c", "4")]));
        update(&root, &Files::new(), &old).expect("it is ours");
        assert_eq!(read(&root).expect("it is ours"), old);
        update(&root, &old, &new).expect("it is ours");
        assert_eq!(read(&root).expect("it is ours"), new);
        assert!(!root.join("x").exists());
        update(&root, &new, &Files::new()).expect("it is ours");
        assert!(!root.exists());
    }

    #[test]
    fn a_destination_has_one_place() {
        assert_eq!(place(Path::new("/etc/nginx/a.conf")), PathBuf::from("etc/nginx/a.conf"));
        assert_eq!(place(Path::new("../out/a.conf")), PathBuf::from("out/a.conf"));
    }
}
