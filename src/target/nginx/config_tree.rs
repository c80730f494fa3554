//! The files that an nginx configuration is made of, as they would be with the candidates in place.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
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
};
use crate::target::{
    Candidate,
    desired_file::{Digest, HashedContent},
    files::{self, PathResolver},
};

/// A configuration, from its main file down.
#[derive(Debug)]
pub(super) struct ConfigTree {
    /// By the path by which nginx comes to them. The main file is among them.
    pub(super) files: BTreeMap<PathBuf, ConfigFile>,
    /// Candidates that no include reaches but another directive names (certificates, password files and the like).
    pub(super) named: BTreeMap<PathBuf, Arc<HashedContent>>,
    /// Candidates that nothing leads to: the check cannot say anything about them.
    pub(super) unreached: BTreeSet<PathBuf>,
    /// Candidates that differ from the files on the disk.
    pub(super) changed: BTreeSet<PathBuf>,
    /// Files that are to be gone, and that something still names.
    pub(super) removed: BTreeSet<PathBuf>,
    /// The last `pid` of the main level.
    pub(super) pid_file: Option<PathBuf>,
    /// The last `error_log` of the main level.
    pub(super) error_log: Option<PathBuf>,
    /// Why nothing can be said about the configuration, although its main file can be read.
    blocking_error: Option<io::Error>,
}

/// One file.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub(super) text: Vec<u8>,
    /// The destination of the candidate whose text this is; `None` for a file on the disk.
    pub(super) candidate: Option<PathBuf>,
    /// What has to read differently in a staged copy, in its order.
    pub(super) edits: Vec<ConfigEdit>,
}

/// A place in a file, and what has to stand there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigEdit {
    pub(super) span: Range<usize>,
    pub(super) content: EditContent,
}

/// What a staged copy refers to. Paths are those of the real files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EditContent {
    /// In the place of one `include`: all that it leads to. Nothing: a pattern that matches nothing.
    Includes(Vec<PathBuf>),
    /// In the place of an argument: a candidate, or a file that is to be gone.
    Named(PathBuf),
    /// In the place of the argument of `pid`.
    PidFile,
}

/// What differs from the disk, by the file that is meant, symlinks followed.
struct CandidateOverlay<'a> {
    candidates: BTreeMap<PathBuf, (&'a Path, &'a Arc<HashedContent>)>,
    removed: BTreeSet<PathBuf>,
    /// The names of all of these files.
    names: BTreeSet<OsString>,
    resolver: PathResolver,
}

/// What lies at a path, as far as it differs from the disk.
enum OverlayEntry<'a> {
    Candidate(&'a Path, &'a Arc<HashedContent>),
    Removed,
}

impl<'a> CandidateOverlay<'a> {
    fn new(candidate: &'a Candidate) -> io::Result<Self> {
        let follower = PathResolver::default();
        let real = |(path, rendered): (&'a PathBuf, &'a Arc<HashedContent>)| {
            Ok((follower.resolve(path)?, (path.as_path(), rendered)))
        };
        let candidates: BTreeMap<_, _> = candidate.files.iter().map(real).collect::<io::Result<_>>()?;
        let gone: BTreeSet<_> =
            candidate.removed.iter().map(|path| follower.resolve(path)).collect::<io::Result<_>>()?;
        let names = candidates.keys().chain(&gone).filter_map(|path| path.file_name().map(OsStr::to_owned)).collect();
        Ok(Self { candidates, removed: gone, names, resolver: follower })
    }

    /// Whether the disk is read as it is. Then nothing is to be checked, and only the main level is of interest.
    fn is_empty(&self) -> bool {
        self.candidates.is_empty() && self.removed.is_empty()
    }

    fn entry(&self, path: &Path) -> Option<OverlayEntry<'a>> {
        let real = self.resolver.resolve(path).ok()?;
        match self.candidates.get(&real) {
            Some((destination, candidate)) => Some(OverlayEntry::Candidate(destination, candidate)),
            None => self.removed.contains(&real).then_some(OverlayEntry::Removed),
        }
    }

    /// The names in a directory, those of directories that a candidate would make among them.
    /// For nginx a directory that is not there, or that it may not read, has none.
    fn names(&self, directory: &Path) -> io::Result<Vec<Vec<u8>>> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
        let real = self.resolver.resolve(directory).ok();
        let mut names = BTreeSet::new();
        let entries = match fs::read_dir(directory) {
            Ok(entries) => Some(entries),
            Err(error) if counts_as_empty(&error) => None,
            Err(error) => return Err(failed(error)),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(failed)?;
            let is_gone = |real: PathBuf| self.removed.contains(&real);
            if self.removed.is_empty() || !self.resolver.resolve(&directory.join(entry.file_name())).is_ok_and(is_gone)
            {
                names.insert(entry.file_name().into_vec());
            }
        }
        let below = |path: &PathBuf| path.strip_prefix(real.as_deref()?).ok()?.iter().next().map(OsStr::to_owned);
        names.extend(self.candidates.keys().filter_map(below).map(OsString::into_vec));
        Ok(names.into_iter().collect())
    }

    fn exists(&self, path: &Path) -> bool {
        match self.entry(path) {
            Some(OverlayEntry::Candidate(..)) => true,
            Some(OverlayEntry::Removed) => false,
            None => fs::symlink_metadata(path).is_ok() || self.creates_directory(path),
        }
    }

    /// Whether a candidate would make this directory.
    fn creates_directory(&self, path: &Path) -> bool {
        let Ok(real) = self.resolver.resolve(path) else { return false };
        self.candidates.keys().any(|candidate| candidate.starts_with(&real))
    }
}

