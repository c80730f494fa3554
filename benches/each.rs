//! `each` over thousands of keys into an nginx target: the time of one change, compared with `nginx -t` alone.
//!
//! Prints figures and asserts no times. `docs/benchmarks.md` explains them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use portreeve::{
    core::store::Store,
    registry::{Answer, KeyPair, Query, Source},
    render::{self, RenderSection, Settings, Setup},
    target::{self, NginxSettings, TargetKind},
};
use tokio_util::sync::CancellationToken;

const SIZES: [usize; 3] = [1_000, 2_000, 4_000];
/// The number of changes, one after the other. The median is printed.
const CHANGES: u16 = 5;

/// A registry with one folder of keys.
#[derive(Clone, Default)]
struct SitesSource(Store<String, String>);

impl Source for SitesSource {
    async fn watch(&self, query: Query, answers: Store<Query, Arc<Answer>>, stop: CancellationToken) {
        let mut bell = self.0.bell();
        loop {
            bell.mark_unchanged();
            let sites = self.0.snapshot().entries;
            let pair = |(name, port): (&String, &String)| KeyPair {
                path: format!("sites/{name}"),
                key: name.clone(),
                value: Some(port.clone()),
                create_index: 1,
                modify_index: 1,
                lock_index: 0,
                flags: 0,
                session: String::new(),
            };
            answers.put(query.clone(), Arc::new(Answer::Keys(sites.iter().map(pair).collect())));
            tokio::select! {
                () = stop.cancelled() => return,
                changed = bell.changed() => changed.expect("the store exists"),
            }
        }
    }
}

fn main() {
    println!("| files | first in place | one change | `nginx -t` alone | ratio |");
    println!("|---|---|---|---|---|");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    SIZES.into_iter().for_each(|size| runtime.block_on(measure(size)));
}

async fn measure(size: usize) {
    let folder = tempfile::tempdir().expect("a directory");
    let settings = settings(folder.path());
    let sites = SitesSource::default();
    (0..size).for_each(|number| sites.0.put(format!("s{number:04}"), "1".to_owned()));
    let (stop, begin) = (CancellationToken::new(), Instant::now());
    let setup = Setup::open(settings).expect("it is sound");
    let run = tokio::spawn(render::run(setup, Arc::new(sites.clone()), stop.clone()));
    let last = folder.path().join(format!("conf.d/s{:04}.conf", size - 1));
    wait_until(&last, ":1;").await;
    let first = begin.elapsed();
    // The work after the first swap is not part of a change.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut changes = Vec::new();
    for port in 2..2 + CHANGES {
        let begin = Instant::now();
        sites.0.put(format!("s{:04}", size - 1), port.to_string());
        wait_until(&last, &format!(":{port};")).await;
        changes.push(begin.elapsed());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.cancel();
    run.await.expect("no panic").expect("no panic inside");
    let alone = median((0..CHANGES).map(|_| time_nginx_check(folder.path())).collect());
    let change = median(changes);
    let ratio = change.as_secs_f64() / alone.as_secs_f64();
    println!("| {size} | {first:.1?} | {change:.0?} | {alone:.0?} | {ratio:.1} |");
}

/// A target whose nginx does not run, so a change is checked and swapped without a reload.
fn settings(folder: &Path) -> Settings {
    let at = |name: &str| folder.join(name);
    fs::create_dir(at("conf.d")).expect("a directory");
    let (pid, includes) = (at("nginx.pid").display().to_string(), at("conf.d/*.conf").display().to_string());
    let conf =
        format!("pid {pid};\nerror_log /dev/null;\nevents {{}}\nhttp {{ access_log off; include {includes}; }}\n");
    fs::write(at("nginx.conf"), conf).expect("a file");
    fs::write(at("site.hbs"), "upstream {{key}} {\n    server 127.0.0.1:{{value}};\n}\n").expect("a file");
    let template = target::TemplateSettings {
        source: at("site.hbs"),
        destination: at("conf.d/{{key}}.conf"),
        each: Some("(ls \"sites\")".to_owned()),
        ..target::TemplateSettings::default()
    };
    let nginx = NginxSettings { conf: Some(at("nginx.conf")), ..NginxSettings::default() };
    let mut target = target::Settings::new("sites".to_owned(), TargetKind::Nginx(nginx), vec![template]);
    target.debounce.interval = Duration::ZERO;
    let section = RenderSection { state_dir: Some(at("state")), ..RenderSection::default() };
    Settings { targets: vec![target], section, ..Settings::default() }
}

async fn wait_until(file: &PathBuf, part: &str) {
    while !fs::read_to_string(file).is_ok_and(|text| text.contains(part)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn time_nginx_check(folder: &Path) -> Duration {
    let begin = Instant::now();
    let mut nginx = Command::new("nginx");
    nginx.args(["-t", "-q", "-c"]).arg(folder.join("nginx.conf")).stderr(Stdio::null());
    assert!(nginx.status().expect("nginx is on the PATH").success(), "the configuration is sound");
    begin.elapsed()
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}
