//! Requests at a fixed rate, and the outcome of each.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::http::{self, Answer, Request};
use crate::namespace::enter_network;

/// One request of a stream.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When it was sent.
    pub sent: SystemTime,
    /// When the complete answer arrived, or the request failed.
    pub ended: SystemTime,
    /// The instance that answered with 200, or the reason of the failure.
    pub outcome: Result<Instance, String>,
}

/// One run of a container: a restart makes another instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The container's name.
    pub name: String,
    /// The version of the app.
    pub version: String,
    /// When the app was started, in nanoseconds since 1970. It differs between two runs of a container.
    pub started: u128,
}

/// The ended requests of a stream, in the order in which they ended. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<Sample>>>);

impl Samples {
    /// Reads all samples. The stream is blocked meanwhile.
    pub fn read<T>(&self, read: impl FnOnce(&[Sample]) -> T) -> T {
        read(&self.0.lock().expect("no panic while it is locked"))
    }

    fn push(&self, sample: Sample) {
        self.0.lock().expect("no panic while it is locked").push(sample);
    }
}

/// Sends requests at a fixed rate, however slow the answers are, until it is dropped.
pub struct Stream {
    samples: Samples,
    ended: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Stream {
    pub(crate) fn start(network: PathBuf, url: String, period: Duration) -> Self {
        let samples = Samples::default();
        let ended = Arc::new(AtomicBool::new(false));
        let (sink, stop) = (samples.clone(), Arc::clone(&ended));
        let ticker = thread::spawn(move || {
            enter_network(&network);
            tick(&url, period, &sink, &stop);
        });
        Self { samples, ended, ticker: Some(ticker) }
    }

    /// The requests that have ended so far; the value grows.
    pub fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Stops, waits for the requests under way, and returns all samples.
    pub fn stop(mut self) -> Vec<Sample> {
        self.end();
        self.samples.read(<[_]>::to_vec)
    }

    fn end(&mut self) {
        self.ended.store(true, SeqCst);
        if let Some(ticker) = self.ticker.take() {
            ticker.join().expect("the stream has not panicked");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // During a panic, the ticker ends without being waited for.
        self.ended.store(true, SeqCst);
        if !thread::panicking() {
            self.end();
        }
    }
}

fn tick(url: &str, period: Duration, sink: &Samples, ended: &AtomicBool) {
    thread::scope(|scope| {
        let mut next = Instant::now();
        while !ended.load(SeqCst) {
            scope.spawn(|| sink.push(sample(url)));
            next += period;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
}

fn sample(url: &str) -> Sample {
    let sent = SystemTime::now();
    let outcome = match http::send(&Request::get(url)) {
        Ok(answer) if answer.status == 200 => Instance::of(&answer),
        Ok(answer) => Err(format!("status {}", answer.status)),
        Err(e) => Err(e.to_string()),
    };
    Sample { sent, ended: SystemTime::now(), outcome }
}

impl Instance {
    /// Reads the headers that the app sets.
    pub fn of(answer: &Answer) -> Result<Self, String> {
        let header = |name| answer.header(name).ok_or_else(|| format!("an answer without {name}: {answer:?}"));
        let started = header("x-started")?;
        Ok(Self {
            name: header("x-instance")?.to_owned(),
            version: header("x-version")?.to_owned(),
            started: started.parse().map_err(|e| format!("x-started: {started}: {e}"))?,
        })
    }
}
