//! A private copy of a configuration, for `nginx -t` to read in the place of the live one.
//!
//! The main file's directory is mirrored with symlinks, so that relative names of certificates and the like lead where
//! they always lead. Each file that would differ from the disk is copied, and so is each that leads to one, with its
//! `include` spelled out: it names the other copies. Lines keep their numbers.

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
    config_tree::{ConfigEdit, ConfigFile, ConfigTree, EditContent},
    glob,
};

/// Lives as long as this value.
#[derive(Debug)]
pub(super) struct StagedConfig {
    directory: TempDir,
    /// The copy of the main file.
    pub(super) main_copy: PathBuf,
    /// Where the copy's `pid` points, if it has one.
    pub(super) pid_file: PathBuf,
    /// Copy and original.
    copies: BTreeMap<PathBuf, PathBuf>,
}

impl StagedConfig {
    /// Writes the copies into `directory`.
    pub(super) fn new(place: &ConfigPaths, tree: &ConfigTree, directory: TempDir) -> io::Result<Self> {
        let root = directory.path().join("root");
        let real = fs::canonicalize(place.config_dir())?;
        let mirrored = path_below(&root, &real);
        fs::create_dir_all(&mirrored)?;
        symlink_entries(&real, &mirrored)?;
        if tree.files.values().any(|node| contains(&node.text, b"../")) {
            for directory in real.ancestors().skip(1) {
                symlink_entries(directory, &path_below(&root, directory))?;
            }
        }
        let main = mirrored.join(place.conf.file_name().unwrap_or_default());
        if fs::symlink_metadata(&main).is_ok() {
            fs::remove_file(&main)?;
        }
        let mut names = BTreeMap::from([(place.conf.as_path(), main.clone())]);
        // Most files of a large configuration are as they were: they stand for themselves.
        let differs =
            |node: &ConfigFile| node.candidate.as_ref().is_some_and(|destination| tree.changed.contains(destination));
        let nodes = tree.files.iter().filter(|(_, node)| !node.edits.is_empty() || differs(node));
        let named = tree.named.keys().filter(|destination| tree.changed.contains(*destination));
        let copied = nodes.map(|(path, _)| path).chain(named);
        // What is to be gone gets a name too, and no copy.
        for (number, path) in copied.chain(&tree.removed).enumerate() {
            names.entry(path).or_insert_with(|| directory.path().join(format!("{number:06}")));
        }
        let pid_file = directory.path().join("pid");
        let nothing = directory.path().join("none");
        for (path, node) in &tree.files {
            if let Some(copy) = names.get(path.as_path()) {
                fs::write(copy, render_copy(node, &names, &pid_file, &nothing))?;
            }
        }
        for (path, candidate) in &tree.named {
            if let Some(copy) = names.get(path.as_path()) {
                fs::write(copy, candidate.bytes())?;
            }
        }
        let copies = names.into_iter().map(|(real, copy)| (copy, real.to_owned()));
        let copies = copies.chain([(mirrored, place.config_dir().to_owned()), (root, PathBuf::new())]).collect();
        Ok(Self { directory, main_copy: main, pid_file, copies })
    }

    /// Puts the names of the originals into what nginx says about the copies.
    pub(super) fn restore_paths(&self, output: &str) -> String {
        // The longest first: backwards, since a path comes before those below it.
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

/// Puts a symlink to each entry of `from` into `to`, except to those that are there.
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

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

/// `nothing`: a path at which there is nothing.
fn render_copy(node: &ConfigFile, names: &BTreeMap<&Path, PathBuf>, pid_file: &Path, nothing: &Path) -> Vec<u8> {
    let copy = |path: &Path| names.get(path).map_or_else(|| path.to_owned(), Clone::clone);
    let mut text = Vec::with_capacity(node.text.len());
    let mut at = 0;
    for ConfigEdit { span, content: to } in &node.edits {
        text.extend(&node.text[at..span.start]);
        match to {
            EditContent::PidFile => text.extend(quoted_path(pid_file)),
            EditContent::Named(path) => text.extend(quoted_path(&copy(path))),
            EditContent::Includes(paths) if paths.is_empty() => {
                let mut pattern = glob::escape(nothing.as_os_str().as_bytes());
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
    text.extend(&node.text[at..]);
    text
}

/// A path as an argument.
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
        let rendered = render_copy(
            &ConfigFile { text, edits, candidate: None },
            &names,
            Path::new("/s/pid"),
            Path::new("/s/none"),
        );
        let wanted = "pid \"/s/pid\";\ninclude \"/s/1\"; include \"/b\\\\[2\";\ninclude \"/s/none*\";\n# end";
        assert_eq!(String::from_utf8(rendered).expect("ASCII"), wanted);
    }
}
