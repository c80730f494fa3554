//! Hears from the kernel that something happens in directories (inotify). One kernel instance serves all that listen, as
//! a user may have few of them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
};

use nix::errno::Errno;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;

use super::snapshot::{WatchedDir, WatchedDirs, WatchedNames};
use crate::core::condition::Condition;

/// Device and inode.
type Identity = (u64, u64);

/// A handle on the kernel's notices; clones share it. Where the kernel refuses, it is said once, and nothing is heard.
#[derive(Clone, Debug)]
pub struct Inotify(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Held over each change of what is watched. `None`: not tried yet, or refused.
    watcher: Mutex<Option<RecommendedWatcher>>,
    /// Shared with the thread that hears, so never locked while we wait for that.
    shared: Arc<Mutex<WatchTable>>,
    condition: Condition,
    deaf: bool,
}

#[derive(Debug, Default)]
struct WatchTable {
    listeners: BTreeMap<u64, Listener>,
    /// The directories that the kernel tells of.
    held: BTreeMap<PathBuf, Identity>,
    next: u64,
}

#[derive(Debug)]
struct Listener {
    route: Arc<WatchedDirs>,
    bell: Arc<Notify>,
}

/// One listener. Dropped, it is forgotten.
#[derive(Debug)]
pub(super) struct Subscription {
    ear: Inotify,
    id: u64,
    bell: Arc<Notify>,
}

/// Why the kernel does not tell of all changes.
#[derive(Debug, thiserror::Error)]
enum WatchFailure {
    #[error("{ONLY}: there are too many watches; raise fs.inotify.max_user_watches")]
    Watches,
    #[error("{ONLY}: there are too many watchers; raise fs.inotify.max_user_instances")]
    Instances,
    #[error("{ONLY}")]
    Other(#[source] notify::Error),
}

const ONLY: &str = "changes are found only by looking every 2 s";

impl From<notify::Error> for WatchFailure {
    fn from(error: notify::Error) -> Self {
        match &error.kind {
            notify::ErrorKind::MaxFilesWatch => Self::Watches,
            notify::ErrorKind::Io(io) if io.raw_os_error() == Some(Errno::EMFILE as i32) => Self::Instances,
            _ => Self::Other(error),
        }
    }
}

impl Default for Inotify {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Inotify {
    fn new(deaf: bool) -> Self {
        let condition = Condition::new("watching files");
        Self(Arc::new(Inner { watcher: Mutex::default(), shared: Arc::default(), condition, deaf }))
    }

    /// Hears nothing, as where the kernel refuses.
    #[cfg(test)]
    pub(crate) fn disabled() -> Self {
        Self::new(true)
    }

    /// The ear of this process: what is wrong with it is said once for all.
    pub fn shared() -> Self {
        static EAR: LazyLock<Inotify> = LazyLock::new(Inotify::default);
        EAR.clone()
    }

    pub(super) fn subscribe(&self) -> Subscription {
        let bell = Arc::new(Notify::new());
        let mut shared = lock(&self.0.shared);
        shared.next += 1;
        let id = shared.next;
        shared.listeners.insert(id, Listener { route: Arc::default(), bell: Arc::clone(&bell) });
        Subscription { ear: self.clone(), id, bell }
    }

    /// Brings what the kernel tells in line with what is listened to. Whether it tells of more than before.
    fn update(&self) -> Result<bool, WatchFailure> {
        if self.0.deaf {
            return Ok(false);
        }
        let mut watcher = lock(&self.0.watcher);
        let (stale, new) = lock(&self.0.shared).plan();
        let mut refused = None;
        if let Some(watcher) = watcher.as_mut() {
            for directory in &stale {
                // The kernel itself forgets a directory that is removed.
                drop(watcher.unwatch(directory));
            }
        }
        let mut taken = BTreeMap::new();
        for (directory, identity) in new {
            match self.watch(&mut watcher, &directory) {
                Ok(()) => drop(taken.insert(directory, identity)),
                Err(error) if is_gone(&error) => {}
                Err(error) => refused = Some(error),
            }
        }
        let more = !taken.is_empty();
        let mut shared = lock(&self.0.shared);
        shared.held.retain(|directory, _| !stale.contains(directory));
        shared.held.extend(taken);
        drop(shared);
        refused.map_or(Ok(more), |error| Err(error.into()))
    }

    fn watch(&self, watcher: &mut Option<RecommendedWatcher>, directory: &Path) -> Result<(), notify::Error> {
        let watcher = match watcher {
            Some(watcher) => watcher,
            none => {
                let shared = Arc::clone(&self.0.shared);
                none.insert(notify::recommended_watcher(move |event| lock(&shared).hear(event))?)
            }
        };
        watcher.watch(directory, RecursiveMode::NonRecursive)
    }
}

impl Subscription {
    /// From now on hears of these. Whether the kernel was told to watch more: what changed there before was not heard.
    pub(super) fn set(&self, route: &Arc<WatchedDirs>) -> bool {
        if !lock(&self.ear.0.shared).set(self.id, route) {
            return false;
        }
        match self.ear.update() {
            Ok(more) => {
                self.ear.0.condition.report_ok();
                more
            }
            // What was taken in spite of it may have changed.
            Err(deaf) => {
                self.ear.0.condition.report_problem(&deaf);
                true
            }
        }
    }

