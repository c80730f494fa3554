//! The files that an nginx configuration consists of, as they would be with a candidate in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs,
    io::{self, Read},
    ops::Range,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::FileTypeExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    build_info::ConfigPaths,
    config_syntax::{self, Directive},
    glob,
    overlay::{CandidateOverlay, OverlayEntry},
};
use crate::sys::regular_file;
use crate::target::{
    Candidate,
    desired_file::{Digest, HashedContent},
};

/// A configuration, from its main file down.
#[derive(Debug, Default)]
pub(super) struct ConfigTree {
    /// The main file and all that it includes, by the path by which nginx opens them.
    pub(super) files: BTreeMap<PathBuf, TreeFile>,
    /// Candidates that no include leads to, but that another directive names (such as a certificate or password file).
    pub(super) named: BTreeMap<PathBuf, Arc<HashedContent>>,
    /// Candidates that no directive names: the check cannot judge them.
    pub(super) unreached: BTreeSet<PathBuf>,
    /// Candidates that differ from the files on the disk.
    pub(super) changed: BTreeSet<PathBuf>,
    /// Files that the candidate removes although a directive names them.
    pub(super) removed: BTreeSet<PathBuf>,
    /// The argument of the last `pid` on the main level.
    pub(super) pid_file: Option<PathBuf>,
    /// The argument of the last `error_log` on the main level.
    pub(super) error_log: Option<PathBuf>,
}

/// One file of the configuration.
#[derive(Debug, Default)]
pub(super) struct TreeFile {
    pub(super) text: Vec<u8>,
    /// The destination of the candidate that this is; `None` for a file on the disk.
    pub(super) candidate: Option<PathBuf>,
    /// What a staged copy has to replace, in the order of the text.
    pub(super) edits: Vec<ConfigEdit>,
}

/// A part of a file, and its replacement in a staged copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigEdit {
    pub(super) span: Range<usize>,
    pub(super) content: EditContent,
}

/// What a staged copy refers to. Paths are those of the originals.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EditContent {
    /// Replaces one `include`: all files that it includes. Empty for a pattern without a match.
    Includes(Vec<PathBuf>),
    /// Replaces an argument: a candidate, or a file that the candidate removes.
    Named(PathBuf),
    /// Replaces the argument of `pid`.
    PidFile,
}

impl ConfigTree {
    /// Reads the configuration. Without a candidate, only what concerns the main level is read. An error below the main
    /// file is left for `nginx -t` to report.
    pub(super) fn read(paths: &ConfigPaths, candidate: &Candidate) -> io::Result<Self> {
        let overlay = CandidateOverlay::new(candidate)?;
        let unreached = candidate.files.keys().cloned().collect();
        let tree = Self { unreached, changed: candidate.changed.clone(), ..Self::default() };
        let mut reader = TreeReader { paths, overlay, tree, blocking_error: None };
        let main_file = reader.visit_file(&paths.conf, 0);
        match reader.blocking_error {
            Some(error) => Err(error),
            None => main_file.map(|()| reader.tree),
        }
    }

    /// Identifies all that was read.
    pub(super) fn digest(&self) -> Digest {
        let files = self.files.iter().flat_map(|(path, file)| [path.as_os_str().as_bytes(), &file.text]);
        let named = self.named.iter().flat_map(|(path, text)| [path.as_os_str().as_bytes(), text.bytes()]);
        Digest::of(&files.chain(named).collect::<Vec<_>>())
    }
}

struct TreeReader<'a> {
    paths: &'a ConfigPaths,
    overlay: CandidateOverlay<'a>,
    tree: ConfigTree,
    /// Why the configuration cannot be judged although its main file can be read.
    blocking_error: Option<io::Error>,
}

