//! Watching real files, as they are really saved. Each way of saving is tried with notices and without.
//!
//! The clock stands still unless everybody waits for it, so a save is never cut in two, and looks cost no time.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::timeout;

use super::*;

/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

struct WatchTest {
    folder: tempfile::TempDir,
    watched: FileWatcher,
}

impl WatchTest {
    /// A file `t/a` with the text `1`, which is known.
    async fn new(ear: &Inotify, subject: impl FnOnce(&Path) -> WatchedPath) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        fs::create_dir(folder.path().join("t")).expect("a directory");
        fs::write(folder.path().join("t/a.hbs"), "1").expect("a file");
        let mut watched = FileWatcher::new(ear, [subject(&folder.path().join("t"))]);
        watched.changed().await;
        Self { folder, watched }
    }

    async fn file(ear: &Inotify) -> Self {
        Self::new(ear, |folder| WatchedPath::File(folder.join("a.hbs"))).await
    }

    async fn tree(ear: &Inotify) -> Self {
        Self::new(ear, |folder| WatchedPath::Directory { root: folder.to_owned(), extension: "hbs".into() }).await
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

    /// Waits for the next change; the names of the files.
    async fn changed(&mut self) -> Vec<String> {
        let changed = timeout(PATIENCE, self.watched.changed()).await.expect("a change is seen");
        changed.iter().map(|path| path.strip_prefix(self.path("")).expect("below").display().to_string()).collect()
    }

    /// Sees to it that nothing but `by` is taken for a change: a file that is saved afterwards comes alone.
    async fn unchanged(&mut self, by: impl FnOnce(&Self)) {
        by(self);
        let more = timeout(3 * POLL_INTERVAL, self.watched.changed()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

fn ears() -> [Inotify; 2] {
    [Inotify::default(), Inotify::disabled()]
}

#[tokio::test(start_paused = true)]
async fn every_way_to_save_a_file_is_one_change() {
    let ways: [fn(&WatchTest); 6] = [
        |bench| bench.write("a.hbs", "in place"),
        |bench| {
            bench.write("a.hbs.tmp", "renamed");
            bench.rename("a.hbs.tmp", "a.hbs");
        },
        // vim: it tries whether it may make files, keeps a swap file, and moves the old file out of the way.
        |bench| {
            bench.write("4913", "");
            bench.remove("4913");
            bench.write(".a.hbs.swp", "swap");
            bench.rename("a.hbs", "a.hbs~");
            bench.write("a.hbs", "vim's");
            bench.remove("a.hbs~");
            bench.remove(".a.hbs.swp");
        },
        |bench| {
            bench.remove("a.hbs");
            bench.write("a.hbs", "made anew");
        },
        |bench| {
            bench.write("b", "linked");
            bench.link("b", "a.hbs");
        },
        |bench| bench.write("b", "through the link"),
    ];
    for ear in ears() {
        let mut bench = WatchTest::file(&ear).await;
        for save in ways {
            save(&bench);
            assert_eq!(bench.changed().await, ["a.hbs"]);
        }
        bench.unchanged(|_| {}).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_save_without_a_new_content_is_no_change() {
    let mut bench = WatchTest::file(&Inotify::default()).await;
    bench
        .unchanged(|bench| {
            let file = fs::File::open(bench.path("a.hbs")).expect("a file");
            file.set_modified(std::time::SystemTime::now()).expect("ours");
            bench.write("a.hbs", "1");
            bench.write("b.hbs", "1");
            bench.rename("b.hbs", "a.hbs");
            bench.link("gone", "b.hbs");
        })
        .await;
    bench.write("a.hbs", "2");
    assert_eq!(bench.changed().await, ["a.hbs"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_for_a_moment_is_not_missed() {
    let moment = Duration::from_millis(50);
    // With a notice of its end, and found out by a look.
    for (ear, until) in ears().iter().zip([moment, POLL_INTERVAL + moment]) {
        let mut bench = WatchTest::file(ear).await;
        bench.rename("a.hbs", "away");
        let seen = timeout(until, bench.watched.changed()).await;
        assert!(seen.is_err(), "{seen:?}");
        bench.unchanged(|bench| bench.rename("away", "a.hbs")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_mounted_config_map_changes_when_its_data_are_swapped() {
    for ear in ears() {
        let mut bench = WatchTest::file(&ear).await;
        let dated = |name: &str, text: &str| {
            fs::create_dir(bench.path(name)).expect("a directory");
            bench.write(&format!("{name}/a.hbs"), text);
        };
        dated("..1", "first");
        dated("..2", "second");
        dated("..3", "second");
        bench.link("..1", "..data");
        bench.link("..data/a.hbs", "a.hbs");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        bench.link("..2", "..data");
        fs::remove_dir_all(bench.path("..1")).expect("ours");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        bench.unchanged(|bench| bench.link("..3", "..data")).await;
        bench.write("..3/a.hbs", "third");
        assert_eq!(bench.changed().await, ["a.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_and_its_directory_may_go_and_come_back() {
    for ear in ears() {
        let mut bench = WatchTest::file(&ear).await;
        bench.remove("a.hbs");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        bench.write("a.hbs", "1");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        fs::remove_dir_all(bench.path("")).expect("ours");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        fs::create_dir(bench.path("")).expect("a directory");
        bench.write("a.hbs", "1");
        assert_eq!(bench.changed().await, ["a.hbs"]);
        bench.write("a.hbs", "2");
        assert_eq!(bench.changed().await, ["a.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_gains_and_loses_files() {
    for ear in ears() {
        let mut bench = WatchTest::tree(&ear).await;
        bench.write("b.hbs", "2");
        assert_eq!(bench.changed().await, ["b.hbs"]);
        fs::create_dir_all(bench.path("deep/er")).expect("a directory");
        bench.write("deep/er/c.hbs", "3");
        assert_eq!(bench.changed().await, ["deep/er/c.hbs"]);
        bench.write("deep/er/c.hbs", "4");
        assert_eq!(bench.changed().await, ["deep/er/c.hbs"]);
        fs::remove_dir_all(bench.path("deep")).expect("ours");
        assert_eq!(bench.changed().await, ["deep/er/c.hbs"]);
        bench.rename("a.hbs", "b.hbs");
        assert_eq!(bench.changed().await, ["a.hbs", "b.hbs"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_broken_off_loses_no_change() {
    let mut bench = WatchTest::file(&Inotify::default()).await;
    bench.write("a.hbs", "2");
    for _ in 0..20 {
        if let Ok(changed) = timeout(Duration::from_millis(7), bench.watched.changed()).await {
            assert_eq!(changed.len(), 1);
            return;
        }
    }
    assert_eq!(bench.changed().await, ["a.hbs"]);
}

#[tokio::test(start_paused = true)]
async fn those_who_listen_with_one_ear_hear_of_their_own_files() {
    let ear = Inotify::default();
    let (mut first, mut second) = (WatchTest::file(&ear).await, WatchTest::file(&ear).await);
    let mut both = FileWatcher::new(&ear, [first.path("a.hbs"), second.path("a.hbs")].map(WatchedPath::File));
    both.changed().await;
    first.write("a.hbs", "2");
    assert_eq!(first.changed().await, ["a.hbs"]);
    drop(first.watched);
    assert_eq!(both.changed().await, BTreeSet::from([first.folder.path().join("t/a.hbs")]));
    second.write("a.hbs", "2");
    assert_eq!(second.changed().await, ["a.hbs"]);
    assert_eq!(both.changed().await.len(), 1);
}