    /// Returns when something has happened on the route since the last call.
    pub(super) async fn notified(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.ear.0.shared).listeners.remove(&self.id);
        // What the kernel refuses is said to those who still listen.
        drop(self.ear.update());
    }
}

impl WatchTable {
    /// Notes a listener's route. Whether the kernel has to hear of it: most looks find everything as it was.
    fn set(&mut self, id: u64, route: &Arc<WatchedDirs>) -> bool {
        let Some(listener) = self.listeners.get_mut(&id) else { return false };
        let is_held = |(path, post): (&PathBuf, &WatchedDir)| {
            post.identity.is_none() || self.held.get(path) == post.identity.as_ref()
        };
        let settled = listener.route == *route && route.iter().all(is_held);
        listener.route = Arc::clone(route);
        !settled
    }

    /// Which directories to let go, and which to take.
    fn plan(&self) -> (Vec<PathBuf>, Vec<(PathBuf, Identity)>) {
        let routes = self.listeners.values().flat_map(|listener| &*listener.route);
        let wanted: BTreeMap<_, _> = routes.filter_map(|(path, post)| Some((path, post.identity?))).collect();
        let stale = self.held.iter().filter(|(path, identity)| wanted.get(path) != Some(identity));
        let new = wanted.iter().filter(|(path, identity)| self.held.get(**path) != Some(identity));
        (
            stale.map(|(path, _)| path.clone()).collect(),
            new.map(|(path, identity)| ((*path).clone(), *identity)).collect(),
        )
    }

    fn hear(&mut self, event: notify::Result<Event>) {
        // Trouble in between may have cost notices: everybody shall look.
        let event = event.unwrap_or_else(|_| Event::new(EventKind::Other));
        // To read a file is no change, and it is what we do ourselves after each notice.
        if matches!(event.kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        for path in &event.paths {
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                self.held.remove(path);
            }
        }
        let everybody = event.paths.is_empty() || event.need_rescan();
        for listener in self.listeners.values() {
            if everybody || event.paths.iter().any(|path| listener.concerns(path)) {
                listener.bell.notify_one();
            }
        }
    }
}

impl Listener {
    fn concerns(&self, path: &Path) -> bool {
        let post = path.parent().and_then(|directory| self.route.get(directory));
        self.route.contains_key(path)
            || post.is_some_and(|post| match &post.names {
                WatchedNames::All => true,
                WatchedNames::These(names) => path.file_name().is_some_and(|name| names.contains(name)),
            })
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => super::snapshot::is_absent(error),
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::sys::file_watch::{WatchedPath, snapshot::FileSnapshot};

    #[tokio::test]
    async fn hears_of_what_concerns_it_and_not_of_reading() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("t")).expect("a directory");
        fs::write(path("t/real"), "").expect("a file");
        symlink("t", path("link")).expect("a link");
        let ear = Inotify::default();
        let (hearing, all) = (ear.subscribe(), ear.subscribe());
        let look = || FileSnapshot::take(&[WatchedPath::File(path("link/real"))], &FileSnapshot::default());
        assert!(hearing.set(&Arc::new(look().route)), "two directories are new");
        assert!(!hearing.set(&Arc::new(look().route)), "nothing is");
        let tree = WatchedPath::Directory { root: path("t"), extension: "hbs".into() };
        assert!(
            !all.set(&Arc::new(FileSnapshot::take(&[tree], &FileSnapshot::default()).route)),
            "the kernel tells of both already"
        );
        let heard = async |hearing: &Subscription| timeout(Duration::from_secs(60), hearing.notified()).await.is_ok();
        let quiet =
            async |hearing: &Subscription| timeout(Duration::from_millis(50), hearing.notified()).await.is_err();

        fs::read(path("t/real")).expect("a file");
        fs::write(path("t/other"), "").expect("a file");
        assert!(heard(&all).await, "all names in a tree count");
        // The notices come in the order of what happened: whoever was concerned knows by now.
        assert!(quiet(&hearing).await);
        fs::write(path("t/real"), "1").expect("a file");
        assert!(heard(&hearing).await);
        symlink("u", path("new")).and_then(|()| fs::rename(path("new"), path("link"))).expect("a link");
        assert!(heard(&hearing).await);
        // The notices of this and of the end of the write before it may be one.
        fs::remove_dir_all(path("t")).expect("ours");
        assert!(heard(&all).await);
    }

    #[test]
    fn a_directory_that_takes_the_place_of_another_is_watched_anew() {
        let folder = tempfile::tempdir().expect("a directory");
        let file = folder.path().join("t/a");
        let route = || Arc::new(FileSnapshot::take(&[WatchedPath::File(file.clone())], &FileSnapshot::default()).route);
        let make = || fs::create_dir(folder.path().join("t")).expect("a directory");
        let hearing = Inotify::default().subscribe();
        make();
        assert!(hearing.set(&route()));
        fs::rename(folder.path().join("t"), folder.path().join("away")).expect("it is there");
        make();
        assert!(hearing.set(&route()), "the name is the same, the directory is not");
    }
}
