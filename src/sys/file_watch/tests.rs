//! Watches real files, saved as editors save them, with inotify and by polling alone.
//!
//! The clock is paused, and advances only when all tasks wait. So no test sees a partial save, and none takes real
//! time.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use super::*;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How changes are found.
#[derive(Clone, Copy, Debug)]
enum Method {
    Inotify,
    Poll,
}

const METHODS: [Method; 2] = [Method::Inotify, Method::Poll];

fn watcher(method: Method, paths: impl IntoIterator<Item = WatchedPath>) -> FileWatcher {
    match method {
        Method::Inotify => FileWatcher::new(paths),
        Method::Poll => FileWatcher { inotify: None, events: watch::channel(()).1, ..FileWatcher::new(paths) },
    }
}

struct WatchTest {
    folder: tempfile::TempDir,
    watcher: FileWatcher,
}

impl WatchTest {
    /// A file `t/a.hbs` with the text `1`, which was reported.
    async fn new(method: Method, watched: impl FnOnce(&Path) -> WatchedPath) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        fs::create_dir(folder.path().join("t")).expect("a directory");
        fs::write(folder.path().join("t/a.hbs"), "1").expect("a file");
        let mut watcher = watcher(method, [watched(&folder.path().join("t"))]);
        watcher.changed().await;
        Self { folder, watcher }
    }

    async fn file(method: Method) -> Self {
        Self::new(method, |folder| WatchedPath::File(folder.join("a.hbs"))).await
    }

    async fn tree(method: Method) -> Self {
        Self::new(method, |folder| WatchedPath::Directory { root: folder.to_owned(), extension: "hbs".into() }).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("t").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("it is there");
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("it is there");
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.path("new")).expect("a link");
        self.rename("new", name);
    }

    /// Waits for the next change. Returns the names of the files.
    async fn changed(&mut self) -> Vec<String> {
        let changed = timeout(PATIENCE, self.watcher.changed()).await.expect("a change is seen");
        changed.iter().map(|path| path.strip_prefix(self.path("")).expect("below").display().to_string()).collect()
    }

    /// Asserts that what `action` does is not a change.
    async fn unchanged(&mut self, action: impl FnOnce(&Self)) {
        action(self);
        let more = timeout(3 * POLL_INTERVAL, self.watcher.changed()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_to_save_a_file_is_one_change() {
    let ways: [fn(&WatchTest); 6] = [
        |test| test.write("a.hbs", "in place"),
        |test| {
            test.write("a.hbs.tmp", "renamed");
            test.rename("a.hbs.tmp", "a.hbs");
        },
        // vim: checks whether it may create files, keeps a swap file, and renames the old file.
        |test| {
            test.write("4913", "");
            test.remove("4913");
            test.write(".a.hbs.swp", "swap");
            test.rename("a.hbs", "a.hbs~");
            test.write("a.hbs", "vim's");
            test.remove("a.hbs~");
            test.remove(".a.hbs.swp");
        },
        |test| {
            test.remove("a.hbs");
            test.write("a.hbs", "created again");
        },
        |test| {
            test.write("b", "linked");
            test.link("b", "a.hbs");
        },
        |test| test.write("b", "through the link"),
    ];
    for method in METHODS {
        let mut test = WatchTest::file(method).await;
        for save in ways {
            save(&test);
            assert_eq!(test.changed().await, ["a.hbs"]);
        }
        test.unchanged(|_| {}).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_save_without_new_content_is_not_a_change() {
    let mut test = WatchTest::file(Method::Inotify).await;
    test.unchanged(|test| {
        let file = fs::File::open(test.path("a.hbs")).expect("a file");
        file.set_modified(std::time::SystemTime::now()).expect("ours");
        test.write("a.hbs", "1");
        test.write("b.hbs", "1");
        test.rename("b.hbs", "a.hbs");
        test.link("gone", "b.hbs");
    })
    .await;
    test.write("a.hbs", "2");
    assert_eq!(test.changed().await, ["a.hbs"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_for_a_moment_is_not_reported() {
    let moment = Duration::from_millis(50);
    // The watcher sees the file missing: after the event, and in the first snapshot of a poll.
    for (method, until) in METHODS.into_iter().zip([moment, POLL_INTERVAL + moment]) {
        let mut test = WatchTest::file(method).await;
        test.rename("a.hbs", "away");
        let seen = timeout(until, test.watcher.changed()).await;
        assert!(seen.is_err(), "{seen:?}");
        test.unchanged(|test| test.rename("away", "a.hbs")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mounted_config_map_changes_when_its_data_are_swapped() {
    for method in METHODS {
        let mut test = WatchTest::file(method).await;
        let dated = |name: &str, text: &str| {
            fs::create_dir(test.path(name)).expect("a directory");
            test.write(&format!("{name}/a.hbs"), text);
        };
        dated("..1", "first");
        dated("..2", "second");
        dated("..3", "second");
        test.link("..1", "..data");
        test.link("..data/a.hbs", "a.hbs");
        assert_eq!(test.changed().await, ["a.hbs"]);
        test.link("..2", "..data");
        fs::remove_dir_all(test.path("..1")).expect("ours");
        assert_eq!(test.changed().await, ["a.hbs"]);
        test.unchanged(|test| test.link("..3", "..data")).await;
        test.write("..3/a.hbs", "third");
        assert_eq!(test.changed().await, ["a.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_and_its_directory_may_go_and_come_back() {
    for method in METHODS {
        let mut test = WatchTest::file(method).await;
        test.remove("a.hbs");
        assert_eq!(test.changed().await, ["a.hbs"]);
        test.write("a.hbs", "1");
        assert_eq!(test.changed().await, ["a.hbs"]);
        fs::remove_dir_all(test.path("")).expect("ours");
        assert_eq!(test.changed().await, ["a.hbs"]);
        fs::create_dir(test.path("")).expect("a directory");
        test.write("a.hbs", "1");
        assert_eq!(test.changed().await, ["a.hbs"]);
        test.write("a.hbs", "2");
        assert_eq!(test.changed().await, ["a.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_gains_and_loses_files() {
    for method in METHODS {
        let mut test = WatchTest::tree(method).await;
        test.write("b.hbs", "2");
        assert_eq!(test.changed().await, ["b.hbs"]);
        fs::create_dir_all(test.path("deep/er")).expect("a directory");
        test.write("deep/er/c.hbs", "3");
        assert_eq!(test.changed().await, ["deep/er/c.hbs"]);
        test.write("deep/er/c.hbs", "4");
        assert_eq!(test.changed().await, ["deep/er/c.hbs"]);
        fs::remove_dir_all(test.path("deep")).expect("ours");
        assert_eq!(test.changed().await, ["deep/er/c.hbs"]);
        test.rename("a.hbs", "b.hbs");
        assert_eq!(test.changed().await, ["a.hbs", "b.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_loses_no_change() {
    let mut test = WatchTest::file(Method::Inotify).await;
    test.write("a.hbs", "2");
    for _ in 0..20 {
        if let Ok(changed) = timeout(Duration::from_millis(7), test.watcher.changed()).await {
            assert_eq!(changed.len(), 1);
            return;
        }
    }
    assert_eq!(test.changed().await, ["a.hbs"]);
}

#[tokio::test(start_paused = true)]
async fn each_watcher_reports_its_own_files() {
    let (mut first, mut second) = (WatchTest::file(Method::Inotify).await, WatchTest::file(Method::Inotify).await);
    let mut both = FileWatcher::new([first.path("a.hbs"), second.path("a.hbs")].map(WatchedPath::File));
    both.changed().await;
    first.write("a.hbs", "2");
    assert_eq!(first.changed().await, ["a.hbs"]);
    drop(first.watcher);
    assert_eq!(both.changed().await, BTreeSet::from([first.folder.path().join("t/a.hbs")]));
    second.write("a.hbs", "2");
    assert_eq!(second.changed().await, ["a.hbs"]);
    assert_eq!(both.changed().await.len(), 1);
}

/// With a real clock. Without inotify, none of these changes would be reported within an hour.
#[tokio::test]
async fn inotify_reports_a_change_before_the_next_poll() {
    let mut test = WatchTest::tree(Method::Inotify).await;
    type Step = (fn(&WatchTest), &'static str);
    let steps: [Step; 5] = [
        (|test| test.write("a.hbs", "2"), "a.hbs"),
        (
            |test| {
                fs::create_dir(test.path("deep")).expect("a directory");
                test.write("deep/b.hbs", "1");
            },
            "deep/b.hbs",
        ),
        (|test| test.write("deep/b.hbs", "2"), "deep/b.hbs"),
        (
            |test| {
                test.rename("deep", "../away");
                fs::create_dir(test.path("deep")).expect("a directory");
                test.write("deep/b.hbs", "another directory of the same name");
            },
            "deep/b.hbs",
        ),
        (|test| test.write("deep/b.hbs", "3"), "deep/b.hbs"),
    ];
    for (save, expected) in steps {
        test.watcher.next_snapshot = Instant::now() + Duration::from_secs(3600);
        save(&test);
        assert_eq!(test.changed().await, [expected]);
    }
}
