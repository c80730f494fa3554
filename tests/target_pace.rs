//! When a target applies the newest files: in its reconcile loop, with a paused clock.

mod targets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use portreeve::{
    core::{
        debounce::{QuietRange, Settings as Pace},
        reconcile,
    },
    docker,
    sys::state_dir::StateDir,
    target::{
        CommandSettings, DesiredFile, DesiredFileStore, Settings, Target, TargetKind, TargetStatuses, TemplateSettings,
    },
};
use targets::directory;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn pace(quiet: Option<(u64, u64)>, interval: u64, splay: u64) -> Pace {
    let quiet = quiet.map(|(min, max)| QuietRange { min: ms(min), max: ms(max) });
    Pace { quiet, leading: true, interval: ms(interval), splay: ms(splay) }
}

/// The reconcile loop of a target with one file. It waits for no program, so the paused clock does not advance during writes.
struct Running {
    home: TempDir,
    desired: DesiredFileStore,
    reports: TargetStatuses,
    stop: CancellationToken,
    run: tokio::task::JoinHandle<()>,
    begin: Instant,
}

impl Running {
    fn start(pace: Pace) -> Self {
        let home = directory();
        let kind = TargetKind::Command(CommandSettings::default());
        let templates = vec![TemplateSettings { destination: home.path().join("file"), ..TemplateSettings::default() }];
        let settings = Settings { debounce: pace, ..Settings::new("edge".to_owned(), kind, templates) };
        let (desired, reports, stop) =
            (DesiredFileStore::default(), TargetStatuses::default(), CancellationToken::new());
        let state = StateDir::open(&home.path().join("state")).expect("no other process has locked it");
        let mut target = Target::new(settings, desired.clone(), &state, &docker::Settings::default())
            .expect("the settings are valid");
        target.publish_to(reports.clone());
        let (bell, ended) = (desired.bell(), stop.clone());
        let run = tokio::spawn(async move {
            let _state = state;
            reconcile::run(&mut target, bell, reconcile::LoopTimings::with_resync(Duration::from_secs(3600)), ended)
                .await;
        });
        Self { home, desired, reports, stop, run, begin: Instant::now() }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("file")
    }

    /// Sets the desired content.
    fn want(&self, content: &str, members: &[&str]) {
        let product =
            DesiredFile { instances: targets::members(members), ..DesiredFile::new(0, format!("{content}\n")) };
        self.desired.replace(BTreeMap::from([(self.file(), Arc::new(product))]));
    }

    /// The number of writes of the file.
    fn writes(&self) -> u64 {
        self.reports.snapshot().entries.get("edge").map_or(0, |report| report.write_count)
    }

    /// Waits until the file has this content. Returns the time since the start in milliseconds.
    async fn until(&self, content: &str) -> u128 {
        while std::fs::read_to_string(self.file()).unwrap_or_default() != format!("{content}\n") {
            assert!(self.begin.elapsed() < Duration::from_secs(600), "{content} never comes");
            tokio::time::sleep(ms(1)).await;
        }
        self.begin.elapsed().as_millis()
    }

