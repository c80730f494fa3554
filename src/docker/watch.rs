//! Keeps a store of containers up to date with an engine.
//!
//! ```text
//!             connected            list received           resync is due
//! Connecting ───────────► Listing ───────────────► Following ─────────► Listing
//!     ▲                      │ failure                 │ the stream ended
//!     └────── Waiting ◄──────┴─────────────────────────┘
//! ```
//!
//! Lists and events only name the containers to inspect. The inspections are independent of these states: they continue
//! when a stream ends, and one that hangs delays neither the others nor the next list. At each resync a new stream
//! replaces the old one, which may be dead without an error.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, join},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Client, Error, Observation,
    client::Connection,
    events::{self, Event, Events},
    inspection_queue::ContainerEvents,
    inspector::{self, Inspector},
    networks::Networks,
    reconnect_backoff::ReconnectBackoff,
};
use crate::core::{condition::Condition, store::Store};

/// The first session replays events from this time before it began. The engine keeps the last 256 events, and a
/// replayed event only causes another inspection.
const REPLAY_OVERLAP: Duration = Duration::from_secs(1);

/// The first session reads the stop signals and starts of this time span. Otherwise a `register` that is restarted
/// while a container drains would bring the container back into traffic.
const REPLAY_SPAN: Duration = Duration::from_secs(600);

/// The time limit for reading past events. The stream of an engine that does not support `until` never ends.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(5);

/// Updates `containers` until `stop` is cancelled. After a failure it connects again; meanwhile the store keeps the
/// last state.
///
/// Every container of a list is in the store, as [`Observation::Unreadable`] until its first inspection succeeds. The
/// store is complete when the containers of the first list have been inspected, apart from inspections that hang.
pub async fn watch(client: Client, containers: Store<String, Observation>, resync: Duration, stop: CancellationToken) {
    let condition = Condition::new(format!("Docker at {}", client.address()));
    let inspector = Inspector::new(containers);
    let mut watcher = Watcher {
        client,
        resync,
        condition,
        inspector,
        last_event: None,
        backoff: ReconnectBackoff::default(),
        is_unreachable: false,
    };
    tokio::select! {
        () = watcher.run() => {}
        () = stop.cancelled() => {}
    }
}

struct Watcher {
    client: Client,
    resync: Duration,
    condition: Condition,
    inspector: Inspector,
    /// The time of the last event; before the first event, the start of the first session.
    last_event: Option<Timestamp>,
    backoff: ReconnectBackoff,
    /// Whether the last failure was an unreachable engine.
    is_unreachable: bool,
}

type ListFuture = BoxFuture<'static, Result<ListResult, Error>>;

/// The result of a list.
struct ListResult {
    containers: Vec<Value>,
    networks: Option<Networks>,
}

/// What the watcher waits for.
enum WatchState {
    /// The time of the next attempt.
    Waiting { until: Instant },
    /// The connection with its API version, and for the first session the past events.
    Connecting { opened: BoxFuture<'static, Result<NewConnection, Error>> },
    /// A list. Events are received already. If their stream ends, the list is still used.
    Listing { connection: Connection, events: Events, ended: Option<Error>, list: ListFuture },
    /// An event, or the time of the next list.
    Following { connection: Connection, events: Events, since: Instant, list_at: Instant },
}

/// A connection, and the start of its events.
struct NewConnection {
    connection: Connection,
    since: Timestamp,
    /// The events from before the first session, by container.
    past_events: BTreeMap<String, ContainerEvents>,
}

/// An input of the state machine.
enum WatchInput {
    TimerFired,
    Connected(NewConnection),
    Listed(ListResult),
    Event(Event),
    /// The event stream ended, for this reason.
    StreamEnded(Error),
    /// Connecting or listing failed.
    Failed(Error),
}

impl WatchState {
    /// Waits for the next input. This future is cancel safe.
    async fn next_input(&mut self) -> WatchInput {
        match self {
            Self::Waiting { until } => {
                sleep_until(*until).await;
                WatchInput::TimerFired
            }
            Self::Connecting { opened } => opened.await.map_or_else(WatchInput::Failed, WatchInput::Connected),
            Self::Listing { events, ended, list, .. } => tokio::select! {
                list = list => list.map_or_else(WatchInput::Failed, WatchInput::Listed),
                event = next_event(events), if ended.is_none() => event,
            },
            Self::Following { events, list_at, .. } => tokio::select! {
                () = sleep_until(*list_at) => WatchInput::TimerFired,
                event = next_event(events) => event,
            },
        }
    }
}

async fn next_event(events: &mut Events) -> WatchInput {
    match events.next().await {
        Some(event) => event.map_or_else(WatchInput::StreamEnded, WatchInput::Event),
        // The last item is an error, after which the stream is not polled again.
        None => std::future::pending().await,
    }
}

impl Watcher {
    async fn run(&mut self) {
        let mut state = WatchState::Waiting { until: Instant::now() };
        loop {
            state = tokio::select! {
                // Received events are handled before the inspections, because an exit does not count if a start follows
                // it.
                biased;
                input = state.next_input() => self.transition(state, input, Instant::now()),
                () = self.inspector.progress() => state,
            };
        }
    }