impl<'a> TreeReader<'a> {
    fn visit_file(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let (text, candidate) = match self.overlay.entry(path) {
            Some(OverlayEntry::Candidate(destination, candidate)) => {
                self.tree.unreached.remove(destination);
                (candidate.bytes().to_vec(), Some(destination.to_owned()))
            }
            Some(OverlayEntry::Removed) => return Err(io::ErrorKind::NotFound.into()),
            None => (self.read_file(path)?, None),
        };
        let directives = config_syntax::parse(&text);
        // Before its includes are visited: `nginx -t` reports a file that includes itself.
        self.tree.files.insert(path.to_owned(), TreeFile { text, candidate, edits: Vec::new() });
        let edits = directives.iter().flat_map(|directive| self.visit_directive(directive, depth)).collect();
        if let Some(file) = self.tree.files.get_mut(path) {
            file.edits = edits;
        }
        Ok(())
    }

    /// Never blocks on a device or a socket: these are left for `nginx -t`, which has a time limit.
    fn read_file(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        if fs::metadata(path)?.file_type().is_fifo() {
            // The master would block as well, at the next reload.
            let pipe = path.display();
            self.blocking_error.get_or_insert(io::Error::other(format!(
                "{pipe} is a pipe (FIFO), and nginx would wait for ever for somebody to write to it; remove it"
            )));
        }
        let mut text = Vec::new();
        regular_file::open(path)?.read_to_end(&mut text)?;
        Ok(text)
    }

    /// Visits the files that a directive names. Returns the edits for a staged copy.
    fn visit_directive(&mut self, directive: &Directive, depth: usize) -> Vec<ConfigEdit> {
        let depth = depth + directive.depth;
        match directive.argument() {
            Some(_) if directive.is("include") && depth > 0 && self.overlay.is_empty() => return Vec::new(),
            Some(word) if directive.is("include") => {
                let includes = self.expand_include(&word.value, depth);
                if includes.is_empty() && !self.overlay.removes_files() {
                    // nginx finds no file either, or reports that.
                    return Vec::new();
                }
                return vec![ConfigEdit { span: directive.span(), content: EditContent::Includes(includes) }];
            }
            Some(word) if directive.is("pid") && depth == 0 => {
                self.tree.pid_file = Some(self.paths.prefix.join(OsStr::from_bytes(&word.value)));
                return vec![ConfigEdit { span: word.span.clone(), content: EditContent::PidFile }];
            }
            _ => {}
        }
        if directive.is("error_log") && depth == 0 {
            let log = directive.words.get(1).map(|word| self.paths.prefix.join(OsStr::from_bytes(&word.value)));
            self.tree.error_log = log.or(self.tree.error_log.take());
        }
        let mut edits = Vec::new();
        for word in &directive.words[1..] {
            let original = match self.named_entry(Path::new(OsStr::from_bytes(&word.value))) {
                Some((_, OverlayEntry::Candidate(destination, candidate))) => {
                    self.tree.unreached.remove(destination);
                    self.tree.named.insert(destination.to_owned(), Arc::clone(candidate));
                    destination.to_owned()
                }
                Some((path, OverlayEntry::Removed)) => {
                    self.tree.removed.insert(path.clone());
                    path
                }
                None => continue,
            };
            edits.push(ConfigEdit { span: word.span.clone(), content: EditContent::Named(original) });
        }
        edits
    }

    fn expand_include(&mut self, argument: &[u8], depth: usize) -> Vec<PathBuf> {
        let pattern = self.paths.config_dir().join(OsStr::from_bytes(argument)).into_os_string().into_vec();
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let paths = if glob::is_pattern(&pattern) {
            let names = |directory: &[u8]| {
                self.overlay.names(&path(directory)).unwrap_or_else(|error| {
                    self.blocking_error.get_or_insert(error);
                    Vec::new()
                })
            };
            glob::expand(&pattern, names, |bytes| self.overlay.exists(&path(bytes)))
        } else {
            vec![pattern]
        };
        let mut paths: Vec<_> = paths.iter().map(|bytes| path(bytes)).collect();
        paths.retain(|path| {
            let is_visited = self.tree.files.contains_key(path) || self.visit_file(path, depth).is_ok();
            // A pattern does not match a removed file; an include can only name it in full.
            let is_removed = self.overlay.removes_files()
                && matches!(self.overlay.entry(path), Some(OverlayEntry::Removed))
                && self.tree.removed.insert(path.clone());
            is_visited || is_removed || self.overlay.exists(path)
        });
        paths
    }

