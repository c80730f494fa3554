//! A private copy of a configuration, which `nginx -t` reads instead of the real one.
//!
//! The main file's directory is mirrored with symlinks, so that relative paths of certificates and similar files stay
//! valid. Each file that differs from the disk is copied, and so is each file that includes a copied one; its `include`
//! then names the copies. Line numbers stay the same.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    build_info::ConfigPaths,
    config_syntax,
    config_tree::{ConfigEdit, ConfigTree, EditContent, TreeFile},
    glob,
};

/// The copy. Dropping it removes the files.
#[derive(Debug)]
pub(super) struct StagedConfig {
    directory: TempDir,
    /// The copy of the main file.
    pub(super) main_copy: PathBuf,
    /// The argument of `pid` in the copy.
    pub(super) pid_file: PathBuf,
    /// The original of each copy.
    copies: BTreeMap<PathBuf, PathBuf>,
}

impl StagedConfig {
    /// Writes the copies into `directory`.
    pub(super) fn new(paths: &ConfigPaths, tree: &ConfigTree, directory: TempDir) -> io::Result<Self> {
        let root = directory.path().join("root");
        let real = fs::canonicalize(paths.config_dir())?;
        let mirrored = path_below(&root, &real);
        fs::create_dir_all(&mirrored)?;
        symlink_entries(&real, &mirrored)?;
        if tree.files.values().any(|file| contains(&file.text, b"../")) {
            for directory in real.ancestors().skip(1) {
                symlink_entries(directory, &path_below(&root, directory))?;
            }
        }
        let main = mirrored.join(paths.conf.file_name().unwrap_or_default());
        if fs::symlink_metadata(&main).is_ok() {
            fs::remove_file(&main)?;
        }
        let mut names = BTreeMap::from([(paths.conf.as_path(), main.clone())]);
        // Unchanged files are not copied: a large configuration has many of them.
        let differs =
            |file: &TreeFile| file.candidate.as_ref().is_some_and(|destination| tree.changed.contains(destination));
        let files = tree.files.iter().filter(|(_, file)| !file.edits.is_empty() || differs(file));
        let named = tree.named.keys().filter(|destination| tree.changed.contains(*destination));
        let copied = files.map(|(path, _)| path).chain(named);
        // A removed file gets a name too, but no copy.
        for (number, path) in copied.chain(&tree.removed).enumerate() {
            names.entry(path).or_insert_with(|| directory.path().join(format!("{number:06}")));
        }
        let pid_file = directory.path().join("pid");
        let missing = directory.path().join("none");
        for (path, file) in &tree.files {
            if let Some(copy) = names.get(path.as_path()) {
                fs::write(copy, render_copy(file, &names, &pid_file, &missing))?;
            }
        }
        for (path, candidate) in &tree.named {
            if let Some(copy) = names.get(path.as_path()) {
                fs::write(copy, candidate.bytes())?;
            }
        }
        let copies = names.into_iter().map(|(real, copy)| (copy, real.to_owned()));
        let copies = copies.chain([(mirrored, paths.config_dir().to_owned()), (root, PathBuf::new())]).collect();
        Ok(Self { directory, main_copy: main, pid_file, copies })
    }

    /// Replaces the paths of copies in the output of nginx by those of the originals.
    pub(super) fn restore_paths(&self, output: &str) -> String {
        // In reverse order, since a path sorts before those below it, and the longest has to be replaced first.
        let replace = |output: String, (copy, real): (&PathBuf, &PathBuf)| {
            output.replace(&*copy.to_string_lossy(), &real.to_string_lossy())
        };
        if output.contains(&*self.directory.path().to_string_lossy()) {
            self.copies.iter().rev().fold(output.to_owned(), replace)
        } else {
            output.to_owned()
        }
    }
}

fn path_below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Creates a symlink in `to` for each entry of `from`, unless the name exists.
fn symlink_entries(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match symlink(entry.path(), to.join(entry.file_name())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `missing`: a path that does not exist.
fn render_copy(file: &TreeFile, names: &BTreeMap<&Path, PathBuf>, pid_file: &Path, missing: &Path) -> Vec<u8> {
    let copy = |path: &Path| names.get(path).map_or_else(|| path.to_owned(), Clone::clone);
    let mut text = Vec::with_capacity(file.text.len());
    let mut at = 0;
    for ConfigEdit { span, content } in &file.edits {
        text.extend(&file.text[at..span.start]);
        match content {
            EditContent::PidFile => text.extend(quoted_path(pid_file)),
            EditContent::Named(path) => text.extend(quoted_path(&copy(path))),
            EditContent::Includes(paths) if paths.is_empty() => {
                let mut pattern = glob::escape(missing.as_os_str().as_bytes());
                pattern.push(b'*');
                text.extend([b"include ".as_slice(), &config_syntax::quote(&pattern)].concat());
            }
            EditContent::Includes(paths) => {
                let includes = paths.iter().map(|path| {
                    let pattern = glob::escape(copy(path).as_os_str().as_bytes());
                    [b"include ".as_slice(), &config_syntax::quote(&pattern)].concat()
                });
                text.extend(includes.collect::<Vec<_>>().join(b"; ".as_slice()));
            }
        }
        at = span.end;
    }
    text.extend(&file.text[at..]);
    text
}

/// A path as an argument of a directive.
pub(super) fn quoted_path(path: &Path) -> Vec<u8> {
    config_syntax::quote(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_keep_everything_else_and_the_lines() {
        let text = b"pid a;\ninclude b*;\ninclude c*;\n# end".to_vec();
        let edits = vec![
            ConfigEdit { span: 4..5, content: EditContent::PidFile },
            ConfigEdit { span: 7..17, content: EditContent::Includes(vec!["/b1".into(), "/b[2".into()]) },
            ConfigEdit { span: 19..29, content: EditContent::Includes(vec![]) },
        ];
        let names = BTreeMap::from([(Path::new("/b1"), PathBuf::from("/s/1"))]);
        let rendered =
            render_copy(&TreeFile { text, edits, candidate: None }, &names, Path::new("/s/pid"), Path::new("/s/none"));
        let wanted = "pid \"/s/pid\";\ninclude \"/s/1\"; include \"/b\\\\[2\";\ninclude \"/s/none*\";\n# end";
        assert_eq!(String::from_utf8(rendered).expect("ASCII"), wanted);
    }
}
