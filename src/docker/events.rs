//! The engine's event stream.

use futures_util::stream::{BoxStream, Stream, StreamExt, unfold};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    client::Connection,
    error::{CallFailure, Error},
    fields,
    http::{ANSWER_TIMEOUT, HttpClient},
    inspection_queue::{ContainerEvents, ContainerExit},
    signal,
};

/// The events after which a container is inspected. The engine filters out all others, above all the `exec_*` of health
/// checks.
const ACTIONS: [&str; 11] = [
    "start",
    "die",
    "kill",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
    "connect",
    "disconnect",
];

/// The maximum length of an event, in bytes. Longer lines are discarded.
const MAX_LINE: usize = 1 << 20;

/// A stream of events in the order of the engine. Its last item is an error.
pub(super) type Events = BoxStream<'static, Result<Event, Error>>;

/// An event, as far as it concerns containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// The time of the event, by the engine's clock.
    pub(super) at: Option<Timestamp>,
    /// The id of the container to inspect, and what only the event reports. `None` if the event concerns no container.
    pub(super) container: Option<(String, ContainerEvents)>,
}

/// Follows the events from `since` on, past ones first.
pub(super) fn follow(connection: &Connection, since: Timestamp) -> Events {
    let filters = json!({"type": ["container", "network"], "event": ACTIONS});
    open_stream(connection, vec![("since", seconds(since)), ("filters", filters.to_string())], "send events")
}

