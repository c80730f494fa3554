//! Docker's container events.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::host::{Host, clean};
use crate::wait::{LONG, wait_until};

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The time by Docker's clock, which is the clock of the machine.
    pub at: SystemTime,
    /// `start`, `kill`, `die`, ...
    pub action: String,
    /// The container's full id.
    pub id: String,
    /// The container's name.
    pub name: String,
    /// The signal of a `kill`.
    pub signal: Option<i32>,
}

/// Collects the events of one engine until the engine stops.
pub struct Events {
    seen: Arc<Mutex<Vec<Event>>>,
    client: Child,
}

impl Events {
    pub(crate) fn follow(host: &Host) -> Self {
        let mut command = clean("docker");
        command.args(["events", "--since", "0", "--filter", "type=container", "--format", "{{json .}}"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client =
            host.enter(|| command.spawn()).unwrap_or_else(|e| panic!("cannot follow docker's events: {e}"));
        let stdout = client.stdout.take().expect("stdout is a pipe");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        thread::spawn(move || {
            // The output ends when the engine or the lab does.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = parse(&line).unwrap_or_else(|| panic!("not an event of docker: {line}"));
                sink.lock().expect("no panic while it is locked").push(event);
            }
        });
        Self { seen, client }
    }

    /// All events so far.
    pub fn seen(&self) -> Vec<Event> {
        self.seen.lock().expect("no panic while it is locked").clone()
    }

    /// The latest event of this kind about a container, waited for if necessary. Events before `not_before`
    /// are ignored.
    pub fn find(&self, action: &str, name: &str, not_before: SystemTime) -> Event {
        wait_until(&format!("docker's event {action} of {name}"), LONG, || {
            let seen = self.seen();
            let found = seen.iter().rfind(|e| e.action == action && e.name == name && e.at >= not_before);
            found.cloned().ok_or_else(|| format!("{seen:?}"))
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // Both fail if the client has ended together with its engine.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn parse(line: &str) -> Option<Event> {
    let event: Value = serde_json::from_str(line).ok()?;
    let attributes = &event["Actor"]["Attributes"];
    Some(Event {
        at: UNIX_EPOCH + Duration::from_nanos(event["timeNano"].as_u64()?),
        action: event["Action"].as_str()?.to_owned(),
        id: event["Actor"]["ID"].as_str()?.to_owned(),
        name: attributes["name"].as_str()?.to_owned(),
        signal: attributes["signal"].as_str().and_then(|signal| signal.parse().ok()),
    })
}