    /// The overlay's entry that an argument names, and its path. Certificates are relative to the configuration's
    /// directory, other files to the prefix.
    fn named_entry(&self, argument: &Path) -> Option<(PathBuf, OverlayEntry<'a>)> {
        // Most arguments are not paths: comparing the name first avoids most accesses to the disk.
        self.overlay.has_name_of(argument).then_some(())?;
        let paths = [self.paths.config_dir().join(argument), self.paths.prefix.join(argument)];
        paths.into_iter().find_map(|path| self.overlay.entry(&path).map(|entry| (path, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TestConfig(tempfile::TempDir);

    impl TestConfig {
        fn new(files: &[(&str, &str)]) -> Self {
            let config = Self(tempfile::tempdir().expect("a directory"));
            for (path, text) in files {
                let path = config.path(path);
                fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
                fs::write(path, text).expect("a file");
            }
            config
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn read(&self, candidates: &[(&str, &str)]) -> ConfigTree {
            self.read_without(&[], candidates)
        }

        fn read_without(&self, removed: &[&str], candidates: &[(&str, &str)]) -> ConfigTree {
            let paths = ConfigPaths { prefix: self.path("prefix"), conf: self.path("etc/nginx.conf") };
            let rendered = |(path, text): &(&str, &str)| (self.path(path), Arc::new(HashedContent::new(*text)));
            let files: BTreeMap<_, _> = candidates.iter().map(rendered).collect();
            let removed = removed.iter().map(|path| self.path(path)).collect();
            ConfigTree::read(&paths, &Candidate { changed: files.keys().cloned().collect(), files, removed })
                .expect("it can be read")
        }

        fn short(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
            let strip = |path: PathBuf| path.strip_prefix(self.0.path()).expect("below").display().to_string();
            paths.into_iter().map(strip).collect()
        }
    }

    #[test]
    fn includes_are_followed_as_nginx_follows_them() {
        let config = TestConfig::new(&[
            ("etc/nginx.conf", "pid run/n.pid; error_log e.log warn; http { include conf.d/*.conf; include mime; }"),
            ("etc/conf.d/a.conf", "include snippets/x; include missing; pid no;"),
            ("etc/conf.d/.hidden.conf", "include never;"),
            ("etc/snippets/x", "include snippets/x;"),
            ("etc/mime", "types {}"),
        ]);
        let tree = config.read(&[("etc/conf.d/b.conf", "include mime;"), ("etc/conf.d/c.txt", "")]);
        let reached = ["etc/conf.d/a.conf", "etc/conf.d/b.conf", "etc/mime", "etc/nginx.conf", "etc/snippets/x"];
        assert_eq!(config.short(tree.files.keys().cloned()), reached);
        assert_eq!(config.short(tree.unreached.clone()), ["etc/conf.d/c.txt"]);
        assert_eq!(config.short(tree.pid_file.clone()), ["prefix/run/n.pid"]);
        assert_eq!(config.short(tree.error_log.clone()), ["prefix/e.log"]);
        let EditContent::Includes(files) = &tree.files[&config.path("etc/nginx.conf")].edits[1].content else {
            panic!("{tree:?}")
        };
        assert_eq!(config.short(files.clone()), ["etc/conf.d/a.conf", "etc/conf.d/b.conf"]);
    }

    #[test]
    fn a_candidate_is_recognised_behind_symlinks_and_may_be_the_main_file() {
        let config = TestConfig::new(&[("etc/sites/x", "old"), ("etc/nginx.conf", "include enabled/*;")]);
        fs::create_dir(config.path("etc/enabled")).expect("a directory");
        std::os::unix::fs::symlink("../sites/x", config.path("etc/enabled/x")).expect("a link");
        let tree = config.read(&[("etc/sites/x", "new")]);
        assert_eq!(tree.files[&config.path("etc/enabled/x")].text, b"new");
        assert!(tree.unreached.is_empty());
        let tree = config.read(&[("etc/nginx.conf", "include sites/*;")]);
        assert_eq!(config.short(tree.files.into_keys()), ["etc/nginx.conf", "etc/sites/x"]);
    }

    #[test]
    fn a_candidate_replaces_the_file_that_another_directive_names() {
        let config = TestConfig::new(&[
            ("etc/nginx.conf", "ssl_certificate tls/a.pem; auth_basic_user_file pass; index a.pem;"),
            ("etc/tls/a.pem", "old"),
            ("prefix/pass", ""),
        ]);
        let tree = config.read(&[("etc/tls/a.pem", "new"), ("prefix/pass", "new")]);
        assert_eq!(config.short(tree.named.into_keys()), ["etc/tls/a.pem", "prefix/pass"]);
        let edits = &tree.files[&config.path("etc/nginx.conf")].edits;
        assert_eq!(edits.len(), 2);
        assert_eq!(edits[0], ConfigEdit { span: 16..25, content: EditContent::Named(config.path("etc/tls/a.pem")) });
    }

    #[test]
    fn a_removed_file_is_not_included() {
        let config = TestConfig::new(&[
            ("etc/nginx.conf", "include sites/*/*.conf; include sites/a/x.conf; ssl_certificate tls/a.pem;"),
            ("etc/sites/a/x.conf", ""),
            ("etc/sites/b/y.conf", ""),
            ("etc/tls/a.pem", ""),
        ]);
        let tree = config.read_without(&["etc/sites/a/x.conf", "etc/tls/a.pem"], &[("etc/sites/new/z.conf", "")]);
        assert_eq!(
            config.short(tree.files.keys().cloned()),
            ["etc/nginx.conf", "etc/sites/b/y.conf", "etc/sites/new/z.conf"]
        );
        let edits = &tree.files[&config.path("etc/nginx.conf")].edits;
        let paths = |paths: &[&str]| paths.iter().map(|path| config.path(path)).collect::<Vec<_>>();
        assert_eq!(edits[0].content, EditContent::Includes(paths(&["etc/sites/b/y.conf", "etc/sites/new/z.conf"])));
        // Named in full: the copy names a file that does not exist, so that nginx reports it as it would.
        assert_eq!(edits[1].content, EditContent::Includes(paths(&["etc/sites/a/x.conf"])));
        assert_eq!(edits[2].content, EditContent::Named(config.path("etc/tls/a.pem")));
        assert_eq!(config.short(tree.removed.clone()), ["etc/sites/a/x.conf", "etc/tls/a.pem"]);
        let tree = config.read_without(&["etc/sites/a/x.conf", "etc/sites/b/y.conf"], &[]);
        assert_eq!(tree.files[&config.path("etc/nginx.conf")].edits[0].content, EditContent::Includes(vec![]));
    }

    #[test]
    fn the_digest_covers_candidates_and_files_on_the_disk() {
        let config = TestConfig::new(&[("etc/nginx.conf", "include a;"), ("etc/a", "1")]);
        let before = config.read(&[("etc/a", "2")]).digest();
        assert_eq!(before, config.read(&[("etc/a", "2")]).digest());
        assert_ne!(before, config.read(&[("etc/a", "3")]).digest());
        fs::write(config.path("etc/nginx.conf"), "include a; ").expect("a file");
        assert_ne!(before, config.read(&[("etc/a", "2")]).digest());
    }
}