impl ConfigTree {
    /// Reads the configuration; without candidates, no further than the main level goes. What cannot be read below the main file is left for `nginx -t` to find.
    pub(super) fn read(place: &ConfigPaths, candidate: &Candidate) -> io::Result<Self> {
        let overlay = CandidateOverlay::new(candidate)?;
        let mut tree = Self {
            files: BTreeMap::new(),
            named: BTreeMap::new(),
            unreached: candidate.files.keys().cloned().collect(),
            changed: candidate.changed.clone(),
            removed: BTreeSet::new(),
            pid_file: None,
            error_log: None,
            blocking_error: None,
        };
        let visited = tree.visit_file(place, &overlay, &place.conf, 0);
        match tree.blocking_error.take() {
            Some(obstacle) => Err(obstacle),
            None => visited.map(|()| tree),
        }
    }

    /// Names all that was read.
    pub(super) fn digest(&self) -> Digest {
        let nodes = self.files.iter().flat_map(|(path, node)| [path.as_os_str().as_bytes(), &node.text]);
        let named = self.named.iter().flat_map(|(path, text)| [path.as_os_str().as_bytes(), text.bytes()]);
        Digest::of(&nodes.chain(named).collect::<Vec<_>>())
    }

    fn visit_file(
        &mut self,
        place: &ConfigPaths,
        overlay: &CandidateOverlay<'_>,
        path: &Path,
        depth: usize,
    ) -> io::Result<()> {
        let (text, candidate) = match overlay.entry(path) {
            Some(OverlayEntry::Candidate(destination, candidate)) => {
                self.unreached.remove(destination);
                (candidate.bytes().to_vec(), Some(destination.to_owned()))
            }
            Some(OverlayEntry::Removed) => return Err(io::ErrorKind::NotFound.into()),
            None => (self.read_file(path)?, None),
        };
        let directives = config_syntax::parse(&text);
        // Before its includes are visited: a file that includes itself is nginx's to complain about.
        self.files.insert(path.to_owned(), ConfigFile { text, candidate, edits: Vec::new() });
        let edits =
            directives.iter().flat_map(|directive| self.visit_directive(place, overlay, directive, depth)).collect();
        if let Some(node) = self.files.get_mut(path) {
            node.edits = edits;
        }
        Ok(())
    }

    /// Never waits for what is not a file: a device or a socket is left for `nginx -t`, which has a time limit.
    fn read_file(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let mut file = files::open(path)?;
        let metadata = file.metadata()?;
        if metadata.file_type().is_fifo() {
            // Its master would wait as well, at the next reload.
            let pipe = path.display();
            self.blocking_error.get_or_insert(io::Error::other(format!(
                "{pipe} is a pipe (FIFO), and nginx would wait for ever for somebody to write to it; remove it"
            )));
        }
        if !metadata.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    }

    /// What one directive leads to, and how it has to read in a staged copy.
    fn visit_directive(
        &mut self,
        place: &ConfigPaths,
        overlay: &CandidateOverlay<'_>,
        directive: &Directive,
        depth: usize,
    ) -> Vec<ConfigEdit> {
        let depth = depth + directive.depth;
        match directive.argument() {
            Some(_) if directive.is("include") && depth > 0 && overlay.is_empty() => return Vec::new(),
            Some(word) if directive.is("include") => {
                let includes = self.expand_include(place, overlay, &word.value, depth);
                if includes.is_empty() && overlay.removed.is_empty() {
                    // nginx finds nothing either, or says so.
                    return Vec::new();
                }
                return vec![ConfigEdit { span: directive.span(), content: EditContent::Includes(includes) }];
            }
            Some(word) if directive.is("pid") && depth == 0 => {
                self.pid_file = Some(place.prefix.join(OsStr::from_bytes(&word.value)));
                return vec![ConfigEdit { span: word.span.clone(), content: EditContent::PidFile }];
            }
            _ => {}
        }
        if directive.is("error_log") && depth == 0 {
            let log = directive.words.get(1).map(|word| place.prefix.join(OsStr::from_bytes(&word.value)));
            self.error_log = log.or(self.error_log.take());
        }
        let mut edits = Vec::new();
        for word in &directive.words[1..] {
            let path = Path::new(OsStr::from_bytes(&word.value));
            let to = match named_entry(place, overlay, path) {
                Some((_, OverlayEntry::Candidate(destination, candidate))) => {
                    self.unreached.remove(destination);
                    self.named.insert(destination.to_owned(), Arc::clone(candidate));
                    destination.to_owned()
                }
                Some((path, OverlayEntry::Removed)) => {
                    self.removed.insert(path.clone());
                    path
                }
                None => continue,
            };
            edits.push(ConfigEdit { span: word.span.clone(), content: EditContent::Named(to) });
        }
        edits
    }