    /// The state after an input.
    fn transition(&mut self, state: WatchState, input: WatchInput, now: Instant) -> WatchState {
        match (state, input) {
            (WatchState::Waiting { .. }, WatchInput::TimerFired) => {
                WatchState::Connecting { opened: connect(self.client.clone(), self.last_event).boxed() }
            }
            (_, WatchInput::Connected(NewConnection { connection, since, past_events })) => {
                self.last_event = Some(since);
                self.inspector.set_past_events(past_events);
                self.start_listing(connection)
            }
            (WatchState::Listing { connection, events, list, .. }, WatchInput::StreamEnded(error)) => {
                WatchState::Listing { connection, events, ended: Some(error), list }
            }
            (WatchState::Listing { connection, events, ended, .. }, WatchInput::Listed(list)) => {
                list.networks.into_iter().for_each(|networks| self.inspector.set_networks(networks));
                self.inspector.handle_list(&list.containers, now);
                if !self.backoff.is_unstable() {
                    self.report_recovery();
                }
                let following = WatchState::Following { connection, events, since: now, list_at: now + self.resync };
                match ended {
                    None => following,
                    Some(error) => self.transition(following, WatchInput::StreamEnded(error), now),
                }
            }
            (WatchState::Following { connection, .. }, WatchInput::TimerFired) => {
                self.backoff.session_succeeded();
                self.report_recovery();
                self.start_listing(connection)
            }
            (state, WatchInput::Event(event)) => {
                self.last_event = latest_event(self.last_event, event.at);
                if let Some((id, events)) = event.container {
                    self.inspector.handle_event(id, events);
                }
                state
            }
            (WatchState::Following { since, .. }, WatchInput::StreamEnded(error)) => {
                if self.backoff.session_ended(now - since) {
                    self.report_failure(&error);
                } else {
                    tracing::debug!("{}", crate::core::condition::error_chain(&error));
                }
                WatchState::Waiting { until: now + self.backoff.next_delay() }
            }
            (_, WatchInput::Failed(error)) => {
                self.backoff.connect_failed();
                self.report_failure(&error);
                WatchState::Waiting { until: now + self.backoff.next_delay() }
            }
            // The input does not apply to the state.
            (state, WatchInput::TimerFired | WatchInput::Listed(_) | WatchInput::StreamEnded(_)) => state,
        }
    }

    fn start_listing(&mut self, connection: Connection) -> WatchState {
        self.inspector.set_connection(connection.clone());
        // The last event is excluded. Otherwise each resync would replay it and cause an inspection.
        let since = self.last_event.and_then(|last| last.checked_add(Duration::from_nanos(1)).ok());
        let events = events::follow(&connection, since.unwrap_or_else(Timestamp::now));
        let listing = connection.clone();
        let list = async move {
            let (containers, networks) = join(listing.list(), inspector::known_networks(&listing)).await;
            containers.map(|containers| ListResult { containers, networks })
        };
        WatchState::Listing { connection, events, ended: None, list: list.boxed() }
    }

    /// Logs a failure. An engine that restarts is unreachable for several reasons in turn; only the first one is
    /// logged.
    fn report_failure(&mut self, error: &Error) {
        if std::mem::replace(&mut self.is_unreachable, error.is_unreachable()) && self.is_unreachable {
            tracing::debug!("{}", crate::core::condition::error_chain(error));
        } else {
            self.condition.report_problem(&error.failure);
        }
    }

    fn report_recovery(&mut self) {
        self.is_unreachable = false;
        self.condition.report_ok();
    }
}

/// The time of the latest event. An event may arrive slightly out of order. If it is much earlier, the clock of the
/// engine was set back.
fn latest_event(last: Option<Timestamp>, at: Option<Timestamp>) -> Option<Timestamp> {
    let is_earlier =
        |last: Timestamp, at: Timestamp| at < last && last.duration_since(at).unsigned_abs() < REPLAY_OVERLAP;
    match (last, at) {
        (Some(last), Some(at)) if is_earlier(last, at) => Some(last),
        (last, at) => at.or(last),
    }
}

/// Connects. Without a last event, which is the first session, also reads the past events.
async fn connect(client: Client, last_event: Option<Timestamp>) -> Result<NewConnection, Error> {
    let connection = client.connect().await?;
    if let Some(since) = last_event {
        return Ok(NewConnection { connection, since, past_events: BTreeMap::new() });
    }
    // The times of events are by the engine's clock.
    let now = connection.clock().await?;
    let past_events = read_past_events(&connection, now).await?;
    Ok(NewConnection { connection, since: now.checked_sub(REPLAY_OVERLAP).unwrap_or(now), past_events })
}

/// The past events of each container.
async fn read_past_events(
    connection: &Connection,
    until: Timestamp,
) -> Result<BTreeMap<String, ContainerEvents>, Error> {
    let since = until.checked_sub(REPLAY_SPAN).unwrap_or(until);
    let Ok(events) = timeout(REPLAY_TIMEOUT, events::past_events(connection, since, until)).await else {
        tracing::debug!("the engine did not send its past events within {REPLAY_TIMEOUT:?}: continuing without them");
        return Ok(BTreeMap::new());
    };
    let mut past = BTreeMap::<_, ContainerEvents>::new();
    for (id, events) in events?.into_iter().filter_map(|event| event.container) {
        past.entry(id).or_default().merge(events);
    }
    Ok(past)
}