/// The past stop signals and starts between two times, which no inspection shows. The engine keeps only the latest.
pub(super) async fn past_events(
    connection: &Connection,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Event>, Error> {
    let filters = json!({"type": ["container"], "event": ["kill", "start"]});
    let query = vec![("since", seconds(since)), ("until", seconds(until)), ("filters", filters.to_string())];
    let mut events = open_stream(connection, query, "send its past events");
    let mut past = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => past.push(event),
            Err(Error { failure: CallFailure::EventStreamClosed, .. }) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(past)
}

fn open_stream(connection: &Connection, query: Vec<(&'static str, String)>, action: &'static str) -> Events {
    let lines = lines(connection.http().clone(), query, action);
    lines.filter_map(async |line| line.map(|line| read(&line)).transpose()).boxed()
}

/// The state of the response body, which has no end.
enum BodyState {
    Unopened,
    Open(reqwest::Response, LineSplitter),
    Ended,
}

/// The lines of the response. The last item is an error.
fn lines(
    http: HttpClient,
    query: Vec<(&'static str, String)>,
    action: &'static str,
) -> impl Stream<Item = Result<Vec<u8>, Error>> + Send + 'static {
    unfold((http, query, BodyState::Unopened), move |(http, query, body)| async move {
        let (line, body) = match body {
            BodyState::Unopened => {
                let query: Vec<_> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
                match http.stream("/events", &query, action).await {
                    Ok(response) => next(&http, response, LineSplitter::default(), action).await,
                    Err(error) => (Err(error), BodyState::Ended),
                }
            }
            BodyState::Open(response, lines) => next(&http, response, lines, action).await,
            BodyState::Ended => return None,
        };
        Some((line, (http, query, body)))
    })
}

async fn next(
    http: &HttpClient,
    mut response: reqwest::Response,
    mut lines: LineSplitter,
    action: &'static str,
) -> (Result<Vec<u8>, Error>, BodyState) {
    loop {
        if let Some(line) = lines.next() {
            return (Ok(line), BodyState::Open(response, lines));
        }
        let failure = match response.chunk().await {
            Ok(Some(chunk)) => {
                lines.add(&chunk);
                continue;
            }
            Ok(None) => CallFailure::EventStreamClosed,
            Err(error) => CallFailure::from_request(&error, action, ANSWER_TIMEOUT),
        };
        return (Err(http.error(failure)), BodyState::Ended);
    }
}

/// Splits a body into lines.
#[derive(Debug, Default)]
struct LineSplitter {
    buffer: Vec<u8>,
}

impl LineSplitter {
    fn add(&mut self, chunk: &[u8]) {
        if self.buffer.len() > MAX_LINE {
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        Some(self.buffer.drain(..=end).collect())
    }
}

/// Parses one event. `None` if that is not possible; the next list shows what has changed.
fn read(line: &[u8]) -> Option<Event> {
    let event = match serde_json::from_slice::<Value>(line) {
        Ok(event) => event,
        Err(error) => {
            if !line.trim_ascii().is_empty() {
                tracing::debug!("an event cannot be parsed and is ignored: {error}");
            }
            return None;
        }
    };
    let nanos = fields::number::<i64>(&event["timeNano"]).map(i128::from);
    let nanos = nanos.or_else(|| Some(i128::from(fields::number::<i64>(&event["time"])?) * 1_000_000_000));
    let at = nanos.filter(|nanos| *nanos > 0).and_then(|nanos| Timestamp::from_nanosecond(nanos).ok());
    Some(Event { at, container: subject(&event, at) })
}

fn subject(event: &Value, at: Option<Timestamp>) -> Option<(String, ContainerEvents)> {
    let (actor, action) = (&event["Actor"], event["Action"].as_str());
    if event["Type"].as_str() == Some("network") {
        return Some((actor["Attributes"]["container"].as_str()?.to_owned(), ContainerEvents::default()));
    }
    let id = actor["ID"].as_str().or_else(|| event["id"].as_str()).filter(|id| !id.is_empty())?;
    let mut events = ContainerEvents { has_event: true, ..ContainerEvents::default() };
    let at = at.unwrap_or_else(Timestamp::now);
    match action {
        Some("kill") => {
            let signal = fields::text(&actor["Attributes"]["signal"]).and_then(|signal| signal::parse(&signal));
            events.signals.extend(signal.map(|signal| (signal, at)));
        }
        Some("start") => events.starts.push(at),
        Some("die" | "destroy") => {
            events.exit = Some(ContainerExit { at, exit_code: fields::number(&actor["Attributes"]["exitCode"]) });
        }
        _ => {}
    }
    matches!(event["Type"].as_str(), Some("container") | None).then(|| (id.to_owned(), events))
}

/// A time in the notation of the engine: seconds with nine decimals.
fn seconds(time: Timestamp) -> String {
    format!("{}.{:09}", time.as_second(), time.subsec_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(change: impl FnOnce(&mut Value)) -> Option<Event> {
        let mut event = json!({"Type": "container", "Action": "kill", "time": 5, "timeNano": 5_000_000_001_i64,
            "Actor": {"ID": "c0ffee", "Attributes": {"signal": "15", "name": "web"}}});
        change(&mut event);
        read(format!("{event}\n").as_bytes())
    }

    #[test]
    fn an_event_with_invalid_fields_still_names_its_container() {
        let good = event(|_| {}).expect("an event");
        assert_eq!(good.at, Some("1970-01-01T00:00:05.000000001Z".parse().expect("a time")));
        let (id, reported) = good.container.expect("a container");
        assert_eq!((id.as_str(), reported.has_event, reported.signals.contains_key(&15)), ("c0ffee", true, true));
        for odd in [json!(null), json!([]), json!({}), json!("odd"), json!(-7), json!(true)] {
            for field in ["/Action", "/time", "/timeNano", "/Actor/Attributes", "/Actor/Attributes/signal"] {
                let event = event(|event| *event.pointer_mut(field).expect("the field") = odd.clone());
                let (id, reported) = event.expect(field).container.expect(field);
                assert_eq!((id.as_str(), reported.has_event), ("c0ffee", true), "{field} {odd}");
            }
            for field in ["/Actor", "/Actor/ID"] {
                let event = event(|event| *event.pointer_mut(field).expect("the field") = odd.clone());
                assert!(event.expect(field).container.is_none_or(|(id, _)| id == "odd"), "{field} {odd}");
            }
            event(|event| *event = odd.clone());
        }
    }

    #[test]
    fn lines_that_are_not_events_are_ignored() {
        for line in ["\n", "{\n", "<html>\n", "null\n", "\u{0}\n"] {
            assert!(read(line.as_bytes()).is_none_or(|event| event.container.is_none()), "{line:?}");
        }
        let plugin_event = event(|event| event["Type"] = json!("plugin")).expect("an event");
        assert_eq!(plugin_event.container, None);
    }

    #[test]
    fn lines_may_span_chunks() {
        let mut lines = LineSplitter::default();
        for chunk in ["{\"a\"", ":1}\n{", "}\n\n", "x"] {
            lines.add(chunk.as_bytes());
        }
        let complete: Vec<_> = std::iter::from_fn(|| lines.next()).collect();
        assert_eq!(complete, [b"{\"a\":1}\n".to_vec(), b"{}\n".to_vec(), b"\n".to_vec()]);
    }
}