    async fn end(self) {
        self.stop.cancel();
        self.run.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_causes_few_writes_including_the_last_change() {
    let running = Running::start(pace(Some((100, 500)), 1000, 0));
    running.want("start", &[]);
    assert!(running.until("start").await < 50, "the first look waits for nothing");
    for number in 0..100 {
        running.want(&number.to_string(), &[]);
        tokio::time::sleep(ms(20)).await;
    }
    let last = running.until("99").await;
    assert!(last <= 20 * 100 + 1000 + 100, "{last}");
    assert!(running.writes() <= 1 + 3, "2 s with a second between two: {}", running.writes());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_change_after_a_pause_is_applied_immediately_and_the_second_after_the_interval() {
    let running = Running::start(pace(None, 1000, 0));
    running.want("a", &[]);
    running.until("a").await;
    tokio::time::sleep(ms(5000)).await;
    let begin = running.begin.elapsed().as_millis();
    running.want("b", &[]);
    let first = running.until("b").await;
    running.want("c", &[]);
    let second = running.until("c").await;
    assert!(first - begin < 50, "{begin} {first}");
    assert!((950..1100).contains(&(second - first)), "{first} {second}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_removal_is_applied_immediately_together_with_pending_changes() {
    let running = Running::start(pace(Some((10_000, 60_000)), 60_000, 60_000));
    running.want("ab", &["a", "b"]);
    running.until("ab").await;
    running.want("abc", &["a", "b", "c"]);
    tokio::time::sleep(ms(1000)).await;
    assert_eq!(running.writes(), 1, "an addition can wait");
    let begin = running.begin.elapsed().as_millis();
    running.want("bcd", &["b", "c", "d"]);
    assert!(running.until("bcd").await - begin < 50);
    // A member that was removed before it was in effect is not a removal.
    running.want("bcde", &["b", "c", "d", "e"]);
    running.want("bcd+", &["b", "c", "d"]);
    tokio::time::sleep(ms(1000)).await;
    assert_eq!(running.writes(), 2);
    running.until("bcd+").await;
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_single_removal_and_its_replacement_are_applied_immediately_and_later_ones_after_the_interval() {
    let running = Running::start(pace(None, 1000, 0));
    running.want("0", &["a"]);
    running.until("0").await;
    tokio::time::sleep(ms(5000)).await;
    // It is removed and added ten times a second.
    let begin = running.begin.elapsed().as_millis();
    running.want("1-", &[]);
    assert!(running.until("1-").await - begin < 50, "the first removal waits for nothing");
    running.want("1", &["a"]);
    assert!(running.until("1").await - begin < 100, "nor does what takes its place");
    for number in 0..100 {
        let members: &[&str] = if number % 2 == 0 { &[] } else { &["a"] };
        running.want(&format!("flap {number}"), members);
        tokio::time::sleep(ms(50)).await;
    }
    running.until("flap 99").await;
    assert!(running.writes() <= 3 + 6, "5 s with a second between two: {}", running.writes());
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn in_a_rolling_replacement_additions_wait_and_removals_do_not() {
    let running = Running::start(pace(None, 1000, 0));
    let instance = |number: u8| format!("web host id{number} 10.0.0.1 {number}");
    let want = |content: &str, numbers: &[u8]| {
        let members: Vec<_> = numbers.iter().copied().map(instance).collect();
        running.want(content, &members.iter().map(String::as_str).collect::<Vec<_>>());
    };
    want("start", &[0, 1]);
    running.until("start").await;
    for number in 2..8 {
        let content = format!("+{number}");
        want(&content, &[number - 2, number - 1, number]);
        let added = running.until(&content).await;
        let content = format!("-{}", number - 2);
        want(&content, &[number - 1, number]);
        let removed = running.until(&content).await;
        assert!(removed - added < 50, "removal {number} waited {} ms", removed - added);
    }
    let elapsed = running.begin.elapsed().as_millis();
    assert!((10_000..13_500).contains(&elapsed), "12 reloads with a second each: {elapsed}");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn changes_that_cancel_out_are_never_written() {
    let running = Running::start(pace(Some((1000, 5000)), 0, 0));
    running.want("a", &["a"]);
    running.until("a").await;
    running.want("b", &["a", "b"]);
    tokio::time::sleep(ms(500)).await;
    running.want("a", &["a"]);
    tokio::time::sleep(ms(100_000)).await;
    assert_eq!(running.writes(), 1);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_without_a_change_is_not_a_change() {
    let running = Running::start(pace(Some((1000, 60_000)), 0, 0));
    running.want("a", &[]);
    running.until("a").await;
    running.want("b", &[]);
    let begin = running.begin.elapsed().as_millis();
    for _ in 0..100 {
        running.desired.mark_complete();
        tokio::time::sleep(ms(50)).await;
    }
    assert!(running.until("b").await - begin < 6000 && running.writes() == 2, "the rings have not put it off");
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_change_waits_the_current_files_are_restored() {
    let running = Running::start(pace(Some((60_000, 60_000)), 0, 0));
    running.want("a", &[]);
    running.until("a").await;
    running.want("b", &[]);
    tokio::time::sleep(ms(100)).await;
    std::fs::write(running.file(), "by another hand\n").expect("the test owns it");
    running.desired.mark_complete();
    let mended = running.until("a").await;
    assert!(mended < 1000 && running.writes() == 2, "{mended}");
    assert!(running.until("b").await >= 60_000);
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_splay_spreads_the_changes_of_many_hosts() {
    let fleet: Vec<_> = (0..20).map(|_| Running::start(pace(None, 0, 10_000))).collect();
    for running in &fleet {
        running.want("a", &[]);
        running.until("a").await;
    }
    let begin = fleet[0].begin.elapsed().as_millis();
    fleet.iter().for_each(|running| running.want("b", &[]));
    let mut seconds = BTreeSet::new();
    while fleet.iter().any(|running| running.writes() < 2) {
        tokio::time::sleep(ms(10)).await;
        let now = fleet[0].begin.elapsed().as_millis();
        seconds.insert((fleet.iter().filter(|running| running.writes() == 2).count(), (now - begin) / 1000));
        assert!(now - begin <= 10_500, "{seconds:?}");
    }
    let busy: BTreeSet<_> = seconds.iter().map(|(count, _)| count).collect();
    assert!(busy.len() > 5, "they go one after another: {seconds:?}");
    for running in fleet {
        running.end().await;
    }
}