    fn expand_include(
        &mut self,
        place: &ConfigPaths,
        overlay: &CandidateOverlay<'_>,
        argument: &[u8],
        depth: usize,
    ) -> Vec<PathBuf> {
        let pattern = place.config_dir().join(OsStr::from_bytes(argument)).into_os_string().into_vec();
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let paths = if glob::is_pattern(&pattern) {
            let names = |directory: &[u8]| {
                overlay.names(&path(directory)).unwrap_or_else(|error| {
                    self.blocking_error.get_or_insert(error);
                    Vec::new()
                })
            };
            glob::expand(&pattern, names, |bytes| overlay.exists(&path(bytes)))
        } else {
            vec![pattern]
        };
        let mut paths: Vec<_> = paths.iter().map(|bytes| path(bytes)).collect();
        paths.retain(|path| {
            let visited = self.files.contains_key(path) || self.visit_file(place, overlay, path, depth).is_ok();
            // Only by its very name can a file be found that is to be gone.
            let is_gone = !overlay.removed.is_empty()
                && matches!(overlay.entry(path), Some(OverlayEntry::Removed))
                && self.removed.insert(path.clone());
            visited || is_gone || overlay.exists(path)
        });
        paths
    }
}

fn counts_as_empty(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

/// What an argument names, and by which path, if that differs from the disk: certificates are relative to the
/// configuration's directory, others to the prefix.
fn named_entry<'a>(
    place: &ConfigPaths,
    overlay: &CandidateOverlay<'a>,
    path: &Path,
) -> Option<(PathBuf, OverlayEntry<'a>)> {
    // Most arguments are no paths at all: a look at the name spares looking at the disk.
    overlay.names.contains(path.file_name()?).then_some(())?;
    let places = [place.config_dir().join(path), place.prefix.join(path)];
    places.into_iter().find_map(|path| overlay.entry(&path).map(|laid| (path, laid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TestConfig(tempfile::TempDir);

    impl TestConfig {
        fn new(files: &[(&str, &str)]) -> Self {
            let lair = Self(tempfile::tempdir().expect("a directory"));
            for (path, text) in files {
                let path = lair.path(path);
                fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
                fs::write(path, text).expect("a file");
            }
            lair
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn read(&self, candidates: &[(&str, &str)]) -> ConfigTree {
            self.read_without(&[], candidates)
        }

        fn read_without(&self, gone: &[&str], candidates: &[(&str, &str)]) -> ConfigTree {
            let place = ConfigPaths { prefix: self.path("prefix"), conf: self.path("etc/nginx.conf") };
            let rendered = |(path, text): &(&str, &str)| (self.path(path), Arc::new(HashedContent::new(*text)));
            let files: BTreeMap<_, _> = candidates.iter().map(rendered).collect();
            let gone = gone.iter().map(|path| self.path(path)).collect();
            ConfigTree::read(&place, &Candidate { changed: files.keys().cloned().collect(), files, removed: gone })
                .expect("it can be read")
        }

        fn short(&self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
            let strip = |path: PathBuf| path.strip_prefix(self.0.path()).expect("below").display().to_string();
            paths.into_iter().map(strip).collect()
        }
    }

    #[test]
    fn includes_are_followed_as_nginx_follows_them() {
        let lair = TestConfig::new(&[
            ("etc/nginx.conf", "pid run/n.pid; error_log e.log warn; http { include conf.d/*.conf; include mime; }"),
            ("etc/conf.d/a.conf", "include snippets/x; include missing; pid no;"),
            ("etc/conf.d/.hidden.conf", "include never;"),
            ("etc/snippets/x", "include snippets/x;"),
            ("etc/mime", "types {}"),
        ]);
        let tree = lair.read(&[("etc/conf.d/b.conf", "include mime;"), ("etc/conf.d/c.txt", "")]);
        let reached = ["etc/conf.d/a.conf", "etc/conf.d/b.conf", "etc/mime", "etc/nginx.conf", "etc/snippets/x"];
        assert_eq!(lair.short(tree.files.keys().cloned()), reached);
        assert_eq!(lair.short(tree.unreached.clone()), ["etc/conf.d/c.txt"]);
        assert_eq!(lair.short(tree.pid_file.clone()), ["prefix/run/n.pid"]);
        assert_eq!(lair.short(tree.error_log.clone()), ["prefix/e.log"]);
        let EditContent::Includes(files) = &tree.files[&lair.path("etc/nginx.conf")].edits[1].content else {
            panic!("{tree:?}")
        };
        assert_eq!(lair.short(files.clone()), ["etc/conf.d/a.conf", "etc/conf.d/b.conf"]);
    }

    #[test]
    fn a_candidate_is_recognised_behind_symlinks_and_may_be_the_main_file() {
        let lair = TestConfig::new(&[("etc/sites/x", "old"), ("etc/nginx.conf", "include enabled/*;")]);
        fs::create_dir(lair.path("etc/enabled")).expect("a directory");
        std::os::unix::fs::symlink("../sites/x", lair.path("etc/enabled/x")).expect("a link");
        let tree = lair.read(&[("etc/sites/x", "new")]);
        assert_eq!(tree.files[&lair.path("etc/enabled/x")].text, b"new");
        assert!(tree.unreached.is_empty());
        let tree = lair.read(&[("etc/nginx.conf", "include sites/*;")]);
        assert_eq!(lair.short(tree.files.into_keys()), ["etc/nginx.conf", "etc/sites/x"]);
    }

    #[test]
    fn a_candidate_that_another_directive_names_is_put_in_its_place() {
        let lair = TestConfig::new(&[
            ("etc/nginx.conf", "ssl_certificate tls/a.pem; auth_basic_user_file pass; index a.pem;"),
            ("etc/tls/a.pem", "old"),
            ("prefix/pass", ""),
        ]);
        let tree = lair.read(&[("etc/tls/a.pem", "new"), ("prefix/pass", "new")]);
        assert_eq!(lair.short(tree.named.into_keys()), ["etc/tls/a.pem", "prefix/pass"]);
        let edits = &tree.files[&lair.path("etc/nginx.conf")].edits;
        assert_eq!(edits.len(), 2);
        assert_eq!(edits[0], ConfigEdit { span: 16..25, content: EditContent::Named(lair.path("etc/tls/a.pem")) });
    }

    #[test]
    fn a_file_that_is_to_be_gone_is_seen_by_nobody() {
        let lair = TestConfig::new(&[
            ("etc/nginx.conf", "include sites/*/*.conf; include sites/a/x.conf; ssl_certificate tls/a.pem;"),
            ("etc/sites/a/x.conf", ""),
            ("etc/sites/b/y.conf", ""),
            ("etc/tls/a.pem", ""),
        ]);
        let tree = lair.read_without(&["etc/sites/a/x.conf", "etc/tls/a.pem"], &[("etc/sites/new/z.conf", "")]);
        assert_eq!(
            lair.short(tree.files.keys().cloned()),
            ["etc/nginx.conf", "etc/sites/b/y.conf", "etc/sites/new/z.conf"]
        );
        let edits = &tree.files[&lair.path("etc/nginx.conf")].edits;
        let paths = |paths: &[&str]| paths.iter().map(|path| lair.path(path)).collect::<Vec<_>>();
        assert_eq!(edits[0].content, EditContent::Includes(paths(&["etc/sites/b/y.conf", "etc/sites/new/z.conf"])));
        // By name: the copy has to name a file that is not there, so that nginx says what it would say.
        assert_eq!(edits[1].content, EditContent::Includes(paths(&["etc/sites/a/x.conf"])));
        assert_eq!(edits[2].content, EditContent::Named(lair.path("etc/tls/a.pem")));
        assert_eq!(lair.short(tree.removed.clone()), ["etc/sites/a/x.conf", "etc/tls/a.pem"]);
        let tree = lair.read_without(&["etc/sites/a/x.conf", "etc/sites/b/y.conf"], &[]);
        assert_eq!(tree.files[&lair.path("etc/nginx.conf")].edits[0].content, EditContent::Includes(vec![]));
    }

    #[test]
    fn the_digest_names_candidates_and_everything_around_them() {
        let lair = TestConfig::new(&[("etc/nginx.conf", "include a;"), ("etc/a", "1")]);
        let before = lair.read(&[("etc/a", "2")]).digest();
        assert_eq!(before, lair.read(&[("etc/a", "2")]).digest());
        assert_ne!(before, lair.read(&[("etc/a", "3")]).digest());
        fs::write(lair.path("etc/nginx.conf"), "include a; ").expect("a file");
        assert_ne!(before, lair.read(&[("etc/a", "2")]).digest());
    }
}
