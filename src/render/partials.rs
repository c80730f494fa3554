//! The partials of a directory: each `*.hbs` below it, named by its path without the extension.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{TemplateError, compiled_file::CompiledFile, inclusions, template_file};

/// The files that templates can include by name, compiled once for all templates.
#[derive(Clone, Debug, Default)]
pub struct Partials(BTreeMap<String, Arc<CompiledFile>>);

/// Why the partials of a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartialsError {
    /// A file or directory cannot be read.
    #[error("cannot read the partials at {}", path.display())]
    Read {
        /// The directory or the file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A partial does not compile.
    #[error("a partial is wrong")]
    Invalid(#[from] TemplateError),
}

impl Partials {
    /// Reads and compiles a directory. Follows symlinks, and skips hidden entries, such as `..data` of a Kubernetes mount
    /// and the temporary files of editors.
    ///
    /// # Errors
    /// A file cannot be read or does not compile, or partials include each other in a cycle.
    pub fn read(directory: &Path) -> Result<Self, PartialsError> {
        let mut files = BTreeMap::new();
        find_files(directory, "", &mut Vec::new(), &mut files)?;
        let read = |(name, path): (String, PathBuf)| {
            let text = template_file::read_template(&path).map_err(|source| unreadable(&path, source))?;
            Ok((name, path.display().to_string(), text))
        };
        Self::from_files(files.into_iter().map(read).collect::<Result<Vec<_>, PartialsError>>()?)
    }

    /// Compiles partials, each given as name, file (its name in errors) and text.
    pub(super) fn from_files(files: impl IntoIterator<Item = (String, String, String)>) -> Result<Self, PartialsError> {
        Ok(Self::from_texts(files)?)
    }

    /// Compiles partials, as [`from_files`](Self::from_files).
    pub(super) fn from_texts(files: impl IntoIterator<Item = (String, String, String)>) -> Result<Self, TemplateError> {
        let compile = |(name, file, text)| Ok((name, Arc::new(CompiledFile::compile(file, text)?)));
        let partials = files.into_iter().map(compile).collect::<Result<_, TemplateError>>().map(Self)?;
        inclusions::check_cycles(&partials)?;
        Ok(partials)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<CompiledFile>> {
        self.0.get(name)
    }

    /// All partials, in the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &CompiledFile)> {
        self.0.iter().map(|(name, file)| (name.as_str(), file.as_ref()))
    }
}

/// Adds the files below a directory by name. `above`: the real paths of the enclosing directories, to end symlink cycles.
fn find_files(
    directory: &Path,
    prefix: &str,
    above: &mut Vec<PathBuf>,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), PartialsError> {
    let real = fs::canonicalize(directory).map_err(|source| unreadable(directory, source))?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    for entry in fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let path = entry.map_err(|source| unreadable(directory, source))?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
            continue;
        };
        // Editors and mounts create and remove entries at any time, so an entry may be gone.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => find_files(&path, &format!("{prefix}{file}/"), above, files)?,
            Ok(metadata) if metadata.is_file() => {
                if let Some(name) = file.strip_suffix(".hbs") {
                    files.insert(format!("{prefix}{name}"), path);
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(unreadable(&path, source)),
        }
    }
    above.pop();
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> PartialsError {
    PartialsError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_named_by_their_path_and_hidden_ones_are_skipped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("it has a parent")).expect("it can be made");
            fs::write(path, "x").expect("it can be written");
        };
        for path in ["a.hbs", "nginx/server.conf.hbs", "nginx/notes.txt", ".a.hbs.swp", ".hidden/b.hbs", "a.hbs~"] {
            write(path);
        }
        // As Kubernetes mounts a ConfigMap.
        write("..2024/mounted.hbs");
        symlink("..2024", folder.path().join("..data")).expect("a link");
        symlink("..data/mounted.hbs", folder.path().join("mounted.hbs")).expect("a link");
        symlink("gone", folder.path().join("dangling.hbs")).expect("a link");
        symlink("..", folder.path().join("nginx/ring")).expect("a link");
        let partials = Partials::read(folder.path()).expect("it can be read");
        assert_eq!(partials.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "mounted", "nginx/server.conf"]);
        let error = Partials::read(&folder.path().join("nowhere")).expect_err("it does not exist");
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
