//! Keeps a store of containers in line with an engine.
//!
//! ```text
//!             connected            list received           resync is due
//! Connecting ───────────► Listing ───────────────► Following ─────────► Listing
//!     ▲                      │ failure                 │ the stream ended
//!     └────── Waiting ◄──────┴─────────────────────────┘
//! ```
//!
//! Lists and events only tell which containers have to be inspected. The inspections belong to none of these states: they
//! go on when a stream ends, and one that hangs delays neither the others nor the next list. At each resync a new stream
//! takes the place of the old one, which may have fallen silent.

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

/// Replay from a little before: the engine keeps its last 256 events, and marking a container twice does no harm.
const REPLAY_OVERLAP: Duration = Duration::from_secs(1);

/// From how long ago the first session wants to know who was told to stop, and who started how often: a register that is
/// started again while a container drains must not bring it back into traffic.
const REPLAY_SPAN: Duration = Duration::from_secs(600);

/// How long the engine may take to tell its past. One that does not know `until` would never end.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(5);

/// Fills `containers` until `stop` is cancelled. Trouble with the engine is waited out; the store keeps the last state.
///
/// From a list on, every container that it shows is in the store: as [`Sight::Unreadable`] until its first inspection
/// succeeds. The store is declared complete when the first list's containers have been inspected, apart from those whose
/// inspection hangs.
pub async fn watch(client: Client, containers: Store<String, Observation>, resync: Duration, stop: CancellationToken) {
    let condition = Condition::new(format!("Docker at {}", client.address()));
    let inspections = Inspector::new(containers);
    let mut watcher = Watcher {
        client,
        resync,
        condition,
        inspections,
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
    inspections: Inspector,
    /// The time of the last event.
    last_event: Option<Timestamp>,
    backoff: ReconnectBackoff,
    /// Whether it was logged that nobody answers.
    is_unreachable: bool,
}

type ListFuture = BoxFuture<'static, Result<ListResult, Error>>;

/// The result of a list.
struct ListResult {
    containers: Vec<Value>,
    networks: Option<Networks>,
}

/// What is being waited for.
enum WatchState {
    /// The time of the next attempt.
    Waiting { until: Instant },
    /// The version of the API; the first time also the past.
    Connecting { opened: BoxFuture<'static, Result<NewConnection, Error>> },
    /// A list, while events are heard already. A stream that ends so early does not cost the list.
    Listing { connection: Connection, events: Events, ended: Option<Error>, list: ListFuture },
    /// An event, or the time of the next list.
    Following { connection: Connection, events: Events, since: Instant, list_at: Instant },
}

/// A connection, and from when on it has to tell events.
struct NewConnection {
    connection: Connection,
    since: Timestamp,
    /// What events told before the first session.
    past_events: BTreeMap<String, ContainerEvents>,
}

/// What has come.
enum WatchInput {
    TimerFired,
    Connected(NewConnection),
    Listed(ListResult),
    Event(Event),
    /// The stream, with the reason.
    StreamEnded(Error),
    /// What is asked for once.
    Failed(Error),
}

impl WatchState {
    /// Waits for what comes next. Dropping this future loses nothing.
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
        // Its last item is an error, after which it is not asked again.
        None => std::future::pending().await,
    }
}

impl Watcher {
    async fn run(&mut self) {
        let mut state = WatchState::Waiting { until: Instant::now() };
        loop {
            state = tokio::select! {
                // Events that have arrived are handled before inspections go on: an end that a start follows does not
                // count.
                biased;
                input = state.next_input() => self.transition(state, input, Instant::now()),
                () = self.inspections.progress() => state,
            };
        }
    }

    /// What an input makes of a state.
    fn transition(&mut self, state: WatchState, input: WatchInput, now: Instant) -> WatchState {
        match (state, input) {
            (WatchState::Waiting { .. }, WatchInput::TimerFired) => {
                WatchState::Connecting { opened: connect(self.client.clone(), self.last_event).boxed() }
            }
            (_, WatchInput::Connected(NewConnection { connection, since, past_events: past })) => {
                self.last_event = Some(since);
                self.inspections.set_past_events(past);
                self.start_listing(connection)
            }
            (WatchState::Listing { connection, events, list, .. }, WatchInput::StreamEnded(error)) => {
                WatchState::Listing { connection, events, ended: Some(error), list }
            }
            (WatchState::Listing { connection, events, ended, .. }, WatchInput::Listed(list)) => {
                list.networks.into_iter().for_each(|networks| self.inspections.set_networks(networks));
                self.inspections.handle_list(&list.containers, now);
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
                if let Some((id, mark)) = event.container {
                    self.inspections.handle_event(id, mark);
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
            // No other input belongs to the state.
            (state, WatchInput::TimerFired | WatchInput::Listed(_) | WatchInput::StreamEnded(_)) => state,
        }
    }

    fn start_listing(&mut self, connection: Connection) -> WatchState {
        self.inspections.set_connection(connection.clone());
        // The last event was heard: told again, it would be one inspection more at each resync.
        let since = self.last_event.and_then(|heard| heard.checked_add(Duration::from_nanos(1)).ok());
        let events = events::follow(&connection, since.unwrap_or_else(Timestamp::now));
        let listing = connection.clone();
        let list = async move {
            let (containers, networks) = join(listing.list(), inspector::known_networks(&listing)).await;
            containers.map(|containers| ListResult { containers, networks })
        };
        WatchState::Listing { connection, events, ended: None, list: list.boxed() }
    }

    /// An engine that restarts fails in several ways one after the other: that is one line.
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

/// Up to when events have been heard. They may come in another order than they happened, unless the clock of the engine
/// was set back.
fn latest_event(heard: Option<Timestamp>, at: Option<Timestamp>) -> Option<Timestamp> {
    let is_earlier =
        |heard: Timestamp, at: Timestamp| at < heard && heard.duration_since(at).unsigned_abs() < REPLAY_OVERLAP;
    match (heard, at) {
        (Some(heard), Some(at)) if is_earlier(heard, at) => Some(heard),
        (heard, at) => at.or(heard),
    }
}

async fn connect(client: Client, heard: Option<Timestamp>) -> Result<NewConnection, Error> {
    let connection = client.connect().await?;
    if let Some(since) = heard {
        return Ok(NewConnection { connection, since, past_events: BTreeMap::new() });
    }
    // The engine's clock counts, not ours.
    let now = connection.clock().await?;
    let past = read_past_events(&connection, now).await?;
    Ok(NewConnection { connection, since: now.checked_sub(REPLAY_OVERLAP).unwrap_or(now), past_events: past })
}

/// What past events tell of each container.
async fn read_past_events(
    connection: &Connection,
    until: Timestamp,
) -> Result<BTreeMap<String, ContainerEvents>, Error> {
    let since = until.checked_sub(REPLAY_SPAN).unwrap_or(until);
    let Ok(events) = timeout(REPLAY_TIMEOUT, events::past_events(connection, since, until)).await else {
        tracing::debug!("the engine did not tell its past events within {REPLAY_TIMEOUT:?}: starting without");
        return Ok(BTreeMap::new());
    };
    let mut past = BTreeMap::<_, ContainerEvents>::new();
    for (id, mark) in events?.into_iter().filter_map(|event| event.container) {
        past.entry(id).or_default().merge(mark);
    }
    Ok(past)
}
