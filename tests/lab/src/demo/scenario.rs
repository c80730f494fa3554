//! The changes that the demo makes while requests are sent.

use std::thread;
use std::time::{Duration, SystemTime};

use portreeve_lab::docker::Container;
use portreeve_lab::events::Events;
use portreeve_lab::stream::{Sample, Samples, Stream};
use portreeve_lab::wait::{LONG, wait_until};
use portreeve_lab::{BALANCER_URL, Lab};

use crate::change::{Change, first_answer, last_answer};
use crate::report;
use crate::screen::Screen;

/// Requests per second.
const RATE: u32 = 100;
/// The pause between two changes, so that they can be followed on the screen.
const PAUSE: Duration = Duration::from_millis(1200);
/// An instance is out of service after this many requests that it did not answer.
const SILENCE: usize = 30;

/// The stream of requests, and the containers that answer them.
pub(crate) struct Scenario<'a> {
    lab: &'a Lab,
    screen: &'a Screen,
    events: [Events; 2],
    stream: Stream,
}

impl<'a> Scenario<'a> {
    /// Starts the requests. No container runs yet.
    pub(crate) fn start(lab: &'a Lab, screen: &'a Screen) -> Self {
        let events = [lab.docker(1).events(), lab.docker(2).events()];
        let stream = lab.client().stream(BALANCER_URL, RATE);
        if screen.is_terminal() {
            let (samples, screen) = (stream.samples().clone(), screen.clone());
            // The thread ends with the program.
            thread::spawn(move || draw(&samples, &screen));
        }
        Self { lab, screen, events, stream }
    }

    /// Makes the changes, one after the other.
    pub(crate) fn run(&self) -> Vec<Change> {
        let (web1, first) = self.run_container(1, "web-1");
        let mut changes = self.report([first]);
        let (web2, second) = self.run_container(2, "web-2");
        changes.extend(self.report([second]));
        changes.extend(self.report([self.restart_container(&web1)]));
        changes.extend(self.report([self.stop_container(&web2)]));
        let more = thread::scope(|scope| {
            [(1, "web-3"), (2, "web-4"), (1, "web-5")]
                .map(|(host, name)| scope.spawn(move || self.run_container(host, name)))
                .map(|started| started.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let (more, started): (Vec<_>, Vec<_>) = more.into_iter().unzip();
        changes.extend(self.report(started));
        changes.extend(self.report([self.stop_container(&web1)]));
        changes.extend(self.report([self.stop_container(&more[0])]));
        changes
    }

    /// Stops the requests.
    pub(crate) fn stop(self) -> Vec<Sample> {
        let samples = self.stream.stop();
        self.screen.draw("");
        samples
    }

    fn run_container(&self, host: u8, name: &str) -> (Container, Change) {
        let begun = SystemTime::now();
        let container = self.lab.docker(host).run(name, "v1", &["--env", "SERVICE_NAME=web"]);
        let first = Some(self.time_to_first_answer(&container, begun));
        let what = format!("{}  docker run {name}", container.host().name());
        (container, Change { what, first, last: None })
    }

    fn restart_container(&self, container: &Container) -> Change {
        let begun = SystemTime::now();
        container.restart();
        let first = Some(self.time_to_first_answer(container, begun));
        let last = Some(self.time_to_last_answer(container, begun));
        Change { what: format!("{}  docker restart {}", container.host().name(), container.name()), first, last }
    }

    fn stop_container(&self, container: &Container) -> Change {
        let begun = SystemTime::now();
        container.stop();
        let last = Some(self.time_to_last_answer(container, begun));
        Change { what: format!("{}  docker stop {}", container.host().name(), container.name()), first: None, last }
    }

    fn time_to_first_answer(&self, container: &Container, begun: SystemTime) -> Duration {
        let start = self.events(container).find("start", container.name(), begun);
        let answered = wait_until(&format!("the first answer of {container}"), LONG, || {
            self.stream.samples().read(|samples| {
                first_answer(samples, container.name(), begun).ok_or_else(|| report::last_second(samples))
            })
        });
        answered.duration_since(start.at).unwrap_or_default()
    }

    fn time_to_last_answer(&self, container: &Container, begun: SystemTime) -> Duration {
        let kill = self.events(container).find("kill", container.name(), begun);
        let die = self.events(container).find("die", container.name(), begun);
        let answered = wait_until(&format!("requests to leave {container}"), LONG, || {
            self.stream.samples().read(|samples| {
                let last = last_answer(samples, container.name(), begun);
                let since = last.map_or(die.at, |last| last.max(die.at));
                let silence = samples.iter().filter(|sample| sample.sent > since).count();
                if silence >= SILENCE { Ok(last) } else { Err(report::last_second(samples)) }
            })
        });
        answered.and_then(|answered| answered.duration_since(kill.at).ok()).unwrap_or_default()
    }

    fn events(&self, container: &Container) -> &Events {
        &self.events[usize::from(container.host().number()) - 1]
    }

    /// Prints the effect of changes that were made at the same time, then pauses.
    fn report(&self, changes: impl Into<Vec<Change>>) -> Vec<Change> {
        let changes = changes.into();
        for change in &changes {
            self.screen.step(&report::sentence(change));
        }
        thread::sleep(PAUSE);
        if !self.screen.is_terminal() {
            self.stream.samples().read(|samples| self.screen.say(&live(samples)));
        }
        changes
    }
}

fn draw(samples: &Samples, screen: &Screen) {
    loop {
        samples.read(|samples| screen.draw(&live(samples)));
        thread::sleep(Duration::from_millis(200));
    }
}

fn live(samples: &[Sample]) -> String {
    let (count, failed) = report::tally(samples);
    format!("           {count} requests, {} failed; the last second: {}", failed.len(), report::last_second(samples))
}
